/**
 * The signalling channel over rendezvous servers. Each rendezvous point has its own order of the
 * servers. A subscription begins at the first and adds the next when that one does not answer or no
 * peer arrives. So two peers meet although one of them cannot reach the first server, and the load
 * is spread.
 */
import { SrudpError } from "../../base/errors.ts";
import { nameKey } from "../../platform/blob-digest.ts";
import { decodeReply, type MailboxSide } from "../../wire/mailbox-messages.ts";
import {
  checkBlob,
  type RendezvousPoint,
  type SignallingChannel,
  type SignallingRole,
  type Subscription,
} from "./channel.ts";
import { MailboxSubscription } from "./mailbox-subscription.ts";
import { RendezvousClient, type RendezvousClientOptions } from "./rendezvous-client.ts";
import { orderServers, parseRendezvousUrl, type RendezvousUrl } from "./rendezvous-url.ts";

/** Servers that one subscription uses at most. */
const SERVERS_LIMIT = 3;
/** How long to wait for a server that does not answer. */
const SILENT_AFTER_MS = 2000;
/** When no peer has arrived for so long, it may be at the next server. */
const NEXT_SERVER_AFTER_MS = 5000;

/** A client connection and the subscriptions that share it. */
interface Shared {
  readonly channel: RendezvousClient;
  readonly subscriptions: Set<PointSubscription>;
  /** Why the server cannot be reached, for later subscriptions. */
  trouble: SrudpError | undefined;
}

export class MailboxChannel implements SignallingChannel {
  readonly name = "mailbox";
  /** Called with how far a server's clock is ahead of the local clock, each time that it is learned. */
  onClock: ((server: string, aheadMs: number) => void) | undefined;
  readonly #urls: readonly RendezvousUrl[];
  readonly #options: RendezvousClientOptions;
  /** Keyed by the server's URL. */
  readonly #channels: Map<string, Shared> = new Map();
  readonly #subscriptions: Set<PointSubscription> = new Set();

  /**
   * @param servers URLs, at least one; both peers have to name the same, in any order
   * @throws SrudpError ERR_USAGE for an invalid URL
   */
  constructor(servers: readonly string[], options: RendezvousClientOptions = {}) {
    this.#urls = servers.map(parseRendezvousUrl);
    this.#options = options;
  }

  /**
   * Connects to the servers while the rendezvous point is still being derived: a code's point takes
   * a while, and so does detecting that UDP is blocked.
   */
  approach(): void {
    for (const url of this.#urls.slice(0, SERVERS_LIMIT)) this.#share(url);
  }

  meet(point: RendezvousPoint, side: SignallingRole): Subscription {
    const servers = orderServers(this.#urls, point.id).slice(0, SERVERS_LIMIT);
    const subscription = new PointSubscription(servers, point.id, side, {
      join: (url, joining) => this.#join(url, joining),
      leave: (leaving) => this.#leave(leaving),
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** The transport by which a server was reached; undefined while it is not. */
  transportTo(server: RendezvousUrl): "udp" | "webSocket" | undefined {
    return this.#channels.get(server.text)?.channel.transport;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
    for (const { channel } of this.#channels.values()) channel.close();
    this.#channels.clear();
  }

  #share(url: RendezvousUrl): Shared {
    let shared = this.#channels.get(url.text);
    if (shared === undefined) {
      shared = {
        channel: new RendezvousClient(url, this.#options),
        subscriptions: new Set(),
        trouble: undefined,
      };
      shared.channel.onClock = (aheadMs) => this.onClock?.(url.text, aheadMs);
      this.#channels.set(url.text, shared);
      wire(shared);
    }
    return shared;
  }

  #join(url: RendezvousUrl, subscription: PointSubscription): RendezvousClient {
    const { channel, subscriptions, trouble } = this.#share(url);
    subscriptions.add(subscription);
    // Deferred until the subscription is complete and the caller has set its callbacks.
    if (trouble !== undefined) queueMicrotask(() => subscription.handleTrouble(channel, trouble));
    return channel;
  }

  #leave(subscription: PointSubscription): void {
    this.#subscriptions.delete(subscription);
    for (const [text, { channel, subscriptions }] of this.#channels) {
      subscriptions.delete(subscription);
      if (subscriptions.size > 0) continue;
      this.#channels.delete(text);
      channel.close();
    }
  }
}

/** Passes a reply to the subscriptions that it concerns. */
function wire(shared: Shared): void {
  const { channel, subscriptions } = shared;
  channel.onReady = () => {
    shared.trouble = undefined;
    for (const subscription of subscriptions) subscription.endAt(channel)?.handleReady();
  };
  channel.onTrouble = (error) => {
    shared.trouble = error;
    for (const subscription of subscriptions) subscription.handleTrouble(channel, error);
  };
  channel.onMessage = (bytes) => {
    const reply = decodeReply(bytes);
    if (reply?.kind !== "state" && reply?.kind !== "refused") return false;
    const key = nameKey(reply.point);
    let isTaken = false;
    for (const subscription of subscriptions) {
      if (subscription.nameKey !== key || subscription.side !== reply.side) continue;
      isTaken = true;
      if (reply.kind === "state") subscription.handleAnswer(channel);
      const end = subscription.endAt(channel);
      if (reply.kind === "state") end?.handleState(reply);
      else end?.handleRefused(reply);
    }
    return isTaken;
  };
}

interface SubscriptionHost {
  join(url: RendezvousUrl, subscription: PointSubscription): RendezvousClient;
  leave(subscription: PointSubscription): void;
}

class PointSubscription implements Subscription {
  readonly nameKey: string;
  readonly side: MailboxSide;
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: ((error: SrudpError) => void) | undefined;
  onContact: (() => void) | undefined;
  readonly #servers: readonly RendezvousUrl[];
  readonly #pointId: Uint8Array;
  readonly #host: SubscriptionHost;
  readonly #ends: Map<RendezvousClient, MailboxSubscription> = new Map();
  readonly #troubled: Set<RendezvousClient> = new Set();
  #blob: Uint8Array | undefined;
  /** The peer's latest blob, from any server. */
  #latestKey: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #open = true;

  constructor(
    servers: readonly RendezvousUrl[],
    pointId: Uint8Array,
    side: SignallingRole,
    host: SubscriptionHost,
  ) {
    this.nameKey = nameKey(pointId);
    this.#servers = servers;
    this.#pointId = pointId;
    this.side = side === "initiator" ? 0 : 1;
    this.#host = host;
    this.#joinNext();
  }

  publish(blob: Uint8Array): void {
    if (!this.#open) return;
    this.#blob = checkBlob(blob);
    for (const end of this.#ends.values()) end.publish(blob);
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    for (const end of this.#ends.values()) end.close();
    this.#host.leave(this);
  }

  endAt(channel: RendezvousClient): MailboxSubscription | undefined {
    return this.#ends.get(channel);
  }

  handleAnswer(channel: RendezvousClient): void {
    this.#troubled.delete(channel);
    this.onContact?.();
  }

  /** One server fails: adds the next. When all fail, reports it. */
  handleTrouble(channel: RendezvousClient, error: SrudpError): void {
    this.#troubled.add(channel);
    if (this.#ends.size < this.#servers.length) this.#joinNext();
    else if (this.#troubled.size === this.#ends.size) this.onTrouble?.(error);
  }

  #joinNext(): void {
    clearTimeout(this.#timer);
    const url = this.#servers[this.#ends.size];
    if (url === undefined || !this.#open) return;
    const channel = this.#host.join(url, this);
    const end = new MailboxSubscription(
      channel,
      this.#pointId,
      this.side,
      (blob) => this.#take(blob),
      (reason) => {
        const error = new SrudpError("ERR_NO_MEETING_PLACE", `${url.text} refuses (${reason})`);
        this.handleTrouble(channel, error);
      },
    );
    this.#ends.set(channel, end);
    if (this.#blob !== undefined) end.publish(this.#blob);
    this.#timer = setTimeout(() => {
      if (!channel.isReady) this.#joinNext();
      else {
        this.#timer = setTimeout(() => {
          if (this.#latestKey === undefined) this.#joinNext();
        }, NEXT_SERVER_AFTER_MS - SILENT_AFTER_MS);
      }
    }, SILENT_AFTER_MS);
  }

  #take(blob: Uint8Array): void {
    const key = nameKey(blob);
    if (key === this.#latestKey || !this.#open) return;
    this.#latestKey = key;
    this.onBlob?.(blob);
  }
}

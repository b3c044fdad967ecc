/**
 * The carrier by way of rendezvous servers. Of several servers each place has its own order; a meeting begins
 * at the first and goes on to the next when that one does not answer or nobody comes, so that two peers find
 * each other although one of them cannot reach the first, and the load still spreads.
 */
import { SrudpError } from "../../base/errors.ts";
import { decodeReply, type MailboxSide } from "../../wire/mailbox-messages.ts";
import { placeKey } from "../../platform/blob-digest.ts";
import { type Carrier, checkBlob, type Meeting, type MeetingSide, type Place } from "./channel.ts";
import { MailboxEnd } from "./mailbox-subscription.ts";
import { type ChannelOptions, RendezvousChannel } from "./rendezvous-client.ts";
import { orderServers, parseRendezvousUrl, type RendezvousUrl } from "./rendezvous-url.ts";

/** Servers that one meeting uses at most. */
const SERVERS_LIMIT = 3;
/** A server that has not answered for so long is not waited for. */
const SILENT_AFTER_MS = 2000;
/** Where nobody has come for so long, the peer may be at the next server. */
const LONELY_AFTER_MS = 5000;

/** A channel and the meetings that share it. */
interface Shared {
  readonly channel: RendezvousChannel;
  readonly meetings: Set<MailboxMeeting>;
  /** Why there is no way to the server, for meetings that come later. */
  trouble: SrudpError | undefined;
}

export class MailboxCarrier implements Carrier {
  readonly name = "mailbox";
  /** Told how far a server's clock is ahead of this machine's, each time that it is learned. */
  onClock: ((server: string, aheadMs: number) => void) | undefined;
  readonly #urls: readonly RendezvousUrl[];
  readonly #options: ChannelOptions;
  /** By the server's URL. */
  readonly #channels: Map<string, Shared> = new Map();
  readonly #meetings: Set<MailboxMeeting> = new Set();

  /**
   * @param servers URLs, at least one; both peers have to name the same, in any order
   * @throws SrudpError ERR_USAGE for what is no URL of a server
   */
  constructor(servers: readonly string[], options: ChannelOptions = {}) {
    this.#urls = servers.map(parseRendezvousUrl);
    this.#options = options;
  }

  /**
   * Looks for a way to the servers while it is still worked out where to meet: a code's place takes a while, and so
   * does finding out that UDP is blocked.
   */
  approach(): void {
    for (const url of this.#urls.slice(0, SERVERS_LIMIT)) this.#share(url);
  }

  meet(place: Place, side: MeetingSide): Meeting {
    const servers = orderServers(this.#urls, place.id).slice(0, SERVERS_LIMIT);
    const meeting = new MailboxMeeting(servers, place.id, side, {
      join: (url, joining) => this.#join(url, joining),
      leave: (leaving) => this.#leave(leaving),
    });
    this.#meetings.add(meeting);
    return meeting;
  }

  /** Which way a server was reached; undefined while it is not. */
  wayTo(server: RendezvousUrl): "udp" | "webSocket" | undefined {
    return this.#channels.get(server.text)?.channel.way;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#meetings].map((meeting) => meeting.close()));
    for (const { channel } of this.#channels.values()) channel.close();
    this.#channels.clear();
  }

  #share(url: RendezvousUrl): Shared {
    let shared = this.#channels.get(url.text);
    if (shared === undefined) {
      shared = {
        channel: new RendezvousChannel(url, this.#options),
        meetings: new Set(),
        trouble: undefined,
      };
      shared.channel.onClock = (aheadMs) => this.onClock?.(url.text, aheadMs);
      this.#channels.set(url.text, shared);
      wire(shared);
    }
    return shared;
  }

  #join(url: RendezvousUrl, meeting: MailboxMeeting): RendezvousChannel {
    const { channel, meetings, trouble } = this.#share(url);
    meetings.add(meeting);
    // Once the meeting is complete and whoever wanted it listens.
    if (trouble !== undefined) queueMicrotask(() => meeting.handleTrouble(channel, trouble));
    return channel;
  }

  #leave(meeting: MailboxMeeting): void {
    this.#meetings.delete(meeting);
    for (const [text, { channel, meetings }] of this.#channels) {
      meetings.delete(meeting);
      if (meetings.size > 0) continue;
      this.#channels.delete(text);
      channel.close();
    }
  }
}

/** Gives what a channel hears to those that it concerns. */
function wire(shared: Shared): void {
  const { channel, meetings } = shared;
  channel.onReady = () => {
    shared.trouble = undefined;
    for (const meeting of meetings) meeting.endAt(channel)?.handleReady();
  };
  channel.onTrouble = (error) => {
    shared.trouble = error;
    for (const meeting of meetings) meeting.handleTrouble(channel, error);
  };
  channel.onMessage = (bytes) => {
    const reply = decodeReply(bytes);
    if (reply?.kind !== "state" && reply?.kind !== "refused") return false;
    const key = placeKey(reply.place);
    let isTaken = false;
    for (const meeting of meetings) {
      if (meeting.placeKey !== key || meeting.side !== reply.side) continue;
      isTaken = true;
      if (reply.kind === "state") meeting.handleAnswer(channel);
      const end = meeting.endAt(channel);
      if (reply.kind === "state") end?.handleState(reply);
      else end?.handleRefused(reply);
    }
    return isTaken;
  };
}

interface MeetingHost {
  join(url: RendezvousUrl, meeting: MailboxMeeting): RendezvousChannel;
  leave(meeting: MailboxMeeting): void;
}

class MailboxMeeting implements Meeting {
  readonly placeKey: string;
  readonly side: MailboxSide;
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: ((error: SrudpError) => void) | undefined;
  onContact: (() => void) | undefined;
  readonly #servers: readonly RendezvousUrl[];
  readonly #placeId: Uint8Array;
  readonly #host: MeetingHost;
  readonly #ends: Map<RendezvousChannel, MailboxEnd> = new Map();
  readonly #troubled: Set<RendezvousChannel> = new Set();
  #blob: Uint8Array | undefined;
  /** The latest of the peer's, from whichever server. */
  #latestKey: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #open = true;

  constructor(servers: readonly RendezvousUrl[], placeId: Uint8Array, side: MeetingSide, host: MeetingHost) {
    this.placeKey = placeKey(placeId);
    this.#servers = servers;
    this.#placeId = placeId;
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

  endAt(channel: RendezvousChannel): MailboxEnd | undefined {
    return this.#ends.get(channel);
  }

  handleAnswer(channel: RendezvousChannel): void {
    this.#troubled.delete(channel);
    this.onContact?.();
  }

  /** One server is in trouble: the next may serve. When all are, somebody is told. */
  handleTrouble(channel: RendezvousChannel, error: SrudpError): void {
    this.#troubled.add(channel);
    if (this.#ends.size < this.#servers.length) this.#joinNext();
    else if (this.#troubled.size === this.#ends.size) this.onTrouble?.(error);
  }

  #joinNext(): void {
    clearTimeout(this.#timer);
    const url = this.#servers[this.#ends.size];
    if (url === undefined || !this.#open) return;
    const channel = this.#host.join(url, this);
    const end = new MailboxEnd(
      channel,
      this.#placeId,
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
        }, LONELY_AFTER_MS - SILENT_AFTER_MS);
      }
    }, SILENT_AFTER_MS);
  }

  #take(blob: Uint8Array): void {
    const key = placeKey(blob);
    if (key === this.#latestKey || !this.#open) return;
    this.#latestKey = key;
    this.onBlob?.(blob);
  }
}

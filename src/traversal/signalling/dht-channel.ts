/**
 * The signalling channel over the Mainline DHT, which needs no server: each side stores its blob
 * there as a mutable item and looks for the peer's. Both derive the item's key pair from their
 * rendezvous point; the salt names the role, and the sequence number the newest blob.
 *
 * A get or put takes seconds: this is the slowest channel, and the one that is always available.
 */
import { copyBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { nameKey } from "../../platform/blob-digest.ts";
import {
  checkBlob,
  type RendezvousPoint,
  type SignallingChannel,
  type SignallingRole,
  type Subscription,
} from "./channel.ts";
import { DhtKey, DhtNode, type DhtOptions } from "./dht-node.ts";

/** Interval between gets; each asks some twenty nodes, whose operators are volunteers. */
const EARLY_GET_INTERVAL_MS = 2000;
const LATE_GET_INTERVAL_MS = 10_000;
/** How long gets are frequent: after that the peer is unlikely to arrive soon. */
const EARLY_PHASE_MS = 60_000;
/** Nodes come and go: a stored item is put again. */
const PUT_INTERVAL_MS = 300_000;
/** Delay before a put that no node accepted is repeated. */
const RETRY_MS = 3000;
/** Delay before a node that failed to start is started again. */
const RESTART_AFTER_MS = 15_000;

const SALTS: Readonly<Record<SignallingRole, Buffer>> = {
  initiator: Buffer.from("i"),
  responder: Buffer.from("r"),
};

export class DhtChannel implements SignallingChannel {
  readonly name = "dht";
  readonly #options: DhtOptions;
  readonly #subscriptions: Set<DhtSubscription> = new Set();
  #starting: AbortController = new AbortController();
  #node: Promise<DhtNode> | undefined;

  constructor(options: DhtOptions = {}) {
    this.#options = options;
  }

  meet(point: RendezvousPoint, side: SignallingRole): Subscription {
    const subscription = new DhtSubscription(
      () => this.#start(),
      point,
      side,
      () => this.#subscriptions.delete(subscription),
    );
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async close(): Promise<void> {
    this.#starting.abort();
    this.#starting = new AbortController();
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
    const node = this.#node;
    this.#node = undefined;
    await node?.then(
      (started) => started.close(),
      () => undefined,
    );
  }

  /** One node serves all subscriptions and stays up for later ones. */
  #start(): Promise<DhtNode> {
    this.#node ??= DhtNode.start(this.#options, this.#starting.signal);
    this.#node.catch(() => {
      this.#node = undefined;
    });
    return this.#node;
  }
}

class DhtSubscription implements Subscription {
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: ((error: SrudpError) => void) | undefined;
  onContact: (() => void) | undefined;
  readonly #start: () => Promise<DhtNode>;
  readonly #key: DhtKey;
  readonly #side: SignallingRole;
  readonly #onClosed: () => void;
  readonly #begunAtMs: number = performance.now();
  readonly #timers: Set<NodeJS.Timeout> = new Set();
  #blob: Uint8Array | undefined;
  #sequence = 0;
  #isPutting = false;
  #putTimer: NodeJS.Timeout | undefined;
  #latestKey: string | undefined;
  #isReported = false;
  #open = true;

  constructor(
    start: () => Promise<DhtNode>,
    point: RendezvousPoint,
    side: SignallingRole,
    onClosed: () => void,
  ) {
    this.#start = start;
    this.#key = new DhtKey(point.seed);
    this.#side = side;
    this.#onClosed = onClosed;
    // Deferred: the caller has yet to set its callbacks.
    this.#after(0, () => void this.#look());
  }

  publish(blob: Uint8Array): void {
    if (!this.#open) return;
    this.#blob = checkBlob(blob);
    // Increases across restarts and within one second.
    this.#sequence = Math.max(this.#sequence + 1, Math.floor(Date.now() / 1000));
    void this.#put();
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#onClosed();
  }

  async #put(): Promise<void> {
    // One put at a time: the newest blob follows the one in progress.
    if (this.#isPutting || !this.#open) return;
    const node = await this.#node();
    if (node === undefined || this.#isPutting || this.#blob === undefined || !this.#open) return;
    this.#isPutting = true;
    const sequence = this.#sequence;
    const takers = await node.put(this.#key, SALTS[this.#side], sequence, this.#blob);
    this.#isPutting = false;
    if (!this.#open) return;
    if (takers === 0) this.#report(new SrudpError("ERR_NO_MEETING_PLACE", "No node of the DHT answers"));
    else this.#handleContact();
    const waitMs = sequence !== this.#sequence ? 0 : takers === 0 ? RETRY_MS : PUT_INTERVAL_MS;
    this.#cancel(this.#putTimer);
    this.#putTimer = this.#after(waitMs, () => void this.#put());
  }

  async #look(): Promise<void> {
    const node = await this.#node();
    if (!this.#open) return;
    if (node === undefined) {
      this.#after(RESTART_AFTER_MS, () => {
        void this.#look();
        void this.#put();
      });
      return;
    }
    const other = this.#side === "initiator" ? "responder" : "initiator";
    const blob = await node.get(this.#key, SALTS[other]);
    if (!this.#open) return;
    // A listener puts nothing before a peer has come: only a get shows whether the DHT works.
    if (node.neighbours > 0) this.#handleContact();
    else this.#report(new SrudpError("ERR_NO_MEETING_PLACE", "No node of the DHT answers"));
    const isSoon = performance.now() - this.#begunAtMs < EARLY_PHASE_MS;
    this.#after(isSoon ? EARLY_GET_INTERVAL_MS : LATE_GET_INTERVAL_MS, () => void this.#look());
    if (blob === undefined || nameKey(blob) === this.#latestKey) return;
    this.#latestKey = nameKey(blob);
    this.onBlob?.(copyBytes(blob));
  }

  async #node(): Promise<DhtNode | undefined> {
    try {
      return await this.#start();
    } catch (error) {
      this.#report(
        error instanceof SrudpError ? error : new SrudpError("ERR_NO_MEETING_PLACE", "The DHT fails", error),
      );
      return undefined;
    }
  }

  #handleContact(): void {
    this.#isReported = false;
    this.onContact?.();
  }

  #report(error: SrudpError): void {
    if (this.#isReported || !this.#open) return;
    this.#isReported = true;
    this.onTrouble?.(error);
  }

  #after(ms: number, act: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  #cancel(timer: NodeJS.Timeout | undefined): void {
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(timer);
  }
}

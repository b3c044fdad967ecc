/**
 * The signalling channel on a local network: multicast to a group, on each interface separately, so
 * that it works without a default route and without the Internet.
 *
 * Each side announces its blob often in the first seconds and every 5 s later. It announces at once
 * when it receives an announcement which shows that the peer lacks its blob, so a side that arrives
 * late learns everything within a round trip. The rendezvous point has a different name here: an
 * eavesdropper on the network cannot use it at a rendezvous server.
 *
 * Not DNS-SD: the mDNS port is shared with the system's responder, whose names and caches do not
 * help two programs that look for each other for some seconds.
 */
import { createHash } from "node:crypto";
import { copyBytes, equalBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { TokenBucket } from "../../base/token-bucket.ts";
import { LABELS } from "../../crypto/labels.ts";
import { digestOf } from "../../platform/blob-digest.ts";
import { SourceRates } from "../../platform/source-rates.ts";
import { decodeLanMessage, encodeLanMessage, type LanMessage } from "../../wire/lan-message.ts";
import { DIGEST_BYTES, type MailboxSide } from "../../wire/mailbox-messages.ts";
import {
  checkBlob,
  type RendezvousPoint,
  type SignallingChannel,
  type SignallingRole,
  type Subscription,
} from "./channel.ts";
import { LanGroup, type LanGroupOptions } from "./lan-group.ts";

/** Intervals at which a side announces a changed blob, ms; then every `ANNOUNCE_INTERVAL_MS`. */
const ANNOUNCE_AFTER_MS: readonly number[] = [250, 250, 500, 1000, 2000];
const ANNOUNCE_INTERVAL_MS = 5000;
/** Least interval between announcements that answer others: two sides must not drive each other on. */
const ANSWER_GAP_MS = 100;
/**
 * New blobs accepted per second from one address and from all. Any host on the network can forge
 * them, and opening one costs some microseconds. The limit per address keeps a flooding host from
 * using up the peer's share.
 */
const SOURCE_RATE = { perSecond: 10, burst: 20 } as const;
const MAX_SOURCES = 256;
const BLOBS_PER_S = 200;
const BURST_MS = 1000;

const NOTHING: Uint8Array = new Uint8Array(0);
const NO_DIGEST: Uint8Array = new Uint8Array(DIGEST_BYTES);

export type LanOptions = LanGroupOptions;

export class LanChannel implements SignallingChannel {
  readonly name = "lan";
  readonly #options: LanOptions;
  readonly #subscriptions: Set<LanSubscription> = new Set();
  #group: LanGroup | undefined;

  constructor(options: LanOptions = {}) {
    this.#options = options;
  }

  meet(point: RendezvousPoint, side: SignallingRole): Subscription {
    this.#group ??= this.#join();
    const group = this.#group;
    const subscription = new LanSubscription(group, point, side, () => {
      this.#subscriptions.delete(subscription);
      if (this.#subscriptions.size > 0) return;
      group.close();
      this.#group = undefined;
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
  }

  #join(): LanGroup {
    const group = new LanGroup(this.#options);
    group.onMessage = (bytes, source) => {
      const message = decodeLanMessage(bytes);
      if (message === undefined) return;
      for (const subscription of this.#subscriptions) subscription.handleMessage(message, source);
    };
    group.onNetworks = (count) => {
      for (const subscription of this.#subscriptions) subscription.handleNetworks(count);
    };
    return group;
  }
}

class LanSubscription implements Subscription {
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: ((error: SrudpError) => void) | undefined;
  onContact: (() => void) | undefined;
  readonly #group: LanGroup;
  readonly #point: Uint8Array;
  readonly #side: MailboxSide;
  readonly #onClosed: () => void;
  readonly #allBlobs: TokenBucket = new TokenBucket(performance.now(), BLOBS_PER_S, BURST_MS);
  // On a local network every address is a separate host, also within a /64.
  readonly #blobsBySource: SourceRates = new SourceRates(SOURCE_RATE, MAX_SOURCES, (address) => address);
  #blob: Uint8Array = NOTHING;
  #localDigest: Uint8Array = NO_DIGEST;
  #peerDigest: Uint8Array = NO_DIGEST;
  #announcedCount = 0;
  #announcedAtMs = -Infinity;
  #nextAtMs = Infinity;
  #timer: NodeJS.Timeout | undefined;
  #open = true;

  constructor(group: LanGroup, point: RendezvousPoint, side: SignallingRole, onClosed: () => void) {
    this.#group = group;
    this.#point = createHash("sha256").update(LABELS.lan).update(point.id).digest();
    this.#side = side === "initiator" ? 0 : 1;
    this.#onClosed = onClosed;
    this.#announce();
  }

  publish(blob: Uint8Array): void {
    if (!this.#open) return;
    this.#blob = checkBlob(blob);
    this.#localDigest = digestOf(blob);
    this.#announcedCount = 0;
    this.#announce();
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    this.#onClosed();
  }

  handleMessage(message: LanMessage, source: string): void {
    if (message.side === this.#side || !equalBytes(message.point, this.#point) || !this.#open) return;
    const digest = message.blob.length === 0 ? NO_DIGEST : digestOf(message.blob);
    const isNews = message.blob.length > 0 && !equalBytes(digest, this.#peerDigest);
    if (isNews) {
      const nowMs = performance.now();
      if (!this.#blobsBySource.take(nowMs, source) || !this.#allBlobs.take(nowMs, 1)) return;
      this.#peerDigest = digest;
    }
    // The message names the digest of the blob that the peer has: an older digest means that it
    // lacks ours.
    if (isNews || !equalBytes(message.peerDigest, this.#localDigest)) this.#announceBy(ANSWER_GAP_MS);
    if (isNews) this.onBlob?.(copyBytes(message.blob));
  }

  handleNetworks(count: number): void {
    if (count > 0) {
      this.onContact?.();
      this.#announcedCount = 0;
      this.#announce();
    } else this.onTrouble?.(new SrudpError("ERR_NO_MEETING_PLACE", "No local network here takes multicast"));
  }

  #announce(): void {
    this.#group.send(
      encodeLanMessage({
        side: this.#side,
        point: this.#point,
        peerDigest: this.#peerDigest,
        blob: this.#blob,
      }),
    );
    this.#announcedAtMs = performance.now();
    this.#arm(ANNOUNCE_AFTER_MS[this.#announcedCount] ?? ANNOUNCE_INTERVAL_MS);
    this.#announcedCount++;
  }

  /** Announces at once, or as soon as `gapMs` have passed since the last announcement. */
  #announceBy(gapMs: number): void {
    const waitMs = Math.max(0, this.#announcedAtMs + gapMs - performance.now());
    if (performance.now() + waitMs < this.#nextAtMs) this.#arm(waitMs);
  }

  #arm(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#nextAtMs = performance.now() + waitMs;
    this.#timer = setTimeout(() => this.#announce(), waitMs);
  }
}

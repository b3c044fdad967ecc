/**
 * The mailbox of a rendezvous server: each rendezvous point has two entries, one for each side,
 * holding a sealed blob that is pushed to the peer at once. It holds no sockets and no clock.
 *
 * An entry lives two minutes from its owner's last request. A request from another address takes
 * the entry over: the name of a point is a secret of 256 bits, and its owner may have moved.
 */
import { copyBytes, equalBytes } from "../base/bytes.ts";
import { digestOf, nameKey } from "../platform/blob-digest.ts";
import {
  DIGEST_BYTES,
  encodeReply,
  type Leave,
  type MailboxSide,
  type Meet,
  REFUSAL,
  type Refusal,
  TRANSACTION_BYTES,
} from "../wire/mailbox-messages.ts";
import { type Client, OwnedItems, Quota } from "./client.ts";
import { ENTRY_LIFE_MS, PUSH_AGAIN_AFTER_MS, type RendezvousLimits } from "./limits.ts";
import type { RendezvousStatistics } from "./statistics.ts";

/** Transaction of a state that no request asked for. */
const NO_TRANSACTION: Uint8Array = new Uint8Array(TRANSACTION_BYTES);
const NONE: Uint8Array = new Uint8Array(DIGEST_BYTES);
const EMPTY: Uint8Array = new Uint8Array(0);

interface Entry {
  readonly point: RendezvousPoint;
  readonly side: MailboxSide;
  owner: Client;
  blob: Uint8Array;
  /** Digest of `blob`; zeros while there is none. */
  digest: Uint8Array;
  /** The newest blob of the peer that the owner has confirmed. */
  knownDigest: Uint8Array;
  expiresAtMs: number;
  /** When an unconfirmed change is pushed to the owner again, and how often it was. */
  pushAtMs: number;
  pushes: number;
}

interface RendezvousPoint {
  readonly key: string;
  readonly id: Uint8Array;
  readonly entries: [Entry | undefined, Entry | undefined];
}

export class Mailbox {
  /** By name; the point whose last request is oldest comes first. */
  readonly #points: Map<string, RendezvousPoint> = new Map();
  /** Points with an unconfirmed change. */
  readonly #pushing: Set<RendezvousPoint> = new Set();
  readonly #ownerships: OwnedItems<Entry> = new OwnedItems();
  readonly #limits: RendezvousLimits;
  readonly #quota: Quota;
  readonly #statistics: RendezvousStatistics;

  constructor(limits: RendezvousLimits, statistics: RendezvousStatistics) {
    this.#limits = limits;
    this.#quota = new Quota(limits.entriesPerAddress);
    this.#statistics = statistics;
  }

  /** Handles a request from a validated address; @returns the reason of a refusal. */
  meet(nowMs: number, from: Client, request: Meet): Refusal | undefined {
    const { side } = request;
    const peerSide = side === 0 ? 1 : 0;
    const key = nameKey(request.point);
    let point = this.#points.get(key);
    if (point !== undefined && (point.entries[peerSide]?.expiresAtMs ?? Infinity) <= nowMs) {
      this.#remove(point, peerSide);
      point = this.#points.get(key);
    }
    const other = point?.entries[peerSide];
    let entry = point?.entries[side];
    if (entry === undefined || !entry.owner.equals(from)) {
      const refusal = this.#makeRoom(from, point === undefined, entry);
      if (refusal !== undefined) return refusal;
    }
    if (point === undefined) point = { key, id: copyBytes(request.point), entries: [undefined, undefined] };
    if (entry === undefined) {
      entry = newEntry(point, from, side);
      point.entries[side] = entry;
      this.#statistics.waiting++;
    }
    // The entry is re-added under its present owner.
    this.#ownerships.delete(entry.owner, entry);
    this.#ownerships.add(from, entry);
    entry.owner = from;
    entry.expiresAtMs = nowMs + ENTRY_LIFE_MS;
    entry.knownDigest = copyBytes(request.peerDigest);
    // Moved to the end of the map, whose order is that of the last requests.
    this.#points.delete(key);
    this.#points.set(key, point);
    this.#statistics.points = this.#points.size;

    if (request.blob.length > 0) this.#store(nowMs, point, entry, other, request.blob);
    const peerDigest = other?.digest ?? NONE;
    const isNews = other !== undefined && !equalBytes(peerDigest, entry.knownDigest);
    from.send(
      encodeReply({
        kind: "state",
        transaction: request.transaction,
        point: request.point,
        side,
        localDigest: entry.digest,
        peerDigest,
        blob: isNews ? other.blob : EMPTY,
      }),
    );
    return undefined;
  }

  leave(from: Client, request: Leave): void {
    const point = this.#points.get(nameKey(request.point));
    const entry = point?.entries[request.side];
    // A later owner may have taken the entry over.
    if (point === undefined || entry === undefined || !entry.owner.equals(from)) return;
    this.#remove(point, request.side);
  }

  /** Removes everything that belongs to a connection which has ended. */
  forget(owner: Client): void {
    for (const { point, side } of this.#ownerships.of(owner)) this.#remove(point, side);
  }

  /** Pushes unconfirmed changes again. @returns when to call next, Infinity for never */
  pushDue(nowMs: number): number {
    let nextMs = Infinity;
    for (const point of this.#pushing) {
      let isWaiting = false;
      for (const side of [0, 1] as const) {
        const entry = point.entries[side];
        const other = point.entries[side === 0 ? 1 : 0];
        if (entry === undefined || other === undefined || entry.pushAtMs === Infinity) continue;
        if (equalBytes(entry.knownDigest, other.digest)) {
          entry.pushAtMs = Infinity;
          continue;
        }
        if (entry.pushAtMs <= nowMs) this.#push(nowMs, point, entry, other);
        if (entry.pushAtMs === Infinity) continue;
        isWaiting = true;
        nextMs = Math.min(nextMs, entry.pushAtMs);
      }
      if (!isWaiting) this.#pushing.delete(point);
    }
    return nextMs;
  }

  /** Removes expired entries. */
  sweep(nowMs: number): void {
    for (const point of this.#points.values()) {
      let newestMs = 0;
      for (const side of [0, 1] as const) {
        const entry = point.entries[side];
        if (entry === undefined) continue;
        newestMs = Math.max(newestMs, entry.expiresAtMs);
        if (entry.expiresAtMs <= nowMs) this.#remove(point, side);
      }
      // The points after it have later requests.
      if (newestMs > nowMs) return;
    }
  }

  #makeRoom(from: Client, isNewPoint: boolean, earlier: Entry | undefined): Refusal | undefined {
    if (isNewPoint && this.#points.size >= this.#limits.points) return REFUSAL.full;
    if (earlier !== undefined) this.#quota.release(earlier.owner.address);
    if (this.#quota.take(from.address)) return undefined;
    // Refused: the earlier owner keeps its entry.
    if (earlier !== undefined) this.#quota.take(earlier.owner.address);
    return REFUSAL.tooMany;
  }

  #store(
    nowMs: number,
    point: RendezvousPoint,
    entry: Entry,
    other: Entry | undefined,
    blob: Uint8Array,
  ): void {
    const digest = digestOf(blob);
    if (equalBytes(digest, entry.digest)) return;
    entry.blob = copyBytes(blob);
    entry.digest = digest;
    this.#statistics.published++;
    if (other === undefined) return;
    other.pushes = 0;
    this.#push(nowMs, point, other, entry);
    if (other.pushAtMs < Infinity) this.#pushing.add(point);
  }

  #push(nowMs: number, point: RendezvousPoint, to: Entry, about: Entry): void {
    const againAfterMs = to.owner.isReliable ? undefined : PUSH_AGAIN_AFTER_MS[to.pushes];
    to.pushes++;
    to.pushAtMs = againAfterMs === undefined ? Infinity : nowMs + againAfterMs;
    this.#statistics.pushed++;
    to.owner.send(
      encodeReply({
        kind: "state",
        transaction: NO_TRANSACTION,
        point: point.id,
        side: to.side,
        localDigest: to.digest,
        peerDigest: about.digest,
        blob: about.blob,
      }),
    );
  }

  #remove(point: RendezvousPoint, side: MailboxSide): void {
    const entry = point.entries[side];
    if (entry === undefined) return;
    this.#quota.release(entry.owner.address);
    this.#ownerships.delete(entry.owner, entry);
    point.entries[side] = undefined;
    this.#statistics.waiting--;
    if (point.entries[side === 0 ? 1 : 0] !== undefined) return;
    this.#points.delete(point.key);
    this.#pushing.delete(point);
    this.#statistics.points = this.#points.size;
  }
}

function newEntry(point: RendezvousPoint, owner: Client, side: MailboxSide): Entry {
  return {
    point,
    side,
    owner,
    blob: EMPTY,
    digest: NONE,
    knownDigest: NONE,
    expiresAtMs: 0,
    pushAtMs: Infinity,
    pushes: 0,
  };
}

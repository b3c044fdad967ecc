/**
 * The mailbox of a rendezvous server: at each place two entries, one a side, with a sealed blob in it that
 * the other side gets at once. It holds no sockets and no clock.
 *
 * An entry lives two minutes from the last time that its owner asked for it. Whoever asks from elsewhere
 * takes the entry over: the name of a place is a secret of 256 bits, and its owner may have moved.
 */
import { copyBytes, equalBytes } from "../base/bytes.ts";
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
import { type Correspondent, Holdings, Quota } from "./client.ts";
import { ENTRY_LIFE_MS, PUSH_AGAIN_AFTER_MS, type RendezvousLimits } from "./limits.ts";
import { digestOf, placeKey } from "../platform/blob-digest.ts";
import type { RendezvousStatistics } from "./statistics.ts";

/** Of a state that nobody asked for. */
const NO_TRANSACTION: Uint8Array = new Uint8Array(TRANSACTION_BYTES);
const NONE: Uint8Array = new Uint8Array(DIGEST_BYTES);
const EMPTY: Uint8Array = new Uint8Array(0);

interface Entry {
  readonly place: Place;
  readonly side: MailboxSide;
  owner: Correspondent;
  blob: Uint8Array;
  /** Names `blob`; zeros while there is none. */
  digest: Uint8Array;
  /** The newest blob of the other side that the owner is known to have. */
  knownDigest: Uint8Array;
  expiresAtMs: number;
  /** When the owner is told again of what it has not confirmed, and how often it was. */
  pushAtMs: number;
  pushes: number;
}

interface Place {
  readonly key: string;
  readonly id: Uint8Array;
  readonly entries: [Entry | undefined, Entry | undefined];
}

export class Mailbox {
  /** By name, the one that was asked for longest ago first. */
  readonly #places: Map<string, Place> = new Map();
  /** Places where somebody has something to be told again. */
  readonly #pushing: Set<Place> = new Set();
  readonly #holdings: Holdings<Entry> = new Holdings();
  readonly #limits: RendezvousLimits;
  readonly #quota: Quota;
  readonly #statistics: RendezvousStatistics;

  constructor(limits: RendezvousLimits, statistics: RendezvousStatistics) {
    this.#limits = limits;
    this.#quota = new Quota(limits.entriesPerAddress);
    this.#statistics = statistics;
  }

  /** Takes a request from a proved address and answers it; @returns why not, if not. */
  meet(nowMs: number, from: Correspondent, request: Meet): Refusal | undefined {
    const { side } = request;
    const otherSide = side === 0 ? 1 : 0;
    const key = placeKey(request.place);
    let place = this.#places.get(key);
    if (place !== undefined && (place.entries[otherSide]?.expiresAtMs ?? Infinity) <= nowMs) {
      this.#remove(place, otherSide);
      place = this.#places.get(key);
    }
    const other = place?.entries[otherSide];
    let entry = place?.entries[side];
    if (entry === undefined || !entry.owner.equals(from)) {
      const refusal = this.#makeRoom(from, place === undefined, entry);
      if (refusal !== undefined) return refusal;
    }
    if (place === undefined) place = { key, id: copyBytes(request.place), entries: [undefined, undefined] };
    if (entry === undefined) {
      entry = newEntry(place, from, side);
      place.entries[side] = entry;
      this.#statistics.waiting++;
    }
    // The same object over again, or its successor from elsewhere.
    this.#holdings.delete(entry.owner, entry);
    this.#holdings.add(from, entry);
    entry.owner = from;
    entry.expiresAtMs = nowMs + ENTRY_LIFE_MS;
    entry.knownDigest = copyBytes(request.peerDigest);
    // At the end of the map: the order of places is that of their last requests.
    this.#places.delete(key);
    this.#places.set(key, place);
    this.#statistics.places = this.#places.size;

    if (request.blob.length > 0) this.#store(nowMs, place, entry, other, request.blob);
    const peerDigest = other?.digest ?? NONE;
    const isNews = other !== undefined && !equalBytes(peerDigest, entry.knownDigest);
    from.send(
      encodeReply({
        kind: "state",
        transaction: request.transaction,
        place: request.place,
        side,
        ownDigest: entry.digest,
        peerDigest,
        blob: isNews ? other.blob : EMPTY,
      }),
    );
    return undefined;
  }

  leave(from: Correspondent, request: Leave): void {
    const place = this.#places.get(placeKey(request.place));
    const entry = place?.entries[request.side];
    // Its successor from elsewhere may have the entry by now.
    if (place === undefined || entry === undefined || !entry.owner.equals(from)) return;
    this.#remove(place, request.side);
  }

  /** Lets go of everything that belongs to a connection which has ended. */
  forget(owner: Correspondent): void {
    for (const { place, side } of this.#holdings.of(owner)) this.#remove(place, side);
  }

  /** Tells again what was not confirmed. @returns when to call next, Infinity for never */
  pushDue(nowMs: number): number {
    let nextMs = Infinity;
    for (const place of this.#pushing) {
      let isWaiting = false;
      for (const side of [0, 1] as const) {
        const entry = place.entries[side];
        const other = place.entries[side === 0 ? 1 : 0];
        if (entry === undefined || other === undefined || entry.pushAtMs === Infinity) continue;
        if (equalBytes(entry.knownDigest, other.digest)) {
          entry.pushAtMs = Infinity;
          continue;
        }
        if (entry.pushAtMs <= nowMs) this.#push(nowMs, place, entry, other);
        if (entry.pushAtMs === Infinity) continue;
        isWaiting = true;
        nextMs = Math.min(nextMs, entry.pushAtMs);
      }
      if (!isWaiting) this.#pushing.delete(place);
    }
    return nextMs;
  }

  /** Forgets entries whose owners have fallen silent. */
  sweep(nowMs: number): void {
    for (const place of this.#places.values()) {
      let newestMs = 0;
      for (const side of [0, 1] as const) {
        const entry = place.entries[side];
        if (entry === undefined) continue;
        newestMs = Math.max(newestMs, entry.expiresAtMs);
        if (entry.expiresAtMs <= nowMs) this.#remove(place, side);
      }
      // The places behind it were asked for later.
      if (newestMs > nowMs) return;
    }
  }

  #makeRoom(from: Correspondent, isNewPlace: boolean, earlier: Entry | undefined): Refusal | undefined {
    if (isNewPlace && this.#places.size >= this.#limits.places) return REFUSAL.full;
    if (earlier !== undefined) this.#quota.giveBack(earlier.owner.address);
    if (this.#quota.take(from.address)) return undefined;
    // It had its place before.
    if (earlier !== undefined) this.#quota.take(earlier.owner.address);
    return REFUSAL.tooMany;
  }

  #store(nowMs: number, place: Place, entry: Entry, other: Entry | undefined, blob: Uint8Array): void {
    const digest = digestOf(blob);
    if (equalBytes(digest, entry.digest)) return;
    entry.blob = copyBytes(blob);
    entry.digest = digest;
    this.#statistics.published++;
    if (other === undefined) return;
    other.pushes = 0;
    this.#push(nowMs, place, other, entry);
    if (other.pushAtMs < Infinity) this.#pushing.add(place);
  }

  #push(nowMs: number, place: Place, to: Entry, about: Entry): void {
    const againAfterMs = to.owner.isReliable ? undefined : PUSH_AGAIN_AFTER_MS[to.pushes];
    to.pushes++;
    to.pushAtMs = againAfterMs === undefined ? Infinity : nowMs + againAfterMs;
    this.#statistics.pushed++;
    to.owner.send(
      encodeReply({
        kind: "state",
        transaction: NO_TRANSACTION,
        place: place.id,
        side: to.side,
        ownDigest: to.digest,
        peerDigest: about.digest,
        blob: about.blob,
      }),
    );
  }

  #remove(place: Place, side: MailboxSide): void {
    const entry = place.entries[side];
    if (entry === undefined) return;
    this.#quota.giveBack(entry.owner.address);
    this.#holdings.delete(entry.owner, entry);
    place.entries[side] = undefined;
    this.#statistics.waiting--;
    if (place.entries[side === 0 ? 1 : 0] !== undefined) return;
    this.#places.delete(place.key);
    this.#pushing.delete(place);
    this.#statistics.places = this.#places.size;
  }
}

function newEntry(place: Place, owner: Correspondent, side: MailboxSide): Entry {
  return {
    place,
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

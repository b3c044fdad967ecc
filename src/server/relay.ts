/**
 * The relay of a rendezvous server: rooms with two ends, between which it passes sealed datagrams,
 * up to a rate and a quota. It holds no sockets and no clock.
 *
 * The name of a room is derived from the secret of its peers' rendezvous point, so knowing it
 * proves the right to enter. Datagrams over the rate are dropped, as at any bottleneck: the peers'
 * congestion control reacts.
 */
import { randomBytes } from "node:crypto";
import { copyBytes } from "../base/bytes.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import { nameKey } from "../platform/blob-digest.ts";
import {
  encodeReply,
  type MailboxSide,
  REFUSAL,
  type Refusal,
  type RelayClose,
  type RelayOpen,
  SESSION_BYTES,
  sessionOfRelayed,
  TRANSACTION_BYTES,
  writeRelayHead,
} from "../wire/mailbox-messages.ts";
import { type Client, OwnedItems, Quota } from "./client.ts";
import {
  BURST_MS,
  MAX_REMEMBERED_QUOTAS,
  RELAY_END_LIFE_MS,
  RELAY_QUOTA_MEMORY_MS,
  RELAY_SMALL_DATAGRAM_BYTES,
  type RendezvousLimits,
} from "./limits.ts";
import type { RendezvousStatistics } from "./statistics.ts";

/** Transaction of a reply that no request asked for. */
const NO_TRANSACTION: Uint8Array = new Uint8Array(TRANSACTION_BYTES);
/** Lower limit, for low rates in bytes. */
const MIN_DATAGRAMS_PER_S = 40;

interface End {
  readonly room: Room;
  readonly side: MailboxSide;
  readonly session: Uint8Array;
  readonly bytes: TokenBucket;
  readonly datagrams: TokenBucket;
  owner: Client;
  expiresAtMs: number;
}

interface Room {
  readonly key: string;
  readonly id: Uint8Array;
  readonly ends: [End | undefined, End | undefined];
  relayedBytes: number;
}

export class Relay {
  readonly #rooms: Map<string, Room> = new Map();
  /** Keyed by session, through `nameKey`. */
  readonly #ends: Map<string, End> = new Map();
  /** Bytes relayed by rooms without ends; the room that was left first comes first. */
  readonly #spent: Map<string, { readonly relayedBytes: number; readonly forgetAtMs: number }> = new Map();
  readonly #ownerships: OwnedItems<End> = new OwnedItems();
  readonly #limits: RendezvousLimits;
  readonly #quota: Quota;
  readonly #total: TokenBucket;
  readonly #statistics: RendezvousStatistics;
  /** The time of the latest call. */
  #nowMs: number;

  constructor(nowMs: number, limits: RendezvousLimits, statistics: RendezvousStatistics) {
    this.#limits = limits;
    this.#quota = new Quota(limits.relaysPerAddress);
    this.#total = new TokenBucket(nowMs, limits.relayTotalRateBytes, BURST_MS);
    this.#statistics = statistics;
    this.#nowMs = nowMs;
  }

  /** Gives an end to a validated address, or extends it; @returns the reason of a refusal. */
  open(nowMs: number, from: Client, request: RelayOpen): Refusal | undefined {
    const key = nameKey(request.point);
    this.#nowMs = nowMs;
    let room = this.#rooms.get(key);
    let end = room?.ends[request.side];
    const relayedBytes = (room ?? this.#spent.get(key))?.relayedBytes ?? 0;
    // Checked before the address is charged for anything.
    if (relayedBytes >= this.#limits.relayQuotaBytes) return REFUSAL.quota;
    if (end === undefined || !end.owner.equals(from)) {
      const refusal = this.#makeRoom(from, room, end);
      if (refusal !== undefined) return refusal;
    }
    if (room === undefined) {
      this.#spent.delete(key);
      room = { key, id: copyBytes(request.point), ends: [undefined, undefined], relayedBytes };
      this.#rooms.set(key, room);
      this.#statistics.relays = this.#rooms.size;
    }
    const isNew = end === undefined;
    const { relayRateBytes } = this.#limits;
    if (end === undefined) {
      end = {
        room,
        side: request.side,
        session: copyBytes(randomBytes(SESSION_BYTES)),
        bytes: new TokenBucket(nowMs, relayRateBytes, BURST_MS),
        datagrams: new TokenBucket(nowMs, datagramsPerSecond(relayRateBytes), BURST_MS),
        owner: from,
        expiresAtMs: 0,
      };
      room.ends[request.side] = end;
      this.#ends.set(nameKey(end.session), end);
    }
    this.#ownerships.delete(end.owner, end);
    this.#ownerships.add(from, end);
    end.owner = from;
    end.expiresAtMs = nowMs + RELAY_END_LIFE_MS;
    this.#report(end, request.transaction);
    const other = peerEnd(end);
    if (isNew && other !== undefined) this.#report(other, NO_TRANSACTION);
    return undefined;
  }

  close(from: Client, request: RelayClose): void {
    const end = this.#rooms.get(nameKey(request.point))?.ends[request.side];
    if (end?.owner.equals(from)) this.#remove(end);
  }

  /**
   * Passes a relayed datagram on to the peer's end.
   *
   * @param bytes changed in place and sent
   * @returns whether it was passed on; false for a sender without an end or a peer, or beyond its
   * rate or quota
   */
  pass(nowMs: number, from: Client, bytes: Uint8Array): boolean {
    const end = this.#ends.get(nameKey(sessionOfRelayed(bytes)));
    const statistics = this.#statistics;
    if (end === undefined || !end.owner.equals(from)) {
      statistics.relayDropped++;
      return false;
    }
    const { room } = end;
    const other = peerEnd(end);
    const isOver =
      room.relayedBytes >= this.#limits.relayQuotaBytes ||
      !end.datagrams.take(nowMs, 1) ||
      !end.bytes.take(nowMs, bytes.length) ||
      !this.#total.take(nowMs, bytes.length);
    if (other === undefined || isOver) {
      statistics.relayDropped++;
      return false;
    }
    room.relayedBytes += bytes.length;
    statistics.relayedBytes += bytes.length;
    statistics.relayedDatagrams++;
    writeRelayHead(bytes, other.session);
    other.owner.send(bytes);
    if (room.relayedBytes >= this.#limits.relayQuotaBytes) this.#exhaust(room);
    return true;
  }

  /** Removes everything that belongs to a connection which has ended. */
  forget(owner: Client): void {
    for (const end of this.#ownerships.of(owner)) this.#remove(end);
  }

  /** Removes expired ends. */
  sweep(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const end of this.#ends.values()) if (end.expiresAtMs <= nowMs) this.#remove(end);
    for (const [key, { forgetAtMs }] of this.#spent) {
      if (forgetAtMs > nowMs) break;
      this.#spent.delete(key);
    }
  }

  #makeRoom(from: Client, room: Room | undefined, earlier: End | undefined): Refusal | undefined {
    if (this.#limits.relays === 0) return REFUSAL.noRelay;
    if (room === undefined && this.#rooms.size >= this.#limits.relays) return REFUSAL.full;
    if (earlier !== undefined) this.#quota.release(earlier.owner.address);
    if (this.#quota.take(from.address)) return undefined;
    if (earlier !== undefined) this.#quota.take(earlier.owner.address);
    return REFUSAL.tooMany;
  }

  /** Leaving and returning does not start a new quota. */
  #rememberQuota({ key, relayedBytes }: Room): void {
    if (relayedBytes === 0) return;
    if (this.#spent.size >= MAX_REMEMBERED_QUOTAS) this.#spent.delete(this.#spent.keys().next().value!);
    this.#spent.set(key, { relayedBytes, forgetAtMs: this.#nowMs + RELAY_QUOTA_MEMORY_MS });
  }

  #report(end: End, transaction: Uint8Array): void {
    end.owner.send(
      encodeReply({
        kind: "relayState",
        transaction,
        point: end.room.id,
        side: end.side,
        session: end.session,
        isPeerPresent: peerEnd(end) !== undefined,
        rateBytes: this.#limits.relayRateBytes,
      }),
    );
  }

  /** The room stays, with its quota exhausted, until its ends have expired. */
  #exhaust(room: Room): void {
    for (const end of room.ends) {
      if (end === undefined) continue;
      const { owner, side } = end;
      owner.send(
        encodeReply({
          kind: "refused",
          transaction: NO_TRANSACTION,
          point: room.id,
          side,
          reason: REFUSAL.quota,
        }),
      );
    }
  }

  #remove(end: End): void {
    this.#quota.release(end.owner.address);
    this.#ownerships.delete(end.owner, end);
    this.#ends.delete(nameKey(end.session));
    end.room.ends[end.side] = undefined;
    this.#settle(end.room);
  }

  #settle(room: Room): void {
    if (room.ends[0] !== undefined || room.ends[1] !== undefined) return;
    this.#rooms.delete(room.key);
    this.#statistics.relays = this.#rooms.size;
    this.#rememberQuota(room);
  }
}

/** Datagrams a second that a relayed connection may send in each direction. */
function datagramsPerSecond(rateBytes: number): number {
  return Math.max(MIN_DATAGRAMS_PER_S, rateBytes / RELAY_SMALL_DATAGRAM_BYTES);
}

function peerEnd(end: End): End | undefined {
  return end.room.ends[end.side === 0 ? 1 : 0];
}

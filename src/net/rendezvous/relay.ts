/**
 * The relay of a rendezvous server: rooms of two ends, between which it passes datagrams that it cannot read,
 * up to a rate and a quota. It holds no sockets and no clock.
 *
 * The name of a room comes from the secret of the place where its peers meet, so that it is the proof of the
 * right to enter, too. What is over the rate is dropped, as any bottleneck does: the peers' congestion control
 * finds it.
 */
import { randomBytes } from "node:crypto";
import { copyBytes } from "../../base/bytes.ts";
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
} from "../../wire/mailbox.ts";
import { type Correspondent, Quota } from "./correspondent.ts";
import { BURST_MS, RELAY_END_LIFE_MS, type RendezvousLimits } from "./limits.ts";
import { placeKey } from "./names.ts";
import type { RendezvousStatistics } from "./statistics.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Of a reply that nobody asked for. */
const NO_TRANSACTION: Uint8Array = new Uint8Array(TRANSACTION_BYTES);

interface End {
  readonly room: Room;
  readonly side: MailboxSide;
  readonly session: Uint8Array;
  readonly bucket: TokenBucket;
  owner: Correspondent;
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
  /** By session, as `placeKey` has it. */
  readonly #ends: Map<string, End> = new Map();
  readonly #limits: RendezvousLimits;
  readonly #quota: Quota;
  readonly #total: TokenBucket;
  readonly #statistics: RendezvousStatistics;

  constructor(nowMs: number, limits: RendezvousLimits, statistics: RendezvousStatistics) {
    this.#limits = limits;
    this.#quota = new Quota(limits.relaysPerAddress);
    this.#total = new TokenBucket(nowMs, limits.relayTotalRateBytes, BURST_MS);
    this.#statistics = statistics;
  }

  /** Gives a proved address an end, or keeps it for it; @returns why not, if not. */
  open(nowMs: number, from: Correspondent, request: RelayOpen): Refusal | undefined {
    const key = placeKey(request.place);
    let room = this.#rooms.get(key);
    let end = room?.ends[request.side];
    if (end === undefined || !end.owner.equals(from)) {
      const refusal = this.#makeRoom(from, room, end);
      if (refusal !== undefined) return refusal;
    }
    if (room !== undefined && room.relayedBytes >= this.#limits.relayQuotaBytes) return REFUSAL.quota;
    if (room === undefined) {
      room = { key, id: copyBytes(request.place), ends: [undefined, undefined], relayedBytes: 0 };
      this.#rooms.set(key, room);
      this.#statistics.relays = this.#rooms.size;
    }
    const isNew = end === undefined;
    if (end === undefined) {
      end = {
        room,
        side: request.side,
        session: copyBytes(randomBytes(SESSION_BYTES)),
        bucket: new TokenBucket(nowMs, this.#limits.relayRateBytes, BURST_MS),
        owner: from,
        expiresAtMs: 0,
      };
      room.ends[request.side] = end;
      this.#ends.set(placeKey(end.session), end);
    }
    end.owner = from;
    end.expiresAtMs = nowMs + RELAY_END_LIFE_MS;
    this.#tell(end, request.transaction);
    const other = otherEnd(end);
    if (isNew && other !== undefined) this.#tell(other, NO_TRANSACTION);
    return undefined;
  }

  close(from: Correspondent, request: RelayClose): void {
    const end = this.#rooms.get(placeKey(request.place))?.ends[request.side];
    if (end?.owner.equals(from)) this.#remove(end);
  }

  /**
   * Passes a relayed datagram on to the other end.
   *
   * @param bytes changed in place and sent
   */
  pass(nowMs: number, from: Correspondent, bytes: Uint8Array): void {
    const end = this.#ends.get(placeKey(sessionOfRelayed(bytes)));
    const statistics = this.#statistics;
    if (end === undefined || !end.owner.equals(from)) {
      statistics.relayDropped++;
      return;
    }
    const { room } = end;
    const other = otherEnd(end);
    const isOver =
      room.relayedBytes >= this.#limits.relayQuotaBytes ||
      !end.bucket.take(nowMs, bytes.length) ||
      !this.#total.take(nowMs, bytes.length);
    if (other === undefined || isOver) {
      statistics.relayDropped++;
      return;
    }
    room.relayedBytes += bytes.length;
    statistics.relayedBytes += bytes.length;
    statistics.relayedDatagrams++;
    writeRelayHead(bytes, other.session);
    other.owner.send(bytes);
    if (room.relayedBytes >= this.#limits.relayQuotaBytes) this.#exhaust(room);
  }

  /** Lets go of everything that belongs to a connection which has ended. */
  forget(owner: Correspondent, rooms: Iterable<string>): void {
    for (const key of rooms) {
      for (const end of this.#rooms.get(key)?.ends ?? []) if (end?.owner.equals(owner)) this.#remove(end);
    }
  }

  /** Forgets ends whose owners have fallen silent. */
  sweep(nowMs: number): void {
    for (const end of this.#ends.values()) if (end.expiresAtMs <= nowMs) this.#remove(end);
  }

  #makeRoom(from: Correspondent, room: Room | undefined, earlier: End | undefined): Refusal | undefined {
    if (this.#limits.relays === 0) return REFUSAL.noRelay;
    if (room === undefined && this.#rooms.size >= this.#limits.relays) return REFUSAL.full;
    if (earlier !== undefined) this.#quota.giveBack(earlier.owner.address);
    if (this.#quota.take(from.address)) return undefined;
    if (earlier !== undefined) this.#quota.take(earlier.owner.address);
    return REFUSAL.tooMany;
  }

  #tell(end: End, transaction: Uint8Array): void {
    end.owner.send(
      encodeReply({
        kind: "relayState",
        transaction,
        place: end.room.id,
        side: end.side,
        session: end.session,
        isPeerThere: otherEnd(end) !== undefined,
        rateBytes: this.#limits.relayRateBytes,
      }),
    );
  }

  /** The room stays, known to have had its share, until its ends have expired. */
  #exhaust(room: Room): void {
    for (const end of room.ends) {
      if (end === undefined) continue;
      const { owner, side } = end;
      owner.send(
        encodeReply({
          kind: "refused",
          transaction: NO_TRANSACTION,
          place: room.id,
          side,
          reason: REFUSAL.quota,
        }),
      );
    }
  }

  #remove(end: End): void {
    this.#quota.giveBack(end.owner.address);
    this.#ends.delete(placeKey(end.session));
    end.room.ends[end.side] = undefined;
    this.#settle(end.room);
  }

  #settle(room: Room): void {
    if (room.ends[0] !== undefined || room.ends[1] !== undefined) return;
    this.#rooms.delete(room.key);
    this.#statistics.relays = this.#rooms.size;
  }
}

function otherEnd(end: End): End | undefined {
  return end.room.ends[end.side === 0 ? 1 : 0];
}

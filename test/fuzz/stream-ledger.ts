/**
 * What has been said of the streams of a connection, kept from the rules alone: which frames of the peer are
 * allowed, and with which error the others must be refused.  // RFC 9000 §2, §4, §19
 *
 * Limits are read from the product, since it may grant more at any time; what follows from them is not.
 */
import type { ErrorCode } from "../../src/base/errors.ts";
import type { TransportParameters } from "../../src/engine/connection/transport-parameters.ts";
import { RECEIVE } from "../../src/engine/streams/receive-stream.ts";
import type { Streams } from "../../src/engine/streams/streams.ts";
import type { Xorshift } from "./xorshift.ts";

interface ReceiveInsides {
  readonly state: number;
  readonly maxBytes: number;
  readonly slabs: readonly (Uint8Array | undefined)[];
}

/** What the product knows of a stream, as far as it bounds what the peer may do. */
export interface Insides {
  readonly open: ReadonlyMap<number, { readonly receive: ReceiveInsides }>;
  readonly localOpened: number;
  readonly remoteOpened: number;
  readonly remoteLimit: number;
}

/** What the peer has said of a stream. */
export interface Said {
  highest: number;
  finalBytes: number;
  /** What it granted us. */
  maxBytes: number;
  /** What we granted it, by the frames that it got. */
  granted: number;
  read: number;
  /** How far we have sent. */
  sent: number;
  pieces: number;
}

export class StreamLedger {
  readonly insides: Insides;
  /** Every stream that was ever opened. */
  readonly said: Map<number, Said> = new Map();
  readonly ids: number[] = [];
  /** Bytes that count as received, all streams together. */
  received = 0;
  /** 0 when our own streams have even IDs, 1 when they have odd ones. */
  readonly parity: number;
  private nextRemote: number;
  private readonly streams: Streams;
  private readonly local: TransportParameters;
  private readonly peer: TransportParameters;

  constructor(streams: Streams, parity: number, local: TransportParameters, peer: TransportParameters) {
    this.streams = streams;
    this.insides = streams as unknown as Insides;
    this.parity = parity;
    this.nextRemote = 1 - parity;
    this.local = local;
    this.peer = peer;
  }

  /** The entry of a stream that is opened now, or was before. */
  note(id: number): Said {
    let said = this.said.get(id);
    if (said !== undefined) return said;
    // Opening one opens those below it as well.
    const isRemote = id % 2 !== this.parity;
    for (let below = isRemote ? this.nextRemote : id; below <= id; below += 4) {
      said = {
        highest: 0,
        finalBytes: -1,
        maxBytes: this.peer.maxStreamDataBytes,
        granted: this.local.maxStreamDataBytes,
        read: 0,
        sent: 0,
        pieces: 0,
      };
      this.said.set(below, said);
      this.ids.push(below);
    }
    if (isRemote) this.nextRemote = id + 4;
    return said!;
  }

  /** What a frame that reaches `end` deserves.  // RFC 9000 §4.5, §4.6, §19.8 */
  judge(id: number, end: number, isFinal: boolean): ErrorCode | undefined {
    const fault = this.judgeId(id);
    if (fault !== undefined || this.isClosed(id)) return fault;
    const said = this.note(id);
    if (said.finalBytes >= 0 && (end > said.finalBytes || (isFinal && end !== said.finalBytes)))
      return "ERR_FINAL_SIZE";
    if (isFinal && end < said.highest) return "ERR_FINAL_SIZE";
    const maxBytes = this.insides.open.get(id)?.receive.maxBytes ?? this.local.maxStreamDataBytes;
    if (end > maxBytes) return "ERR_FLOW_CONTROL";
    const fresh = Math.max(0, end - said.highest);
    return this.received + fresh > this.streams.flow.maxBytes ? "ERR_FLOW_CONTROL" : undefined;
  }

  judgeId(id: number): ErrorCode | undefined {
    if (id % 4 > 1) return "ERR_STREAM_STATE";
    const index = Math.floor(id / 4);
    if (id % 2 === this.parity) return index < this.insides.localOpened ? undefined : "ERR_STREAM_STATE";
    return index < this.insides.remoteLimit ? undefined : "ERR_STREAM_LIMIT";
  }

  /** Both halves were over, so it was forgotten: what comes for it is late and means nothing. */
  isClosed(id: number): boolean {
    const { open, localOpened, remoteOpened } = this.insides;
    return id / 4 < (id % 2 === this.parity ? localOpened : remoteOpened) && !open.has(id);
  }

  /** Whether a reset would take something from the application: it has not had the end, nor given the stream up. */
  isStillReading(id: number): boolean {
    const said = this.said.get(id);
    const state = this.insides.open.get(id)?.receive.state ?? RECEIVE.open;
    return (
      state === RECEIVE.open && !(said !== undefined && said.finalBytes >= 0 && said.read === said.finalBytes)
    );
  }

  // ------------------------------------------------------------------ where a hostile peer aims

  anyId(random: Xorshift): number {
    const { ids } = this;
    if (ids.length > 0 && !random.oneIn(4))
      return ids[ids.length - 1 - random.below(Math.min(ids.length, 6))]!;
    switch (random.below(6)) {
      case 0:
        return ids.length > 0 ? random.pick(ids) : random.below(8);
      case 1:
        return random.oneIn(6) ? random.magnitude() : random.below(40);
      case 2:
        // The last that is allowed, and the first that is not.
        return (
          4 * Math.max(0, this.insides.remoteLimit - random.below(2) - (random.oneIn(9) ? 0 : 1)) +
          (1 - this.parity)
        );
      default:
        return this.nextRemote + 4 * (random.oneIn(8) ? random.below(4) : 0);
    }
  }

  anyOffset(random: Xorshift, id: number): number {
    const highest = this.said.get(id)?.highest ?? 0;
    const limit = this.insides.open.get(id)?.receive.maxBytes ?? this.local.maxStreamDataBytes;
    switch (random.below(24)) {
      case 0:
        return random.magnitude();
      case 1:
        return Math.max(0, limit - random.below(30));
      case 2:
      case 3:
      case 4:
      case 5:
        return random.below(limit + 1);
      case 6:
      case 7:
      case 8:
      case 9:
        return Math.max(0, highest - random.below(50));
      case 10:
        return highest + random.below(3000);
      default:
        return highest;
    }
  }
}

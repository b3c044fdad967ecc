/**
 * The state of sent packets: a ring of packets by packet number, and a ring of the frames that each
 * contained, so that frames (never packets) can be retransmitted.
 *
 * Both are structs of arrays whose length is a power of two: a lookup is a mask, and sending and
 * acknowledging allocate nothing. A packet keeps its slot until every older one is settled as well.
 */
import type { SendStream } from "../streams/send-stream.ts";

/** State of a packet in the ring. */
export const PACKET = {
  /** Settled: acknowledged, dropped, or never in the ring. */
  settled: 0,
  inFlight: 1,
  /** Declared lost, but remembered: a late acknowledgement proves the loss spurious. */
  lost: 2,
  /**
   * Number skipped on purpose: an acknowledgement of it is a protocol violation.  // RFC 9000 §21.4
   */
  skipped: 3,
  /** Sent, but neither counted as in flight nor retransmitted: ACKs only. */
  unreliable: 4,
} as const;

/** Flags of a packet. */
export const SENT = { ackEliciting: 1, probe: 2, mtuProbe: 4, appLimited: 8 } as const;

/** Kind of a frame record. */
export const RECORD = {
  stream: 1,
  streamFin: 2,
  ack: 3,
  reset: 4,
  stopSending: 5,
  maxData: 6,
  maxStreamData: 7,
  maxStreams: 8,
  control: 9,
  datagram: 10,
  rekey: 11,
  newConnectionId: 12,
  retireConnectionId: 13,
} as const;

const FIRST_CAPACITY = 256;

export class SentPackets {
  /** Lowest packet number that still has a slot. */
  first: number;
  /** Next packet number to be sent. */
  next: number;

  state: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  flags: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** Length of the packet, including its header and tag, without UDP and IP headers. */
  bytes: Uint16Array = new Uint16Array(FIRST_CAPACITY);
  sentAtMs: Float64Array = new Float64Array(FIRST_CAPACITY);
  /** Generation of the path over which it was sent. Each path change starts a new generation. */
  pathGeneration: Uint32Array = new Uint32Array(FIRST_CAPACITY);
  /** Snapshot for the delivery-rate sample.  // draft-ietf-ccwg-bbr §4.1.2.2 */
  deliveredBytes: Float64Array = new Float64Array(FIRST_CAPACITY);
  deliveredAtMs: Float64Array = new Float64Array(FIRST_CAPACITY);
  firstSentAtMs: Float64Array = new Float64Array(FIRST_CAPACITY);
  /** Bytes in flight just after this packet was sent, and bytes lost before it was sent. */
  inFlightBytes: Float64Array = new Float64Array(FIRST_CAPACITY);
  lostBytes: Float64Array = new Float64Array(FIRST_CAPACITY);

  private firstRecord: Float64Array = new Float64Array(FIRST_CAPACITY);
  private mask = FIRST_CAPACITY - 1;

  // The records of all packets, consecutive and in the order of sending; indices only grow.
  recordKind: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  recordStream: (SendStream | undefined)[] = new Array<SendStream | undefined>(FIRST_CAPACITY).fill(
    undefined,
  );
  /** Stream offset, acknowledged packet number, or the granted limit. */
  recordOffset: Float64Array = new Float64Array(FIRST_CAPACITY);
  /** Length of the stream bytes, or the stream or control frame that the record refers to. */
  recordValue: Float64Array = new Float64Array(FIRST_CAPACITY);
  private oldestRecord = 0;
  private nextRecord = 0;
  private recordMask = FIRST_CAPACITY - 1;

  constructor(firstPacketNumber: number) {
    this.first = firstPacketNumber;
    this.next = firstPacketNumber;
  }

  /** Index of packet `packetNumber` (first ≤ packetNumber < next) in the arrays. */
  slot(packetNumber: number): number {
    // A bitwise operator first reduces a number modulo 2^32, so numbers beyond 32 bits need no
    // special case.
    return packetNumber & this.mask;
  }

  has(packetNumber: number): boolean {
    return packetNumber >= this.first && packetNumber < this.next;
  }

  /**
   * Assigns a slot to the next packet number and returns it. Records that follow belong to this
   * packet.
   */
  push(): number {
    if (this.next - this.first > this.mask) this.grow();
    const slot = this.slot(this.next);
    this.next++;
    this.state[slot] = PACKET.settled;
    this.flags[slot] = 0;
    this.firstRecord[slot] = this.nextRecord;
    return slot;
  }

  /** Removes the packet pushed last: it was not sent. */
  pop(): void {
    this.next--;
    const from = this.firstRecord[this.slot(this.next)]!;
    while (this.nextRecord > from) this.recordStream[--this.nextRecord & this.recordMask] = undefined;
  }

  /** Adds a record to the packet pushed last. */
  record(kind: number, stream: SendStream | undefined, offset: number, value: number): void {
    if (this.nextRecord - this.oldestRecord > this.recordMask) this.growRecords();
    const at = this.nextRecord++ & this.recordMask;
    this.recordKind[at] = kind;
    this.recordStream[at] = stream;
    this.recordOffset[at] = offset;
    this.recordValue[at] = value;
  }

  /**
   * Records of a packet: for (let r = recordsFrom(pn); r < recordsTo(pn); r++) { const at =
   * recordSlot(r); … }
   */
  recordsFrom(packetNumber: number): number {
    return this.firstRecord[this.slot(packetNumber)]!;
  }

  recordsTo(packetNumber: number): number {
    return packetNumber + 1 < this.next ? this.firstRecord[this.slot(packetNumber + 1)]! : this.nextRecord;
  }

  recordSlot(record: number): number {
    return record & this.recordMask;
  }

  /** Frees the slots of the oldest settled packets. */
  reclaim(): void {
    let { first } = this;
    const { next, state } = this;
    while (first < next) {
      const slot = this.slot(first);
      const kind = state[slot]!;
      if (kind === PACKET.inFlight || kind === PACKET.lost) break;
      first++;
    }
    if (first === this.first) return;
    this.first = first;
    const oldest = first < next ? this.firstRecord[this.slot(first)]! : this.nextRecord;
    for (; this.oldestRecord < oldest; this.oldestRecord++) {
      this.recordStream[this.oldestRecord & this.recordMask] = undefined;
    }
  }

  private grow(): void {
    const capacity = 2 * (this.mask + 1);
    const { first, next, mask } = this;
    const moved = <T extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(from: T, to: T): T => {
      for (let pn = first; pn < next; pn++) {
        to[pn & (capacity - 1)] = from[pn & mask]!;
      }
      return to;
    };
    this.state = moved(this.state, new Uint8Array(capacity));
    this.flags = moved(this.flags, new Uint8Array(capacity));
    this.bytes = moved(this.bytes, new Uint16Array(capacity));
    this.sentAtMs = moved(this.sentAtMs, new Float64Array(capacity));
    this.pathGeneration = moved(this.pathGeneration, new Uint32Array(capacity));
    this.deliveredBytes = moved(this.deliveredBytes, new Float64Array(capacity));
    this.deliveredAtMs = moved(this.deliveredAtMs, new Float64Array(capacity));
    this.firstSentAtMs = moved(this.firstSentAtMs, new Float64Array(capacity));
    this.inFlightBytes = moved(this.inFlightBytes, new Float64Array(capacity));
    this.lostBytes = moved(this.lostBytes, new Float64Array(capacity));
    this.firstRecord = moved(this.firstRecord, new Float64Array(capacity));
    this.mask = capacity - 1;
  }

  private growRecords(): void {
    const capacity = 2 * (this.recordMask + 1);
    const kind = new Uint8Array(capacity);
    const stream = new Array<SendStream | undefined>(capacity).fill(undefined);
    const offset = new Float64Array(capacity);
    const value = new Float64Array(capacity);
    for (let record = this.oldestRecord; record < this.nextRecord; record++) {
      const from = record & this.recordMask;
      const to = record & (capacity - 1);
      kind[to] = this.recordKind[from]!;
      stream[to] = this.recordStream[from];
      offset[to] = this.recordOffset[from]!;
      value[to] = this.recordValue[from]!;
    }
    this.recordKind = kind;
    this.recordStream = stream;
    this.recordOffset = offset;
    this.recordValue = value;
    this.recordMask = capacity - 1;
  }
}

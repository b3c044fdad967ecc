/**
 * The receiving half of a stream: reassembles bytes, delivers them in order, and enforces the
 * flow-control limit and the final size that the peer declared.  // RFC 9000 §3.2, §4.5
 *
 * Bytes are copied into slabs at fixed stream offsets, so reordering causes no fragments: memory is
 * bounded by the window, and a reader gets long runs instead of packets. Slabs grow with the
 * offset, so that a short stream costs little.
 */
import { RangeSet } from "../../base/range-set.ts";
import { SLAB_BYTES, type SlabPool } from "./slab-pool.ts";

/** Slab boundaries: [0, 4 KiB), [4, 16 KiB), [16, 64 KiB), then 64 KiB each. */
const SMALL_SLAB_BYTES = 4096;
const MEDIUM_SLAB_BYTES = 16_384;
/**
 * Maximum gaps in one stream; a peer that exceeds it violates the protocol.
 * // docs/protocol.md, "Scheduling"
 */
const GAPS_LIMIT = 1024;

export const RECEIVE = { open: 0, reset: 1, stopped: 2, done: 3 } as const;

export class ReceiveStream {
  readonly id: number;
  state: number = RECEIVE.open;
  /** Offset up to which the peer may send. */
  maxBytes: number;
  /** Flow-control window: how far `maxBytes` is kept beyond the bytes read. */
  windowBytes: number;
  /** Highest offset seen, for flow control. */
  highestBytes = 0;
  /** Everything below this offset was read. */
  readBytes = 0;
  /** Total length, −1 while unknown. */
  finalBytes = -1;
  resetCode = 0;
  /** A `readable` event was raised and the application has not read everything yet. */
  isAnnounced = false;
  /** For auto-tuning: when and where the current measurement began. */
  tuneStartMs = -1;
  tuneStartBytes = 0;

  /** Everything below this offset has arrived. */
  private contiguousBytes = 0;
  /** The ranges above it that have arrived. */
  private readonly beyond: RangeSet = new RangeSet();
  /** Slabs, starting with the one that contains `readBytes`. */
  private readonly slabs: (Uint8Array | undefined)[] = [];
  private firstSlab = 0;
  private readonly pool: SlabPool;

  constructor(id: number, windowBytes: number, pool: SlabPool) {
    this.id = id;
    this.pool = pool;
    this.windowBytes = windowBytes;
    this.maxBytes = windowBytes;
  }

  /** Whether read() would return bytes, or the end was reached and not reported. */
  get isReadable(): boolean {
    return this.contiguousBytes > this.readBytes || this.isFinished;
  }

  /** Whether everything up to the final size was read. */
  get isFinished(): boolean {
    return this.finalBytes >= 0 && this.readBytes === this.finalBytes;
  }

  /** Bytes that have arrived and were not read. */
  get bufferedBytes(): number {
    if (this.state !== RECEIVE.open) return 0;
    return this.contiguousBytes - this.readBytes + (this.beyond.count > 0 ? this.beyond.size : 0);
  }

  /** Whether the peer may still send data that is needed. */
  get wantsMore(): boolean {
    return this.state === RECEIVE.open && this.finalBytes < 0;
  }

  /** Sets the final size. Returns false if the peer contradicts itself.  // RFC 9000 §4.5 */
  setFinalBytes(finalBytes: number): boolean {
    if (this.finalBytes >= 0) return this.finalBytes === finalBytes;
    if (finalBytes < this.highestBytes) return false;
    this.finalBytes = finalBytes;
    return true;
  }

  /**
   * Copies source[from, to) to `offset`. The caller has checked flow control and the final size.
   * Returns false if the stream would have more gaps than any honest peer causes.
   */
  insert(source: Uint8Array, from: number, to: number, offset: number): boolean {
    let start = offset;
    const end = offset + (to - from);
    if (end > this.highestBytes) this.highestBytes = end;
    if (end <= this.contiguousBytes || this.state !== RECEIVE.open) return true;
    if (start < this.contiguousBytes) {
      from += this.contiguousBytes - start;
      start = this.contiguousBytes;
    }
    const { beyond } = this;
    if (beyond.count > 0 && beyond.containsRange(start, end)) return true;
    this.store(source, from, start, end);
    if (start > this.contiguousBytes) {
      beyond.add(start, end);
      return beyond.count <= GAPS_LIMIT;
    }
    this.contiguousBytes = end;
    while (beyond.count > 0 && beyond.start(0) <= this.contiguousBytes) {
      this.contiguousBytes = Math.max(this.contiguousBytes, beyond.end(0));
      beyond.removeFirst();
    }
    return true;
  }

  /**
   * The next run of bytes in order, a view that is valid until it is given back; undefined if there
   * is none.
   */
  read(): Uint8Array | undefined {
    const from = this.readBytes;
    if (this.contiguousBytes <= from) return undefined;
    const index = slabIndex(from);
    const start = slabStart(index);
    const slabEnd = slabStart(index + 1);
    const end = Math.min(this.contiguousBytes, slabEnd);
    const slab = this.slabs[index - this.firstSlab]!;
    this.readBytes = end;
    if (end === slabEnd) {
      this.slabs.shift();
      this.firstSlab++;
      this.pool.lend(slab);
    }
    if (this.isFinished) this.slabs.length = 0;
    return slab.subarray(from - start, end - start);
  }

  /** The peer reset the stream, or the application stopped reading it: buffered data is dropped. */
  drop(state: number): void {
    this.state = state;
    for (let point = 0; point < this.slabs.length; point++) {
      const slab = this.slabs[point];
      // The reader may still hold a part of any other slab.
      if (slab !== undefined && slabStart(this.firstSlab + point) >= this.readBytes) this.pool.takeBack(slab);
    }
    this.slabs.length = 0;
    this.beyond.clear();
    this.contiguousBytes = 0;
  }

  private store(source: Uint8Array, from: number, offset: number, end: number): void {
    let at = offset;
    while (at < end) {
      const index = slabIndex(at);
      const start = slabStart(index);
      const slabEnd = slabStart(index + 1);
      const point = index - this.firstSlab;
      let slab = this.slabs[point];
      if (slab === undefined) {
        slab = this.pool.take(slabEnd - start);
        while (this.slabs.length < point) this.slabs.push(undefined);
        this.slabs[point] = slab;
      }
      const count = Math.min(end, slabEnd) - at;
      slab.set(source.subarray(from, from + count), at - start);
      at += count;
      from += count;
    }
  }
}

function slabIndex(offset: number): number {
  if (offset < SMALL_SLAB_BYTES) return 0;
  if (offset < MEDIUM_SLAB_BYTES) return 1;
  if (offset < SLAB_BYTES) return 2;
  return 2 + Math.floor(offset / SLAB_BYTES);
}

function slabStart(index: number): number {
  if (index <= 0) return 0;
  if (index === 1) return SMALL_SLAB_BYTES;
  if (index === 2) return MEDIUM_SLAB_BYTES;
  return (index - 2) * SLAB_BYTES;
}

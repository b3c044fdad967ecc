/**
 * The sending half of a stream: written bytes that the peer has not acknowledged yet, which of them
 * to send for the first time or again, and how the stream ends.  // RFC 9000 §3.1
 *
 * Written chunks are kept without a copy until everything in them is acknowledged; the only copy is
 * the one into a packet.
 */
import { RangeSet } from "../../base/range-set.ts";
import { streamHeaderBytes, writeStreamHeader } from "../../wire/frames.ts";

/** Number of acknowledged chunks at the front after which the arrays are compacted. */
const COMPACT_CHUNKS = 256;
/**
 * Bytes that may be sent after the first unacknowledged one, independent of the peer's limit,
 * because all of them are kept in memory. An honest peer's window is 6 MiB; a peer that never
 * acknowledges one packet could otherwise make the sender keep everything.
 */
const UNACKED_MAX_BYTES: number = 16 * 1024 * 1024;
/** While more data is waiting, a frame with less payload than this is not worth its header. */
const SMALLEST_PAYLOAD_BYTES = 32;

export const SEND = { open: 0, finished: 1, resetQueued: 2, resetSent: 3, done: 4 } as const;

export class SendStream {
  readonly id: number;
  readonly priority: number;
  state: number = SEND.open;
  /** Bytes that the peer allows on this stream in total. */
  maxBytes: number;
  /** Offset after the last byte sent for the first time. */
  sentBytes = 0;
  /** Offset after the last byte written. */
  writtenBytes = 0;
  /** Everything below this offset was acknowledged. */
  ackedBytes = 0;
  resetCode = 0;
  /**
   * Error code with which both halves are abandoned as soon as everything written is acknowledged;
   * −1 for none.
   */
  breakOffCode = -1;
  /** The stream is in the scheduler's queue. */
  isQueued = false;
  /** Bytes sent since the stream reached the head of its queue. */
  turnBytes = 0;
  /** write() returned false; a `writable` event follows when there is room again. */
  isWriterBlocked = false;
  /** A frame with FIN should be sent. */
  private finPending = false;
  private finAcked = false;
  private readonly acked: RangeSet = new RangeSet();
  private readonly lost: RangeSet = new RangeSet();
  private chunks: (Uint8Array | undefined)[] = [];
  private chunkStarts: number[] = [];
  private head = 0;
  /** Chunk that contains the next byte to be sent for the first time. */
  private cursor = 0;

  // The content of the last frame that writeFrame() wrote, for its record.
  frameOffset = 0;
  frameBytes = 0;
  frameFin = false;
  /**
   * Bytes of that frame that were sent for the first time: they consume the connection's credit.
   */
  frameFreshBytes = 0;

  constructor(id: number, maxBytes: number, priority: number) {
    this.id = id;
    this.maxBytes = maxBytes;
    this.priority = priority;
  }

  /** Bytes written and not acknowledged. */
  get bufferedBytes(): number {
    return this.writtenBytes - this.ackedBytes;
  }

  /** Bytes written and not sent yet. */
  get unsentBytes(): number {
    return this.writtenBytes - this.sentBytes;
  }

  get isOpen(): boolean {
    return this.state === SEND.open;
  }

  /** Queues `bytes`, which must not change until they are acknowledged. */
  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.chunks.push(bytes);
    this.chunkStarts.push(this.writtenBytes);
    this.writtenBytes += bytes.length;
  }

  finish(): void {
    if (this.state !== SEND.open) return;
    this.state = SEND.finished;
    this.finPending = true;
  }

  /** Abandons the stream. Its final size is the number of bytes sent so far.  // RFC 9000 §3.5 */
  reset(errorCode: number): void {
    if (this.state >= SEND.resetQueued) return;
    this.state = SEND.resetQueued;
    this.resetCode = errorCode;
    this.drop();
  }

  /**
   * Whether a frame could be sent now. `credit` is what the connection may still send for the first
   * time.
   */
  hasWork(credit: number): boolean {
    if (this.state > SEND.finished) return false;
    if (this.lost.count > 0) return true;
    if (this.sentBytes < this.writtenBytes) return credit > 0 && this.sentBytes < this.limitBytes;
    return this.finPending;
  }

  /** Offset up to which bytes may be sent now. */
  private get limitBytes(): number {
    return Math.min(this.maxBytes, this.ackedBytes + UNACKED_MAX_BYTES);
  }

  /** Whether the peer's credit alone keeps bytes from being sent. */
  get isBlockedByPeer(): boolean {
    return (
      this.state <= SEND.finished && this.sentBytes < this.writtenBytes && this.sentBytes >= this.limitBytes
    );
  }

  /**
   * Writes one STREAM frame into bytes[at, end): lost bytes first, then new ones as far as the
   * peer's limit and `credit` allow. Returns the index after it, or `at` if nothing fits. `isLast`
   * frames extend to the end of the packet and have no length field if they fill it.
   */
  writeFrame(bytes: Uint8Array, at: number, end: number, credit: number): number {
    const again = this.lost.count > 0;
    const offset = again ? this.lost.start(0) : this.sentBytes;
    const limit = again
      ? this.lost.end(0)
      : Math.min(this.writtenBytes, this.limitBytes, this.sentBytes + credit);
    const available = limit - offset;
    // A frame that fills the packet needs no length. Whether it does is known once the header is.
    const bareHeader = streamHeaderBytes(this.id, offset, 0, false);
    let room = end - at - bareHeader;
    const fills = available >= room;
    if (!fills) room = end - at - streamHeaderBytes(this.id, offset, available, true);
    const length = Math.min(available, room);
    if (room < 0 || (length < SMALLEST_PAYLOAD_BYTES && length < available)) return at;
    const reachesEnd = offset + length === this.writtenBytes;
    const fin = reachesEnd && this.state === SEND.finished && (this.finPending || again);
    if (length <= 0 && !fin) return at;
    const payloadAt = writeStreamHeader(bytes, at, this.id, offset, length, fin, !fills);
    this.copy(bytes, payloadAt, offset, length);
    if (again) {
      this.lost.remove(offset, offset + length);
      this.frameFreshBytes = 0;
    } else {
      this.sentBytes += length;
      this.frameFreshBytes = length;
    }
    if (fin) this.finPending = false;
    this.frameOffset = offset;
    this.frameBytes = length;
    this.frameFin = fin;
    return payloadAt + length;
  }

  /**
   * A frame was acknowledged. Returns true if that completed the stream: all bytes and FIN arrived.
   */
  onAcked(offset: number, byteLength: number, fin: boolean): boolean {
    if (this.state >= SEND.resetQueued) return false;
    if (fin) this.finAcked = true;
    const end = offset + byteLength;
    if (end > this.ackedBytes && byteLength > 0) {
      if (this.lost.count > 0) this.lost.remove(offset, end);
      if (offset <= this.ackedBytes) {
        this.ackedBytes = end;
        const { acked } = this;
        if (acked.count > 0) {
          while (acked.count > 0 && acked.start(0) <= this.ackedBytes) {
            this.ackedBytes = Math.max(this.ackedBytes, acked.end(0));
            acked.removeFirst();
          }
        }
        this.release();
      } else this.acked.add(offset, end);
    }
    if (this.finAcked && this.ackedBytes === this.writtenBytes) {
      this.state = SEND.done;
      return true;
    }
    return false;
  }

  /** A frame was lost: sends its bytes again, except those acknowledged otherwise. */
  onLost(offset: number, byteLength: number, fin: boolean): void {
    if (this.state >= SEND.resetQueued) return;
    if (fin && !this.finAcked) this.finPending = true;
    let from = Math.max(offset, this.ackedBytes);
    const end = offset + byteLength;
    while (from < end) {
      const { acked } = this;
      const index = acked.firstEndingBehind(from);
      if (index < acked.count && acked.start(index) <= from) {
        from = acked.end(index);
        continue;
      }
      const to = index < acked.count ? Math.min(end, acked.start(index)) : end;
      this.lost.add(from, to);
      from = to;
    }
  }

  private copy(into: Uint8Array, at: number, offset: number, byteLength: number): void {
    if (byteLength <= 0) return;
    const { chunks, chunkStarts } = this;
    let index = Math.max(this.cursor, this.head);
    if (offset < this.sentBytes || chunkStarts[index]! > offset) index = this.chunkAt(offset);
    let from = offset;
    let left = byteLength;
    while (left > 0) {
      const chunk = chunks[index]!;
      const skip = from - chunkStarts[index]!;
      if (skip >= chunk.length) {
        index++;
        continue;
      }
      const count = Math.min(left, chunk.length - skip);
      into.set(skip === 0 && count === chunk.length ? chunk : chunk.subarray(skip, skip + count), at);
      at += count;
      from += count;
      left -= count;
    }
    if (from > this.sentBytes) this.cursor = index;
  }

  /** Index of the chunk that contains the byte at `offset`. */
  private chunkAt(offset: number): number {
    let low = this.head;
    let high = this.chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.chunkStarts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Releases chunks that were fully acknowledged. */
  private release(): void {
    const { chunks, chunkStarts } = this;
    while (this.head < chunks.length) {
      const chunk = chunks[this.head]!;
      if (chunkStarts[this.head]! + chunk.length > this.ackedBytes) break;
      chunks[this.head++] = undefined;
    }
    // Compact only when at least as many chunks are released as are moved, so that the cost per
    // chunk does not grow with their number.
    const left = chunks.length - this.head;
    if (left > 0 && (this.head < COMPACT_CHUNKS || this.head < left)) return;
    chunks.splice(0, this.head);
    chunkStarts.splice(0, this.head);
    this.cursor = Math.max(0, this.cursor - this.head);
    this.head = 0;
  }

  private drop(): void {
    this.chunks = [];
    this.chunkStarts = [];
    this.head = 0;
    this.cursor = 0;
    this.lost.clear();
    this.acked.clear();
    this.ackedBytes = this.writtenBytes;
    this.finPending = false;
  }
}

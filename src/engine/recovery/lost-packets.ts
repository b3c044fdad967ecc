/**
 * Packets that were declared lost recently. A late acknowledgement of one proves the loss spurious.
 *
 * Packets are declared lost in the order of their numbers, so the list is sorted, and an ACK frame
 * is matched against it by binary search. An ACK frame costs a few steps for each of its ranges,
 * plus the packets that it names and one move of the list, for any length of the list.
 */
import type { FrameCursor } from "../../wire/frames.ts";

/** Maximum number of packets that are remembered; beyond it the oldest is dropped. */
export const LOST_PACKETS_LIMIT = 4096;
const FIRST_CAPACITY = 64;

export class LostPackets {
  private numbers: Float64Array = new Float64Array(FIRST_CAPACITY);
  private lostAtMs: Float64Array = new Float64Array(FIRST_CAPACITY);
  /** The list is [head, tail) of the arrays. */
  private head = 0;
  private tail = 0;

  get count(): number {
    return this.tail - this.head;
  }

  /** Lowest number in the list, which must not be empty. */
  get oldest(): number {
    return this.numbers[this.head]!;
  }

  /** When the packet with the lowest number was declared lost. */
  get oldestLostAtMs(): number {
    return this.lostAtMs[this.head]!;
  }

  /** Appends a number above all others; there must be fewer than LOST_PACKETS_LIMIT. */
  add(packetNumber: number, nowMs: number): void {
    if (this.tail === this.numbers.length) this.makeRoom();
    this.numbers[this.tail] = packetNumber;
    this.lostAtMs[this.tail++] = nowMs;
  }

  removeOldest(): void {
    this.head++;
  }

  /** Removes all packets that `ack` names and passes each to `onLate`, in ascending order. */
  removeAcknowledged(ack: FrameCursor, onLate: (packetNumber: number) => void): void {
    const { numbers, lostAtMs } = this;
    if (this.count === 0 || ack.ackEnds[0]! < this.oldest) return;
    // [head, kept) is final, [next, tail) has not been examined.
    let kept = this.head;
    let next = this.head;
    for (let range = ack.ackRanges - 1; range >= 0 && next < this.tail; range--) {
      const end = ack.ackEnds[range]!;
      if (end < numbers[next]!) continue;
      const first = this.firstFrom(ack.ackStarts[range]!, next);
      if (kept !== next) {
        numbers.copyWithin(kept, next, first);
        lostAtMs.copyWithin(kept, next, first);
      }
      kept += first - next;
      next = first;
      while (next < this.tail && numbers[next]! <= end) onLate(numbers[next++]!);
    }
    if (kept === next) return;
    numbers.copyWithin(kept, next, this.tail);
    lostAtMs.copyWithin(kept, next, this.tail);
    this.tail -= next - kept;
  }

  /**
   * Index of the first number not below `from`, starting at index `low`; `tail` if there is none.
   */
  private firstFrom(from: number, low: number): number {
    let high = this.tail;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.numbers[middle]! >= from) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private makeRoom(): void {
    const { head, tail, numbers, lostAtMs } = this;
    if (tail - head > numbers.length / 2) {
      this.numbers = new Float64Array(2 * numbers.length);
      this.lostAtMs = new Float64Array(2 * numbers.length);
    }
    this.numbers.set(numbers.subarray(head, tail));
    this.lostAtMs.set(lostAtMs.subarray(head, tail));
    this.head = 0;
    this.tail = tail - head;
  }
}

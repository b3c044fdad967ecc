/**
 * Which packets came, and when to say so: builds ACKs and decides their timing.
 * // RFC 9000 §13.2, draft-ietf-quic-ack-frequency
 */
import { RangeSet } from "../../base/range-set.ts";
import { ACK_RANGES_LIMIT } from "../../wire/frames.ts";

/** Longest that an acknowledgement is held back, ms.  // docs/protocol.md, "Acknowledgements" */
export const MAX_ACK_DELAY_MS = 25;
/** Ack-eliciting packets that make an acknowledgement due, until the peer asks otherwise.  // RFC 9000 §13.2.2 */
const ACK_EVERY_PACKETS = 2;
/** Most packets that a peer may ask to have answered by one ACK. */
const MAX_ACK_EVERY_PACKETS = 1024;

export class ReceivedPackets {
  readonly ranges: RangeSet = new RangeSet();
  /** When an acknowledgement is due at the latest; Infinity when none is owed. */
  dueAtMs: number = Number.POSITIVE_INFINITY;
  private largestAtMs = 0;
  private unacknowledged = 0;
  private everyPackets = ACK_EVERY_PACKETS;
  private delayMs = MAX_ACK_DELAY_MS;
  /** Newest request of the peer: older ones that arrive late are void. */
  private newestRequest = -1;

  get largest(): number {
    const { ranges } = this;
    return ranges.count === 0 ? -1 : ranges.end(ranges.count - 1) - 1;
  }

  /** Whether an acknowledgement is to leave by now. */
  isDue(nowMs: number): boolean {
    return nowMs >= this.dueAtMs;
  }

  /** Whether there is something that the peer has not been told and would like to hear. */
  get isOwed(): boolean {
    return this.unacknowledged > 0;
  }

  /** A packet was opened and is new. */
  onPacket(nowMs: number, packetNumber: number, ackEliciting: boolean): void {
    const previous = this.largest;
    this.ranges.add(packetNumber, packetNumber + 1);
    if (this.ranges.count > ACK_RANGES_LIMIT) this.ranges.removeFirst();
    if (packetNumber > previous) this.largestAtMs = nowMs;
    if (!ackEliciting) return;
    this.unacknowledged++;
    // RFC 9000 §13.2.1: out of order, or a gap in front: the sender wants to know at once.
    const reordered =
      packetNumber < previous || (previous >= 0 && packetNumber > previous + 1 && this.hasFreshGap(previous));
    if (reordered || this.unacknowledged >= this.everyPackets) this.dueAtMs = nowMs;
    else this.dueAtMs = Math.min(this.dueAtMs, nowMs + this.delayMs);
  }

  /** The peer asks for an acknowledgement now. */
  wantNow(nowMs: number): void {
    this.dueAtMs = nowMs;
    this.unacknowledged = Math.max(1, this.unacknowledged);
  }

  /** The peer asks for one ACK per `packets` and after `delayMs` at the latest. */
  onAckFrequency(request: number, packets: number, delayMs: number): void {
    if (request <= this.newestRequest) return;
    this.newestRequest = request;
    this.everyPackets = Math.max(1, Math.min(packets, MAX_ACK_EVERY_PACKETS));
    this.delayMs = Math.max(1, Math.min(delayMs, MAX_ACK_DELAY_MS));
  }

  /** Time since the largest packet came, for the ACK's delay field. */
  delaySince(nowMs: number): number {
    return nowMs - this.largestAtMs;
  }

  /** An ACK of everything so far leaves. */
  onAckSent(): void {
    this.unacknowledged = 0;
    this.dueAtMs = Number.POSITIVE_INFINITY;
  }

  /** An ACK that named packets up to `largest` arrived: there is no need to name those again. */
  onAckAcknowledged(largest: number): void {
    // What is above stays; the newest range always does, it is the ACK's first.
    if (largest >= this.largest) {
      while (this.ranges.count > 1) this.ranges.removeFirst();
      return;
    }
    this.ranges.removeBelow(largest + 1);
  }

  /** Whether the packet just added left a gap behind `previous` (a number skipped on purpose is one as well). */
  private hasFreshGap(previous: number): boolean {
    const { ranges } = this;
    return ranges.count > 1 && ranges.end(ranges.count - 2) - 1 === previous;
  }
}

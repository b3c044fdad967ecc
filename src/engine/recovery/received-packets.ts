/**
 * Tracks received packets, builds ACKs and decides when to send them.
 * // RFC 9000 §13.2, draft-ietf-quic-ack-frequency
 */
import { RangeSet } from "../../base/range-set.ts";
import { ACK_RANGES_LIMIT } from "../../wire/frames.ts";

/** Maximum delay of an acknowledgement, ms.  // docs/protocol.md, "Acknowledgements" */
export const MAX_ACK_DELAY_MS = 25;
/**
 * Number of ack-eliciting packets after which an ACK is due, unless the peer requests another.
 * // RFC 9000 §13.2.2
 */
const ACK_EVERY_PACKETS = 2;
/** Maximum number of packets per ACK that a peer may request. */
const MAX_ACK_EVERY_PACKETS = 1024;

export class ReceivedPackets {
  readonly ranges: RangeSet = new RangeSet();
  /** When an acknowledgement is due at the latest; Infinity if none is owed. */
  dueAtMs: number = Number.POSITIVE_INFINITY;
  private largestAtMs = 0;
  private unacknowledged = 0;
  private everyPackets = ACK_EVERY_PACKETS;
  private delayMs = MAX_ACK_DELAY_MS;
  /** The peer's newest request: older ones that arrive late are ignored. */
  private newestRequest = -1;

  get largest(): number {
    const { ranges } = this;
    return ranges.count === 0 ? -1 : ranges.end(ranges.count - 1) - 1;
  }

  /** Whether an acknowledgement is due now. */
  isDue(nowMs: number): boolean {
    return nowMs >= this.dueAtMs;
  }

  /** Whether an ack-eliciting packet has not been acknowledged yet. */
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
    // RFC 9000 §13.2.1: after reordering or a gap, the sender needs an ACK at once.
    const reordered =
      packetNumber < previous || (previous >= 0 && packetNumber > previous + 1 && this.hasFreshGap(previous));
    if (reordered || this.unacknowledged >= this.everyPackets) this.dueAtMs = nowMs;
    else this.dueAtMs = Math.min(this.dueAtMs, nowMs + this.delayMs);
  }

  /** The peer requests an acknowledgement now. */
  wantNow(nowMs: number): void {
    this.dueAtMs = nowMs;
    this.unacknowledged = Math.max(1, this.unacknowledged);
  }

  /** The peer requests one ACK per `packets`, after `delayMs` at the latest. */
  onAckFrequency(request: number, packets: number, delayMs: number): void {
    if (request <= this.newestRequest) return;
    this.newestRequest = request;
    this.everyPackets = Math.max(1, Math.min(packets, MAX_ACK_EVERY_PACKETS));
    this.delayMs = Math.max(1, Math.min(delayMs, MAX_ACK_DELAY_MS));
  }

  /** Time since the largest packet arrived, for the ACK's delay field. */
  delaySince(nowMs: number): number {
    return nowMs - this.largestAtMs;
  }

  /** An ACK of all packets so far is sent. */
  onAckSent(): void {
    this.unacknowledged = 0;
    this.dueAtMs = Number.POSITIVE_INFINITY;
  }

  /** An ACK that named packets up to `largest` was acknowledged: those need not be named again. */
  onAckAcknowledged(largest: number): void {
    // Keep the packets above, and always the newest range, which is the first in an ACK.
    if (largest >= this.largest) {
      while (this.ranges.count > 1) this.ranges.removeFirst();
      return;
    }
    this.ranges.removeBelow(largest + 1);
  }

  /**
   * Whether the packet just added left a gap after `previous`. A number skipped on purpose also
   * leaves one.
   */
  private hasFreshGap(previous: number): boolean {
    const { ranges } = this;
    return ranges.count > 1 && ranges.end(ranges.count - 2) - 1 === previous;
  }
}

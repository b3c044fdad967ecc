/**
 * HyStart++: leaves slow start when round trips grow, before the queue overflows. It first confirms
 * the growth at a slower pace.  // RFC 9406
 */

/** Bounds of the round-trip growth that ends slow start, ms.  // RFC 9406 §4.3 */
const MIN_RTT_THRESHOLD_MS = 4;
const MAX_RTT_THRESHOLD_MS = 16;
const MIN_RTT_DIVISOR = 8;
/** Minimum number of samples that make the minimum of a round valid. */
const ROUND_SAMPLES = 8;
/** Divisor of growth in Conservative Slow Start. */
const CSS_GROWTH_DIVISOR = 4;
/** Number of rounds of Conservative Slow Start after which slow start ends. */
const CSS_ROUNDS = 5;

export class HyStart {
  private roundEndPacket = -1;
  private lastRoundMinMs = Number.POSITIVE_INFINITY;
  private roundMinMs = Number.POSITIVE_INFINITY;
  private samples = 0;
  private conservativeRounds = 0;
  private conservativeBaselineMs = Number.POSITIVE_INFINITY;

  get isConservative(): boolean {
    return this.conservativeBaselineMs !== Number.POSITIVE_INFINITY;
  }

  /** Current divisor of slow start's growth. */
  get growthDivisor(): number {
    return this.isConservative ? CSS_GROWTH_DIVISOR : 1;
  }

  /**
   * Handles an acknowledgement in slow start and returns whether slow start has ended. A round
   * lasts until the next packet sent after its beginning is acknowledged.
   */
  onAcknowledged(largestAcked: number, nextPacketNumber: number, rttMs: number): boolean {
    if (largestAcked >= this.roundEndPacket) {
      this.roundEndPacket = nextPacketNumber;
      this.lastRoundMinMs = this.roundMinMs;
      this.roundMinMs = Number.POSITIVE_INFINITY;
      this.samples = 0;
      if (this.isConservative && ++this.conservativeRounds >= CSS_ROUNDS) return true;
    }
    if (rttMs < 0) return false;
    this.roundMinMs = Math.min(this.roundMinMs, rttMs);
    this.samples++;
    if (this.samples < ROUND_SAMPLES) return false;
    if (this.isConservative) {
      if (this.roundMinMs < this.conservativeBaselineMs) {
        // The round trip shrank again: the growth was noise, so return to slow start.
        this.conservativeBaselineMs = Number.POSITIVE_INFINITY;
        this.conservativeRounds = 0;
      }
      return false;
    }
    if (this.lastRoundMinMs === Number.POSITIVE_INFINITY) return false;
    const thresholdMs = Math.max(
      MIN_RTT_THRESHOLD_MS,
      Math.min(this.lastRoundMinMs / MIN_RTT_DIVISOR, MAX_RTT_THRESHOLD_MS),
    );
    if (this.roundMinMs >= this.lastRoundMinMs + thresholdMs) {
      this.conservativeBaselineMs = this.roundMinMs;
      this.conservativeRounds = 0;
    }
    return false;
  }
}

/** Round-trip time estimation.  // RFC 9002 §5 */

/** Assumed before the first sample.  // RFC 9002 §6.2.2 */
export const INITIAL_RTT_MS = 333;
/** Assumed resolution of timers.  // RFC 9002 §6.1.2 */
export const TIMER_GRANULARITY_MS = 1;

export class RttEstimator {
  latestMs: number = INITIAL_RTT_MS;
  smoothedMs: number = INITIAL_RTT_MS;
  rttVarMs: number = INITIAL_RTT_MS / 2;
  /** Smallest sample of this path; 0 before the first. */
  minMs = 0;
  hasSample = false;

  /**
   * Adds a sample of `sampleMs`. The peer reports that it delayed its ACK by `ackDelayMs` (already
   * limited to the delay that it announced).  // RFC 9002 §5.3
   */
  update(sampleMs: number, ackDelayMs: number): void {
    this.latestMs = sampleMs;
    if (!this.hasSample) {
      this.hasSample = true;
      this.minMs = sampleMs;
      this.smoothedMs = sampleMs;
      this.rttVarMs = sampleMs / 2;
      return;
    }
    if (sampleMs < this.minMs) this.minMs = sampleMs;
    const adjusted = sampleMs >= this.minMs + ackDelayMs ? sampleMs - ackDelayMs : sampleMs;
    this.rttVarMs = 0.75 * this.rttVarMs + 0.25 * Math.abs(this.smoothedMs - adjusted);
    this.smoothedMs = 0.875 * this.smoothedMs + 0.125 * adjusted;
  }

  /**
   * Sets an initial estimate from the handshake, which is better than the default. It does not
   * count as a sample.
   */
  assume(rttMs: number): void {
    if (this.hasSample) return;
    this.latestMs = rttMs;
    this.smoothedMs = rttMs;
    this.rttVarMs = rttMs / 2;
  }

  /** Probe timeout before back-off.  // RFC 9002 §6.2.1 */
  ptoMs(maxAckDelayMs: number): number {
    return this.smoothedMs + Math.max(4 * this.rttVarMs, TIMER_GRANULARITY_MS) + maxAckDelayMs;
  }

  /** Resets the estimate for a new path.  // RFC 9000 §9.4 */
  reset(): void {
    this.latestMs = INITIAL_RTT_MS;
    this.smoothedMs = INITIAL_RTT_MS;
    this.rttVarMs = INITIAL_RTT_MS / 2;
    this.minMs = 0;
    this.hasSample = false;
  }
}

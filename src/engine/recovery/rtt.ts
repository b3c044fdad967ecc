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
   * Takes a sample of `sampleMs`, of which the peer says that it held its answer back for `ackDelayMs`
   * (already limited to what it promised).  // RFC 9002 §5.3
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

  /** A first idea of the round trip, from the handshake: better than the assumption, no sample yet. */
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

  /** Forgets the path: the next one is measured from the start.  // RFC 9000 §9.4 */
  reset(): void {
    this.latestMs = INITIAL_RTT_MS;
    this.smoothedMs = INITIAL_RTT_MS;
    this.rttVarMs = INITIAL_RTT_MS / 2;
    this.minMs = 0;
    this.hasSample = false;
  }
}

/**
 * Token bucket that spreads a window over a round trip.  // RFC 9002 §7.7
 *
 * Node's timers fire 1.1–1.3 ms late, so packets leave in bursts. The bucket holds the bytes of a
 * few timer periods. An empty bucket refills until it allows a whole burst, not a single packet.
 */

/** Time that a full bucket lasts, ms: a late timer must not reduce the rate. */
const BURST_MS = 4;
/** Length of the shortest burst worth a wake-up, as time at the rate, ms. */
const QUANTUM_MS = 1;
const MIN_BURST_PACKETS = 10;
const MAX_BURST_PACKETS = 256;
/**
 * Minimum capacity as time at the rate, for rates (beyond 1.5 Gbit/s) at which even 256 packets are
 * sent before a timer fires.
 */
const MIN_BURST_MS = 2;

export class Pacer {
  private tokensBytes = Number.POSITIVE_INFINITY;
  private filledAtMs = 0;
  private rate = Number.POSITIVE_INFINITY;
  private capacityBytes = Number.POSITIVE_INFINITY;
  private quantumBytes = 0;

  /** Refills the bucket up to `nowMs` at `rate` bytes per ms (Infinity: no pacing). */
  fill(nowMs: number, rate: number, datagramBytes: number): void {
    if (rate !== this.rate) {
      this.rate = rate;
      const packets = Math.min((rate * BURST_MS) / datagramBytes, MAX_BURST_PACKETS);
      this.capacityBytes = Math.max(
        Math.max(MIN_BURST_PACKETS, packets) * datagramBytes,
        rate * MIN_BURST_MS,
      );
      this.quantumBytes = Math.max(datagramBytes, Math.min(rate * QUANTUM_MS, this.capacityBytes / 2));
    }
    if (rate === Number.POSITIVE_INFINITY) this.tokensBytes = rate;
    else this.tokensBytes = Math.min(this.capacityBytes, this.tokensBytes + (nowMs - this.filledAtMs) * rate);
    this.filledAtMs = nowMs;
  }

  /**
   * Whether a packet may leave now. It may overdraw the bucket; the debt is then refilled first.
   */
  get isOpen(): boolean {
    return this.tokensBytes > 0;
  }

  onSent(bytes: number): void {
    this.tokensBytes -= bytes;
  }

  /** When the bucket allows the next burst. Valid only while the bucket is not open. */
  get opensAtMs(): number {
    return this.filledAtMs + (this.quantumBytes - this.tokensBytes) / this.rate;
  }
}

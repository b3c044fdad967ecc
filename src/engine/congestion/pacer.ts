/**
 * Token bucket that spreads a window over a round trip.  // RFC 9002 §7.7
 *
 * Node's timers go off 1.1–1.3 ms late, so packets leave in bursts: the bucket holds what the rate brings
 * in a few timer periods, and an empty bucket is waited for until a burst is worth it, never a packet.
 */

/** Time that a full bucket lasts, ms: a late timer must not cost rate. */
const BURST_MS = 4;
/** Time of the rate that is worth waking up for, ms. */
const QUANTUM_MS = 1;
const MIN_BURST_PACKETS = 10;
const MAX_BURST_PACKETS = 256;
/** Where even 256 packets are gone before a timer comes (beyond 1.5 Gbit/s), a bucket holds this time of the rate. */
const MIN_BURST_MS = 2;

export class Pacer {
  private tokensBytes = Number.POSITIVE_INFINITY;
  private filledAtMs = 0;
  private rate = Number.POSITIVE_INFINITY;
  private capacityBytes = Number.POSITIVE_INFINITY;
  private quantumBytes = 0;

  /** Brings the bucket up to `nowMs` at `rate` bytes per ms (Infinity: no pacing). */
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

  /** Whether a packet may leave now. It may overdraw the bucket: the debt is waited off. */
  get isOpen(): boolean {
    return this.tokensBytes > 0;
  }

  onSent(bytes: number): void {
    this.tokensBytes -= bytes;
  }

  /** When the next burst is worth sending; only meaningful while not open. */
  get opensAtMs(): number {
    return this.filledAtMs + (this.quantumBytes - this.tokensBytes) / this.rate;
  }
}

/** A token bucket: a rate with a burst. */
export class TokenBucket {
  readonly #rateBytes: number;
  readonly #depthBytes: number;
  #level: number;
  #filledAtMs: number;

  /**
   * @param rateBytes bytes per second
   * @param burstMs size of the burst allowed after a pause, as time at that rate
   */
  constructor(nowMs: number, rateBytes: number, burstMs: number) {
    this.#rateBytes = rateBytes;
    this.#depthBytes = (rateBytes * burstMs) / 1000;
    this.#level = this.#depthBytes;
    this.#filledAtMs = nowMs;
  }

  /** Takes `bytes` tokens. Returns false, and takes none, if fewer are available. */
  take(nowMs: number, bytes: number): boolean {
    const filled = this.#level + ((nowMs - this.#filledAtMs) * this.#rateBytes) / 1000;
    this.#level = Math.min(filled, this.#depthBytes);
    this.#filledAtMs = nowMs;
    if (this.#level < bytes) return false;
    this.#level -= bytes;
    return true;
  }
}

/** A token bucket: a rate with a burst. */
export class TokenBucket {
  readonly #rateBytes: number;
  readonly #depthBytes: number;
  #level: number;
  #filledAtMs: number;

  /**
   * @param rateBytes bytes a second
   * @param burstMs what may go at once after a pause, as time at that rate
   */
  constructor(nowMs: number, rateBytes: number, burstMs: number) {
    this.#rateBytes = rateBytes;
    this.#depthBytes = (rateBytes * burstMs) / 1000;
    this.#level = this.#depthBytes;
    this.#filledAtMs = nowMs;
  }

  /** Takes so many bytes; false, and none taken, where there are not as many. */
  take(nowMs: number, bytes: number): boolean {
    const filled = this.#level + ((nowMs - this.#filledAtMs) * this.#rateBytes) / 1000;
    this.#level = Math.min(filled, this.#depthBytes);
    this.#filledAtMs = nowMs;
    if (this.#level < bytes) return false;
    this.#level -= bytes;
    return true;
  }
}

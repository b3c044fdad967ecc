/**
 * A timeout of any length. Node's timers are limited to 31 bits of milliseconds, 24.8 days. A
 * longer one fires after 1 ms with a warning on stderr. Timeouts that a user or a peer can choose
 * use this class.
 */

/** The longest delay that Node's timers support. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

export class LongTimeout {
  readonly #onDue: () => void;
  readonly #maxTimerMs: number;
  #remainingMs: number;
  #timer: NodeJS.Timeout | undefined;

  /**
   * Starts the timeout.
   *
   * @param delayMs Infinity for never
   * @param maxTimerMs the longest delay of a single timer, for tests
   */
  constructor(onDue: () => void, delayMs: number, maxTimerMs: number = MAX_TIMER_MS) {
    this.#onDue = onDue;
    this.#remainingMs = delayMs;
    this.#maxTimerMs = maxTimerMs;
    this.#next();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #next(): void {
    if (this.#remainingMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.min(this.#remainingMs, this.#maxTimerMs);
    this.#remainingMs -= delayMs;
    this.#timer = setTimeout(() => {
      if (this.#remainingMs > 0) this.#next();
      else this.#onDue();
    }, delayMs);
  }
}

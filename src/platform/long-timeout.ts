/**
 * A timeout of any length. Node's own know 31 bits of milliseconds, 24.8 days: a longer one fires after 1 ms, with a
 * warning on stderr. Whatever a user or a peer may name takes this one.
 */

/** The longest delay that Node's timers take. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

export class LongTimeout {
  readonly #onDue: () => void;
  readonly #maxTimerMs: number;
  #remainingMs: number;
  #timer: NodeJS.Timeout | undefined;

  /**
   * Starts it.
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

/**
 * Detects that the machine has slept: the monotonic clock stops during sleep, the wall clock does
 * not. A process that was stopped is not detected here; its timers are seconds late.
 */

/** A gap that system load cannot cause. */
export const SLEPT_MS = 3000;

export class SleepWatch {
  #offsetMs: number | undefined;

  /** Whether the clocks have diverged since the last call, as they do during sleep. */
  hasSlept(monotonicMs: number): boolean {
    const offsetMs = Date.now() - monotonicMs;
    const before = this.#offsetMs ?? offsetMs;
    this.#offsetMs = offsetMs;
    return offsetMs - before > SLEPT_MS;
  }
}

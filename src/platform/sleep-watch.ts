/**
 * Notices that the machine has slept: the monotonic clock stands still meanwhile, the wall clock does not.
 * A process that was stopped shows it otherwise, by timers that are seconds late.
 */

/** A gap that no load explains. */
export const SLEPT_MS = 3000;

export class SleepWatch {
  #offsetMs: number | undefined;

  /** Whether the clocks have drifted apart since the last call, as they do over a sleep. */
  hasSlept(monotonicMs: number): boolean {
    const offsetMs = Date.now() - monotonicMs;
    const before = this.#offsetMs ?? offsetMs;
    this.#offsetMs = offsetMs;
    return offsetMs - before > SLEPT_MS;
  }
}

/**
 * One timer for all deadlines of an endpoint.
 *
 * Deadlines move with every packet, mostly to later (the idle timeout, the probe timeout), and a timer that
 * followed them would cost more than the packets. This one is set anew only for an earlier deadline; for a
 * later one it goes off in vain once and is asked again.
 */
import { MAX_TIMER_MS } from "./long-timeout.ts";

/** Node's timers know whole milliseconds only. */
const MIN_MS = 1;

export class DeadlineTimer {
  readonly #onDue: () => void;
  #timeout: NodeJS.Timeout | undefined;
  #delayMs = 0;
  #dueMs = Infinity;
  #held = true;

  /** @param onDue called when the earliest deadline has come, perhaps too early: it looks, and sets the next */
  constructor(onDue: () => void) {
    this.#onDue = () => {
      this.#dueMs = Infinity;
      onDue();
    };
  }

  /** Sees to it that the timer goes off by `deadlineMs`; `now` and it are monotonic milliseconds. */
  wakeBy(deadlineMs: number, now: number): void {
    if (deadlineMs >= this.#dueMs) return;
    this.#dueMs = deadlineMs;
    const delayMs = Math.max(MIN_MS, Math.min(Math.ceil(deadlineMs - now), MAX_TIMER_MS));
    if (this.#timeout !== undefined && delayMs === this.#delayMs) {
      this.#timeout.refresh();
      return;
    }
    clearTimeout(this.#timeout);
    this.#delayMs = delayMs;
    this.#timeout = setTimeout(this.#onDue, delayMs);
    if (!this.#held) this.#timeout.unref();
  }

  /** Whether the timer keeps the process running. */
  holdProcess(hold: boolean): void {
    this.#held = hold;
    if (hold) this.#timeout?.ref();
    else this.#timeout?.unref();
  }

  stop(): void {
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
    this.#dueMs = Infinity;
  }
}

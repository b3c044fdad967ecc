/**
 * One timer for all deadlines of an endpoint.
 *
 * Deadlines move with every packet, usually to a later time (idle timeout, probe timeout). Rearming
 * a timer each time would cost more than the packets. This timer is rearmed only for an earlier
 * deadline. For a later one it fires once without effect and the owner sets the next deadline.
 */
import { MAX_TIMER_MS } from "./long-timeout.ts";

/** Node's timers have a resolution of one millisecond. */
const MIN_MS = 1;

export class DeadlineTimer {
  readonly #onDue: () => void;
  #timeout: NodeJS.Timeout | undefined;
  #delayMs = 0;
  #dueMs = Infinity;
  #held = true;

  /**
   * @param onDue called when the earliest deadline has passed, possibly too early; checks what is
   * due and sets the next deadline
   */
  constructor(onDue: () => void) {
    this.#onDue = () => {
      this.#dueMs = Infinity;
      onDue();
    };
  }

  /** Ensures that the timer fires by `deadlineMs`. Both arguments are monotonic milliseconds. */
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

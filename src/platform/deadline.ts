/** The caller's patience: a time and a signal, either of which ends the waiting for whatever is waited for. */
import { SrudpError } from "../base/errors.ts";
import { onAbort } from "./abort.ts";
import { LongTimeout } from "./long-timeout.ts";

export class Deadline {
  readonly #timer: LongTimeout;
  readonly #release: () => void;
  #isOver = false;
  #reason: unknown;
  #onOver: (() => void) | undefined;

  constructor(signal: AbortSignal | undefined, timeoutMs: number) {
    this.#release = onAbort(signal, () => this.#lose(signal?.reason));
    this.#timer = new LongTimeout(() => this.#lose(new SrudpError("ERR_TIMEOUT")), timeoutMs);
  }

  /**
   * What `work` gives, unless patience ends before it.
   *
   * @param discard takes what comes too late
   * @param abandon is called when patience ends, to stop the work
   */
  limit<T>(work: Promise<T>, discard?: (late: T) => void, abandon?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#onOver = () => {
        reject(this.#reason);
        abandon?.();
      };
      work.then(
        (value) => {
          if (this.#isOver) discard?.(value);
          else resolve(value);
        },
        (error: unknown) => reject(error),
      );
      if (this.#isOver) this.#onOver();
    });
  }

  end(): void {
    this.#timer.stop();
    this.#release();
    this.#onOver = undefined;
  }

  #lose(reason: unknown): void {
    this.#isOver = true;
    this.#reason = reason;
    this.#onOver?.();
  }
}

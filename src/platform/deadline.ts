/**
 * A deadline for asynchronous work: a time, a signal, or both. It holds one timer and one abort listener until `end()`.
 *
 * Not `AbortSignal.any` or `AbortSignal.timeout`: on Node 20 they leak on a signal that outlives the call.
 */
import { SrudpError } from "../base/errors.ts";
import { onAbort } from "./abort.ts";
import { LongTimeout } from "./long-timeout.ts";

export class Deadline {
  readonly #timer: LongTimeout;
  readonly #release: () => void;
  #isExpired = false;
  #reason: unknown;
  #onExpired: (() => void) | undefined;

  /**
   * @param timeoutMs Infinity for no time limit
   * @param newError the error of work that takes longer
   */
  constructor(
    signal: AbortSignal | undefined,
    timeoutMs: number,
    newError: () => Error = () => new SrudpError("ERR_TIMEOUT"),
  ) {
    this.#release = onAbort(signal, () => this.#expire(signal?.reason));
    this.#timer = new LongTimeout(() => this.#expire(newError()), timeoutMs);
  }

  /**
   * Returns the value of `work`. Rejects when the deadline expires first, with its error or the
   * signal's reason.
   *
   * @param discard receives a value that arrives after the deadline
   * @param abandon called when the deadline expires, to stop the work
   */
  limit<T>(work: Promise<T>, discard?: (late: T) => void, abandon?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#onExpired = () => {
        reject(this.#reason);
        abandon?.();
      };
      work.then(
        (value) => {
          if (this.#isExpired) discard?.(value);
          else resolve(value);
        },
        (error: unknown) => reject(error),
      );
      if (this.#isExpired) this.#onExpired();
    });
  }

  end(): void {
    this.#timer.stop();
    this.#release();
    this.#onExpired = undefined;
  }

  #expire(reason: unknown): void {
    this.#isExpired = true;
    this.#reason = reason;
    this.#onExpired?.();
  }
}

/**
 * Returns the value of `work`. Rejects with the reason of `signal` when the signal is aborted
 * first.
 */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const deadline = new Deadline(signal, Number.POSITIVE_INFINITY);
  try {
    return await deadline.limit(work);
  } finally {
    deadline.end();
  }
}

/** Resolves when `work` has resolved, or after `timeoutMs`. Rejects if `work` does. */
export async function resolvedWithin(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

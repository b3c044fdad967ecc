/**
 * The lifetime of a listener's code. A code ends when a peer uses it, after three wrong guesses, or
 * after ten minutes. If the listener continues, a generated code is followed by a new one. A code
 * that the user gave ends the listener, because the user could not pass on a new one.
 *
 * After wrong guesses the next code is delayed, by four times the previous delay. Otherwise
 * attackers could void each code within a second, and each code costs this machine two runs of
 * scrypt.
 */
import { SrudpError } from "../../base/errors.ts";

/** How long a code is valid. */
export const CODE_LIFE_MS = 600_000;

/** Delay of the next code after wrong guesses: initial value, growth factor and maximum. */
const BURNT_PAUSE_MS = 2000;
const BURNT_PAUSE_GROWTH = 4;
const BURNT_PAUSE_MAX_MS = 600_000;

export interface CodeLifeOptions {
  /** The code in normal form. */
  readonly code: string;
  readonly given: boolean;
  /** `-k`: the listener continues after a peer, and after wrong guesses. */
  readonly keepOpen: boolean;
  readonly newCode: () => string;
  /** Called with the code that is valid from now on, or `undefined` for none. */
  readonly use: (code: string | undefined) => void;
  /** Called when wrong guesses have voided the code and another one follows after `pauseMs`. */
  readonly pause: (pauseMs: number) => void;
  /** Called when the listener no longer has a valid code. */
  readonly fail: (error: SrudpError) => void;
}

export class CodeLife {
  readonly #options: CodeLifeOptions;
  #code: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Consecutive codes that were voided by wrong guesses. */
  #burntInARow = 0;

  /** The code is valid at once. `use` is not called for it. */
  constructor(options: CodeLifeOptions) {
    this.#options = options;
    this.#code = options.code;
    this.#startTimer();
  }

  /** The valid code. */
  get code(): string | undefined {
    return this.#code;
  }

  /**
   * Handles a peer that has connected. If it used the code, the code is spent; with `-k` a new one
   * follows.
   */
  handlePeer(byCode: boolean): void {
    if (this.#options.keepOpen) {
      if (byCode) {
        this.#burntInARow = 0;
        this.#renew();
      }
      return;
    }
    this.stop();
    if (!byCode) return;
    this.#code = undefined;
    this.#options.use(undefined);
  }

  /** Handles the third wrong guess. */
  handleBurnt(): void {
    this.stop();
    this.#code = undefined;
    if (!this.#options.keepOpen || this.#options.given) {
      this.#options.fail(new SrudpError("ERR_CODE_BURNT"));
      return;
    }
    const pauseMs = Math.min(BURNT_PAUSE_MS * BURNT_PAUSE_GROWTH ** this.#burntInARow++, BURNT_PAUSE_MAX_MS);
    this.#options.pause(pauseMs);
    this.#timer = setTimeout(() => this.#renew(), pauseMs);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #renew(): void {
    this.#code = this.#options.newCode();
    this.#options.use(this.#code);
    this.#startTimer();
  }

  #startTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#options.given) this.#options.fail(new SrudpError("ERR_CODE_EXPIRED"));
      else {
        this.#burntInARow = 0;
        this.#renew();
      }
    }, CODE_LIFE_MS);
    this.#timer.unref();
  }
}

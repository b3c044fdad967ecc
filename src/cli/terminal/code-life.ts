/**
 * The lifetime of a listener's code: it ends when a peer uses it, with the third wrong guess, or after ten minutes. A
 * generated code is followed by a new one where the listener continues. A code that the user gave ends the listener,
 * since a new one could not be passed on.
 *
 * After wrong guesses the next code is delayed, four times as long each time: strangers could void each code within
 * a second, and each code costs this machine two runs of scrypt.
 */
import { SrudpError } from "../../base/errors.ts";

/** How long a code is valid. */
export const CODE_LIFE_MS = 600_000;

/** Delay of the next code after wrong guesses: the first one, its growth, and the maximum. */
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
  /** Called with the code that is valid from now on, `undefined` for none. */
  readonly use: (code: string | undefined) => void;
  /** Called when wrong guesses have voided the code and another one follows after `pauseMs`. */
  readonly pause: (pauseMs: number) => void;
  /** Called when the listener has no valid code any more. */
  readonly fail: (error: SrudpError) => void;
}

export class CodeLife {
  readonly #options: CodeLifeOptions;
  #code: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Consecutive codes that were voided by wrong guesses. */
  #burntInARow = 0;

  /** The code is valid at once; `use` is not called for it. */
  constructor(options: CodeLifeOptions) {
    this.#options = options;
    this.#code = options.code;
    this.#startTimer();
  }

  /** The code in force. */
  get code(): string | undefined {
    return this.#code;
  }

  /** A peer has connected. A code that it used is spent; with `-k` a new one follows. */
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

  /** Three wrong guesses have arrived. */
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

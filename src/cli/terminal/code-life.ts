/**
 * The life of a listener's code: it ends with the peer that used it, with the third wrong guess, or after
 * ten minutes. A code that was made is followed by a fresh one where the listener goes on; one that was
 * given from outside takes the listener with it, since nobody could be told another.
 *
 * After wrong guesses the next code waits, four times as long each time: a code that strangers use up within a
 * second is of use to nobody, and each costs this machine two runs of scrypt.
 */
import { SrudpError } from "../../base/errors.ts";

/** How long a code may be waited with. */
export const CODE_LIFE_MS = 600_000;

/** Wait for the next code after one was guessed at, the first time and at most. */
const BURNT_PAUSE_MS = 2000;
const BURNT_PAUSE_GROWTH = 4;
const BURNT_PAUSE_MAX_MS = 600_000;

export interface CodeLifeOptions {
  /** The code in normal form. */
  readonly code: string;
  readonly given: boolean;
  /** `-k`: the listener stays after a peer, and after a code that was guessed at. */
  readonly keepOpen: boolean;
  readonly newCode: () => string;
  /** Called with the code that counts from now on, `undefined` for none. */
  readonly use: (code: string | undefined) => void;
  /** Called when wrong guesses have made the code void and another follows after `pauseMs`. */
  readonly pause: (pauseMs: number) => void;
  /** Called when the listener has nothing to wait with any more. */
  readonly fail: (error: SrudpError) => void;
}

export class CodeLife {
  readonly #options: CodeLifeOptions;
  #code: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Codes in a row that ended by wrong guesses. */
  #burntInARow = 0;

  /** The life begins at once; `use` is not called for the first code. */
  constructor(options: CodeLifeOptions) {
    this.#options = options;
    this.#code = options.code;
    this.#startTimer();
  }

  /** The code in force. */
  get code(): string | undefined {
    return this.#code;
  }

  /** A peer is here, and a code that it used is spent; with `-k` the next peer gets another one. */
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

  /** Three wrong guesses have come in. */
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

/**
 * The life of a listener's code: it ends with the peer that used it, with the third wrong guess, or after
 * ten minutes. A code that was made is followed by a fresh one where the listener goes on; one that was
 * given from outside takes the listener with it, since nobody could be told another.
 */
import { SrudpError } from "../base/errors.ts";

/** How long a code may be waited with. */
export const CODE_LIFE_MS = 600_000;

export interface CodeLifeOptions {
  /** The code in normal form. */
  readonly code: string;
  readonly given: boolean;
  /** `-k`: the listener stays after a peer, and after a code that was guessed at. */
  readonly keepOpen: boolean;
  readonly newCode: () => string;
  /** Called with the code that counts from now on, `undefined` for none. */
  readonly use: (code: string | undefined) => void;
  /** Called when the listener has nothing to wait with any more. */
  readonly fail: (error: SrudpError) => void;
}

export class CodeLife {
  readonly #options: CodeLifeOptions;
  #code: string | undefined;
  #timer: NodeJS.Timeout | undefined;

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
      if (byCode) this.#renew();
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
    if (this.#options.keepOpen && !this.#options.given) this.#renew();
    else this.#options.fail(new SrudpError("ERR_CODE_BURNT"));
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
      else this.#renew();
    }, CODE_LIFE_MS);
    this.#timer.unref();
  }
}

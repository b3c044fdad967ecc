/**
 * Keeps some file descriptors of the process for its links, look-ups and files: connections are refused before the
 * system's limit is reached. Beyond it, libuv closes what it accepts without telling anybody, and everything else in
 * the process fails with EMFILE.
 */
import { closeSync, openSync, readFileSync } from "node:fs";
import { devNull } from "node:os";

/** What connections leave free. */
const RESERVED_DESCRIPTORS = 8;

/** Undoes an admission; may be called again. */
export type Release = () => void;

export class DescriptorBudget {
  readonly #limitOf: () => number;
  #limit: number | undefined;
  /** Admitted, without a descriptor so far. */
  #pending = 0;
  #isShort = false;

  /** @param limitOf descriptors that the process may have; for tests */
  constructor(limitOf: () => number = systemLimit) {
    this.#limitOf = limitOf;
  }

  /**
   * Admits a connection that will need a descriptor: call the result when it has one, or needs none any more.
   *
   * @param onShort called at the first refusal, and again only after there was room in between
   * @returns undefined when the connection has to be refused
   */
  admit(onShort: () => void): Release | undefined {
    const free = this.#free();
    if (free < RESERVED_DESCRIPTORS) {
      const isNews = !this.#isShort;
      this.#isShort = true;
      if (isNews) onShort();
      return undefined;
    }
    if (free >= 2 * RESERVED_DESCRIPTORS) this.#isShort = false;
    this.#pending++;
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#pending--;
    };
  }

  /** The system hands out the lowest number that is free, so the next number tells how many are in use. */
  #free(): number {
    this.#limit ??= this.#limitOf();
    try {
      const next = openSync(devNull, "r");
      closeSync(next);
      return this.#limit - next - this.#pending;
    } catch {
      return 0;
    }
  }
}

/** Descriptors belong to the process, whichever link takes them. */
export const processDescriptors: DescriptorBudget = new DescriptorBudget();

/** Where the limit is not known, only its effect is: nothing more can be opened. */
function systemLimit(): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

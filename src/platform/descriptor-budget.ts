/**
 * Reserves some file descriptors of the process for its links, look-ups and files. Connections are
 * refused before the system's limit is reached. At the limit, libuv silently closes accepted
 * connections, and everything else in the process fails with EMFILE.
 */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { descriptorLimit } from "./descriptors.ts";

/** Number of descriptors that connections must leave free. */
const RESERVED_DESCRIPTORS = 8;

/** Undoes an admission. May be called more than once. */
export type Release = () => void;

export class DescriptorBudget {
  readonly #limitOf: () => number;
  #limit: number | undefined;
  /** Connections that were admitted but have no descriptor yet. */
  #pending = 0;
  #isShort = false;

  /** @param limitOf returns the maximum number of descriptors; for tests */
  constructor(limitOf: () => number = systemLimit) {
    this.#limitOf = limitOf;
  }

  /**
   * Admits a connection that needs a descriptor. Call the result once the connection has its
   * descriptor or no longer needs one.
   *
   * @param onShort called at the first refusal, and again only after enough descriptors were free
   * in between
   * @returns undefined when the connection must be refused
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

  /** The system assigns the lowest free number, so the next number shows how many are in use. */
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

/** The budget is shared by all links, because descriptors belong to the process. */
export const processDescriptors: DescriptorBudget = new DescriptorBudget();

/** If the limit is unknown, it is only noticed when opening fails. */
function systemLimit(): number {
  return descriptorLimit() ?? Number.POSITIVE_INFINITY;
}

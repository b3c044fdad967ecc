/** Counts what arrives in the time that is measured, at the receiver, which knows when that begins. */
import type { Say } from "./peer-process.ts";

/** What goes before the measured time: slow start, the search for the packet size, V8's compilers. */
export const WARM_UP_MS = 1000;

export class Arrivals {
  readonly #measuredMs: number;
  readonly #say: Say;
  #startMs = -1;
  #countedFromMs = -1;
  #bytes = 0;
  #isDone = false;

  /** Says "counting" when the measured time begins, and "received" when it is over. */
  constructor(measuredMs: number, say: Say) {
    this.#measuredMs = measuredMs;
    this.#say = say;
  }

  count(byteLength: number): void {
    if (this.#isDone) return;
    const now = performance.now();
    if (this.#startMs < 0) this.#startMs = now + WARM_UP_MS;
    if (now < this.#startMs) return;
    if (this.#countedFromMs < 0) {
      // What came before this moment belongs to the time before it, however little of that was left.
      this.#countedFromMs = now;
      this.#say({ kind: "counting" });
      return;
    }
    this.#bytes += byteLength;
    if (now < this.#countedFromMs + this.#measuredMs) return;
    this.#isDone = true;
    this.#say({ kind: "received", bytes: this.#bytes, tookMs: now - this.#countedFromMs });
  }
}

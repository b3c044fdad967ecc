/**
 * What a world did, folded into one number: every datagram with its time, source, destination and bytes, and
 * every event. Two runs of one seed must end with the same one.
 */

import { checksum } from "./primitives.ts";

export class Trace {
  /** Datagrams and events folded in. */
  entries = 0;
  #first = 0x243f6a88;
  #second = 0x13198a2e;
  readonly #scratch = new Float64Array(1);
  readonly #scratchBytes = new Uint8Array(this.#scratch.buffer);

  addDatagram(now: number, port: number, toPort: number, bytes: Uint8Array): void {
    this.addNumbers(now, port, toPort);
    this.#mix(checksum(bytes, 0, bytes.length, this.#first));
  }

  addNumbers(...numbers: readonly number[]): void {
    this.entries++;
    for (const number of numbers) {
      this.#scratch[0] = number;
      this.#mix(checksum(this.#scratchBytes, 0, 8, this.#second));
    }
  }

  /** Sixteen hexadecimal digits. */
  get digest(): string {
    return [this.#first, this.#second].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  #mix(word: number): void {
    this.#first = Math.imul(this.#first ^ word, 0x9e3779b1);
    this.#first ^= this.#first >>> 16;
    this.#second = Math.imul(this.#second + word, 0x85ebca77) ^ this.#first;
  }
}

/**
 * The simulator's only source of chance: a small seeded generator (sfc32), so that a run is a function of
 * its seed.
 *
 * Every part of a world draws from its own labelled generator. A new draw in one link then leaves every
 * other link, workload and handshake of the same seed as it was, and old failing seeds stay comparable.
 */

export class Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  /** @param seed any safe integer @param label tells apart generators of one seed */
  constructor(seed: number, label = "") {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 0x1_0000_0000) >>> 0;
    this.#c = hashText(label);
    // The first outputs of sfc32 still show the seed; its author runs it 12–15 times.
    for (let round = 0; round < 16; round++) this.u32();
  }

  /** The next 32 bits, 0 … 2^32-1. */
  u32(): number {
    const sum = (this.#a + this.#b + this.#counter) >>> 0;
    this.#counter = (this.#counter + 1) >>> 0;
    this.#a = (this.#b ^ (this.#b >>> 9)) >>> 0;
    this.#b = (this.#c + (this.#c << 3)) >>> 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) >>> 0;
    return sum;
  }

  /** A fraction in [0, 1). */
  unit(): number {
    return this.u32() / 0x1_0000_0000;
  }

  /** True with this probability; draws nothing for 0, so that a knob that is off changes no other draw. */
  chance(probability: number): boolean {
    return probability > 0 && this.unit() < probability;
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.unit() * bound);
  }

  /** A number in [low, high). */
  between(low: number, high: number): number {
    return low + this.unit() * (high - low);
  }

  /** An integer in [low, high]. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** A number in [low, high) whose logarithm is uniform: as many draws per decade at either end. */
  logarithmic(low: number, high: number): number {
    return low * (high / low) ** this.unit();
  }

  /** One of the choices, each as likely. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(lengthBytes: number): Uint8Array {
    const bytes = new Uint8Array(lengthBytes);
    for (let at = 0; at < lengthBytes; at += 4) {
      const word = this.u32();
      for (let n = 0; n < 4 && at + n < lengthBytes; n++) bytes[at + n] = word >>> (8 * n);
    }
    return bytes;
  }
}

/** FNV-1a over the UTF-16 units of a label. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

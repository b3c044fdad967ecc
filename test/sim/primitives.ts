/**
 * Primitives for worlds by the thousand: an AEAD that is a keyed checksum beside plain text, and a
 * Diffie-Hellman group that is a toy. They agree, detect every changed byte, and hide nothing.
 *
 * The text staying plain lets `wire-tap.ts` read what goes over the link. Some seeds run on the real
 * primitives instead, which costs 30 times as much.
 */

import type { AeadKey, AeadProvider, Primitives } from "../../src/crypto/primitives.ts";

const TAG_BYTES = 16;
const MULTIPLIERS = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f] as const;

class ChecksumKey implements AeadKey {
  readonly #first: number;
  readonly #second: number;

  constructor(bytes: Uint8Array) {
    this.#first = checksum(bytes, 0, bytes.length, 1);
    this.#second = checksum(bytes, 0, bytes.length, 2);
  }

  seal(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number, packetNumber: number): void {
    if (textStart < adStart || textEnd < textStart || textEnd + TAG_BYTES > bytes.length) {
      throw new Error("no room for the text and its tag");
    }
    const sum = this.#sum(bytes, adStart, textStart, textEnd, packetNumber);
    for (let n = 0; n < 4; n++) {
      const word = Math.imul(sum ^ (this.#second + n), MULTIPLIERS[n]!);
      const at = textEnd + 4 * n;
      bytes[at] = word;
      bytes[at + 1] = word >>> 8;
      bytes[at + 2] = word >>> 16;
      bytes[at + 3] = word >>> 24;
    }
  }

  open(
    bytes: Uint8Array,
    adStart: number,
    textStart: number,
    textEnd: number,
    packetNumber: number,
  ): boolean {
    if (textStart < adStart || textEnd < textStart || textEnd + TAG_BYTES > bytes.length) return false;
    const sum = this.#sum(bytes, adStart, textStart, textEnd, packetNumber);
    let difference = 0;
    for (let n = 0; n < 4; n++) {
      const word = Math.imul(sum ^ (this.#second + n), MULTIPLIERS[n]!);
      const at = textEnd + 4 * n;
      const found = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      difference |= word ^ found;
    }
    return difference === 0;
  }

  #sum(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number, packetNumber: number): number {
    let seed = Math.imul(this.#first ^ (packetNumber | 0), MULTIPLIERS[0]);
    seed = Math.imul(seed ^ Math.floor(packetNumber / 0x1_0000_0000), MULTIPLIERS[1]);
    seed = Math.imul(seed ^ (textStart - adStart), MULTIPLIERS[2]);
    return checksum(bytes, adStart, textEnd, seed);
  }
}

/**
 * A 32-bit checksum of bytes[start, end). For a given seed and length no two texts that differ within one
 * aligned word of four bytes have the same one, as every step is a bijection of the word.
 */
export function checksum(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let sum = Math.imul(seed ^ (end - start), MULTIPLIERS[1]);
  let at = start;
  for (; at + 3 < end; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    sum = Math.imul(sum ^ word, MULTIPLIERS[0]);
    sum ^= sum >>> 15;
  }
  for (; at < end; at++) {
    sum = Math.imul(sum ^ bytes[at]!, MULTIPLIERS[2]);
    sum ^= sum >>> 15;
  }
  return sum;
}

const checksumAead: AeadProvider = {
  name: "checksum",
  key(bytes: Uint8Array): AeadKey {
    if (bytes.length !== 32) throw new Error("an AEAD key has 32 bytes");
    return new ChecksumKey(bytes);
  },
};

/** The largest prime below 2^26, so that products are exact in a double. */
const PRIME = 67_108_859;
const GENERATOR = 2;

/** A group element stands in the first four bytes, so that any 32 bytes name one. */
function elementOf(bytes: Uint8Array): number {
  const word = (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0;
  return word % PRIME;
}

function power(base: number, exponentBytes: Uint8Array): number {
  let exponent = elementOf(exponentBytes) + 1;
  let square = base;
  let result = 1;
  while (exponent > 0) {
    if (exponent % 2 === 1) result = (result * square) % PRIME;
    square = (square * square) % PRIME;
    exponent = Math.floor(exponent / 2);
  }
  return result;
}

function element(value: number): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes[0] = value;
  bytes[1] = value >>> 8;
  bytes[2] = value >>> 16;
  bytes[3] = value >>> 24;
  // The rest is filled, so that a key does not look empty to anyone.
  for (let at = 4; at < 32; at++) bytes[at] = at;
  return bytes;
}

/** The toy primitives. scrypt is never called in a simulation, as it would leave its virtual time. */
export const toyPrimitives: Primitives = {
  name: "toy",
  aead: checksumAead,
  x25519: {
    publicKey: (secretKey: Uint8Array): Uint8Array => element(power(GENERATOR, secretKey)),
    sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
      const value = power(elementOf(publicKey), secretKey);
      return value === 0 ? undefined : element(value);
    },
  },
  scrypt: () => Promise.reject(new Error("no scrypt in a simulation")),
};

/** AeadKey, the packet-shaped face of ChaCha20-Poly1305, in every provider. */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { describe, expect, it } from "vitest";
import { concatBytes, toHex } from "../../../src/base/bytes.ts";
import { noblePrimitives } from "../../../src/crypto/noble.ts";
import { writeNonce } from "../../../src/crypto/nonce.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import { opensslPrimitives } from "../../../src/platform/crypto/openssl-provider.ts";

const TAG_BYTES = 16;
const KEY = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i);

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + 5) & 0xff);
}

/** The nonce of a packet number, worked out with BigInt instead of the code under test. */
function nonceOf(packetNumber: number): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(4, BigInt(packetNumber), true);
  return nonce;
}

/** Header and text with room for the tag, in the middle of a larger array. */
function packet(headerBytes: number, textBytes: number, seed = 1): Uint8Array {
  return concatBytes(
    pattern(3 + headerBytes + textBytes, seed),
    new Uint8Array(TAG_BYTES),
    Uint8Array.of(1, 2),
  );
}

const NUMBERS = [
  0,
  1,
  255,
  256,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 47 + 3,
  2 ** 48 - 1,
  2 ** 53 - 1,
];

describe("the nonce", () => {
  it("is four zero bytes and the packet number in little-endian, past every sign bit", () => {
    const nonce = new Uint8Array(12).fill(0xee);
    for (const packetNumber of NUMBERS) {
      writeNonce(nonce, packetNumber);
      expect(toHex(nonce)).toBe(toHex(nonceOf(packetNumber)));
    }
  });

  it.each([-1, 0.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])("is refused for %d", (packetNumber) => {
    expect(() => writeNonce(new Uint8Array(12), packetNumber)).toThrowError(
      expect.objectContaining({ code: "ERR_INTERNAL" }),
    );
  });
});

// Missing where koffi is; `primitives.test.ts` fails where it should be there.
const openssl = opensslPrimitives();
const NATIVE = [nodePrimitives, ...(openssl === undefined ? [] : [openssl])];

describe.each([noblePrimitives, ...NATIVE])("an AEAD key of $name", ({ aead }) => {
  const key = aead.key(KEY);

  it("seals what the raw function seals, in place and between its marks only", () => {
    for (const packetNumber of NUMBERS) {
      const bytes = packet(17, 100);
      const expected = chacha20poly1305(KEY, nonceOf(packetNumber), bytes.subarray(3, 20)).encrypt(
        bytes.subarray(20, 120),
      );
      const before = bytes.slice();
      key.seal(bytes, 3, 20, 120, packetNumber);
      expect(toHex(bytes.subarray(20, 136))).toBe(toHex(expected));
      expect(toHex(bytes.subarray(0, 20))).toBe(toHex(before.subarray(0, 20)));
      expect(toHex(bytes.subarray(136))).toBe(toHex(before.subarray(136)));
    }
  });

  it("opens what it sealed", () => {
    const bytes = packet(17, 100);
    const before = bytes.slice();
    key.seal(bytes, 3, 20, 120, 7);
    expect(key.open(bytes, 3, 20, 120, 7)).toBe(true);
    expect(toHex(bytes.subarray(0, 120))).toBe(toHex(before.subarray(0, 120)));
  });

  it("refuses a flipped bit anywhere in header, text and tag", () => {
    const sealed = packet(5, 9);
    key.seal(sealed, 3, 8, 17, 7);
    for (let bit = 3 * 8; bit < (17 + TAG_BYTES) * 8; bit++) {
      const forged = sealed.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(key.open(forged, 3, 8, 17, 7)).toBe(false);
    }
    expect(key.open(sealed, 3, 8, 17, 7)).toBe(true);
  });

  it("refuses another packet number, also one that is equal in its low 32 bits", () => {
    const sealed = packet(5, 9);
    key.seal(sealed, 3, 8, 17, 7);
    for (const other of [6, 8, 7 + 2 ** 31, 7 + 2 ** 32])
      expect(key.open(sealed.slice(), 3, 8, 17, other)).toBe(false);
  });

  it("refuses marks between which tag or text do not fit, without a throw", () => {
    const sealed = packet(5, 9).subarray(0, 17 + TAG_BYTES);
    key.seal(sealed, 3, 8, 17, 7);
    for (let length = 0; length < sealed.length; length++) {
      expect(key.open(sealed.slice(0, length), 3, 8, 17, 7)).toBe(false);
    }
    expect(key.open(sealed.slice(), 3, 17, 8, 7)).toBe(false);
    expect(key.open(sealed.slice(), 3, 8, 18, 7)).toBe(false);
    for (let textEnd = 8; textEnd < 17; textEnd++)
      expect(key.open(sealed.slice(), 3, 8, textEnd, 7)).toBe(false);
  });

  it("does not seal where the tag has no room", () => {
    expect(() => key.seal(new Uint8Array(40), 0, 10, 25, 0)).toThrowError(
      expect.objectContaining({ code: "ERR_INTERNAL" }),
    );
  });

  it("keeps its own copy of the key", () => {
    const bytes = KEY.slice();
    const copied = aead.key(bytes);
    bytes.fill(0);
    const [one, other] = [packet(17, 40), packet(17, 40)];
    copied.seal(one, 3, 20, 60, 1);
    key.seal(other, 3, 20, 60, 1);
    expect(toHex(one)).toBe(toHex(other));
  });

  it.each([0, 16, 31, 33])("is not made of %d bytes", (length) => {
    expect(() => aead.key(new Uint8Array(length))).toThrowError(
      expect.objectContaining({ code: "ERR_INTERNAL" }),
    );
  });
});

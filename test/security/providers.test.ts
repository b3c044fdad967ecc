/** All providers of the primitives seal the same bytes, and refuse the same. */
import { describe, expect, it } from "vitest";
import { concatBytes, toHex } from "../../src/base/bytes.ts";
import { noblePrimitives } from "../../src/crypto/noble.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { opensslPrimitives } from "../../src/platform/crypto/openssl-provider.ts";

const TAG_BYTES = 16;
const KEY = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i);

// Missing where koffi is; `primitives.test.ts` fails where it should be there.
const openssl = opensslPrimitives();
const NATIVE = [nodePrimitives, ...(openssl === undefined ? [] : [openssl])];

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + 5) & 0xff);
}

describe.each(NATIVE)("noble and $name", (native) => {
  const noble = noblePrimitives.aead.key(KEY);
  const node = native.aead.key(KEY);

  it("34 · agree on every text of 0 to 1500 bytes and open each other's", () => {
    for (let length = 0; length <= 1500; length++) {
      const adBytes = length % 40;
      const byNoble = concatBytes(pattern(adBytes + length, length), new Uint8Array(TAG_BYTES));
      const byNode = byNoble.slice();
      const text = byNoble.slice(adBytes, adBytes + length);
      noble.seal(byNoble, 0, adBytes, adBytes + length, length);
      node.seal(byNode, 0, adBytes, adBytes + length, length);
      if (toHex(byNoble) !== toHex(byNode)) expect.fail(`they differ at ${length} bytes`);
      const opened = noble.open(byNode, 0, adBytes, adBytes + length, length);
      const openedToo = node.open(byNoble, 0, adBytes, adBytes + length, length);
      const texts = [byNode, byNoble].map((bytes) => toHex(bytes.subarray(adBytes, adBytes + length)));
      if (!opened || !openedToo || texts.some((t) => t !== toHex(text)))
        expect.fail(`not opened at ${length} bytes`);
    }
  });

  it("34 · refuse the same wrong tags at every length", () => {
    for (let length = 0; length <= 1500; length += 7) {
      const sealed = concatBytes(pattern(17 + length, length), new Uint8Array(TAG_BYTES));
      node.seal(sealed, 0, 17, 17 + length, length);
      sealed[17 + length + (length % TAG_BYTES)]! ^= 0x80;
      expect(node.open(sealed.slice(), 0, 17, 17 + length, length)).toBe(false);
      expect(noble.open(sealed.slice(), 0, 17, 17 + length, length)).toBe(false);
    }
  });

  it("34 · refuse every tag that is short, of every length from none to fifteen bytes", () => {
    const sealed = concatBytes(pattern(17 + 40, 1), new Uint8Array(TAG_BYTES));
    node.seal(sealed, 0, 17, 57, 1);
    for (let tagBytes = 0; tagBytes < TAG_BYTES; tagBytes++) {
      const short = sealed.slice(0, 57 + tagBytes);
      expect(node.open(short.slice(), 0, 17, 57, 1), `${tagBytes} bytes`).toBe(false);
      expect(noble.open(short.slice(), 0, 17, 57, 1), `${tagBytes} bytes`).toBe(false);
    }
    expect(node.open(sealed.slice(), 0, 17, 57, 1)).toBe(true);
  });

  it("34 · agree on X25519 and scrypt, points of low order included", async () => {
    const scalar = pattern(32, 3);
    expect(native.x25519.publicKey(scalar)).toEqual(noblePrimitives.x25519.publicKey(scalar));
    for (let seed = 0; seed < 20; seed++) {
      const peer = pattern(32, seed);
      expect(native.x25519.sharedSecret(scalar, peer)).toEqual(
        noblePrimitives.x25519.sharedSecret(scalar, peer),
      );
    }
    for (const low of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31))]) {
      expect(native.x25519.sharedSecret(scalar, low)).toBeUndefined();
      expect(noblePrimitives.x25519.sharedSecret(scalar, low)).toBeUndefined();
    }
    const cost = { N: 1024, r: 8, p: 2, dkLen: 64 };
    const [password, salt] = [pattern(20, 1), pattern(16, 2)];
    expect(await native.scrypt(password, salt, cost)).toEqual(
      await noblePrimitives.scrypt(password, salt, cost),
    );
  });
});

/** X25519, HKDF-SHA256 and scrypt of both providers, against Wycheproof and the RFCs. */
import { hkdfSync } from "node:crypto";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { describe, expect, it } from "vitest";
import { fromHex, toHex, utf8Encode } from "../../../src/base/bytes.ts";
import { noblePrimitives } from "../../../src/crypto/noble.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import { wycheproofTests } from "./vectors.ts";

const PROVIDERS = [noblePrimitives, nodePrimitives];

const exchanges = wycheproofTests<{ public: string; private: string; shared: string }>(
  "wycheproof-x25519.json",
);

describe.skipIf(exchanges.length === 0)("X25519 with Wycheproof's 518 vectors", () => {
  it.each(PROVIDERS)("$name computes each shared secret, and none where it is all zero", ({ x25519 }) => {
    let zero = 0;
    for (const test of exchanges) {
      const shared = x25519.sharedSecret(fromHex(test.private), fromHex(test.public));
      const isZero = /^0+$/.test(test.shared);
      if (isZero) zero++;
      expect(shared && toHex(shared), `test ${test.tcId}`).toBe(isZero ? undefined : test.shared);
    }
    expect(exchanges.length).toBe(518);
    expect(zero).toBeGreaterThan(10);
  });
});

describe.each(PROVIDERS)("X25519 of $name", ({ x25519 }) => {
  // RFC 7748 §6.1
  const alice = fromHex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const bob = fromHex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");

  it("derives the public keys and the shared secret of RFC 7748", () => {
    const [alicePublic, bobPublic] = [x25519.publicKey(alice), x25519.publicKey(bob)];
    expect(toHex(alicePublic)).toBe("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    expect(toHex(bobPublic)).toBe("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    expect(toHex(x25519.sharedSecret(alice, bobPublic)!)).toBe(shared);
    expect(toHex(x25519.sharedSecret(bob, alicePublic)!)).toBe(shared);
  });

  it("leaves its arguments as they were and returns plain arrays of their own", () => {
    const [secret, peer] = [alice.slice(), x25519.publicKey(bob)];
    const peerBefore = toHex(peer);
    const shared = x25519.sharedSecret(secret, peer)!;
    expect(toHex(secret)).toBe(toHex(alice));
    expect(toHex(peer)).toBe(peerBefore);
    for (const result of [shared, x25519.publicKey(alice)]) {
      expect(Object.getPrototypeOf(result)).toBe(Uint8Array.prototype);
      expect(result.buffer.byteLength).toBe(32);
    }
  });

  it("takes keys of 32 bytes only", () => {
    const internal = expect.objectContaining({ code: "ERR_INTERNAL" });
    for (const length of [0, 31, 33]) {
      const wrong = new Uint8Array(length).fill(9);
      expect(() => x25519.publicKey(wrong)).toThrowError(internal);
      expect(() => x25519.sharedSecret(wrong, bob)).toThrowError(internal);
      expect(() => x25519.sharedSecret(alice, wrong)).toThrowError(internal);
    }
  });
});

const derivations = wycheproofTests<{ ikm: string; salt: string; info: string; size: number; okm: string }>(
  "wycheproof-hkdf_sha256.json",
);
const HKDF_SOURCES = [
  {
    name: "noble",
    derive: (ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, size: number) =>
      hkdf(sha256, ikm, salt, info, size),
  },
  {
    name: "node",
    derive: (ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, size: number) =>
      new Uint8Array(hkdfSync("sha256", ikm, salt, info, size)),
  },
];

describe.skipIf(derivations.length === 0)("HKDF-SHA256 with Wycheproof's 86 vectors", () => {
  it.each(HKDF_SOURCES)("$name derives the valid ones and refuses to derive too much", ({ derive }) => {
    let refused = 0;
    for (const test of derivations) {
      const [ikm, salt, info] = [fromHex(test.ikm), fromHex(test.salt), fromHex(test.info)];
      if (test.result === "valid") {
        expect(toHex(derive(ikm, salt, info, test.size)), `test ${test.tcId}`).toBe(test.okm);
      } else {
        refused++;
        expect(() => derive(ikm, salt, info, test.size), `test ${test.tcId}`).toThrow();
      }
    }
    expect(derivations.length).toBe(86);
    expect(refused).toBeGreaterThan(0);
  });
});

describe.each(PROVIDERS)("scrypt of $name", ({ scrypt }) => {
  it("derives the first two keys of RFC 7914 §12", async () => {
    const [empty, password, salt] = [new Uint8Array(0), utf8Encode("password"), utf8Encode("NaCl")];
    expect(toHex(await scrypt(empty, empty, { N: 16, r: 1, p: 1, dkLen: 64 }))).toBe(
      "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442" +
        "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906",
    );
    expect(toHex(await scrypt(password, salt, { N: 1024, r: 8, p: 16, dkLen: 64 }))).toBe(
      "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162" +
        "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
    );
  });
});

describe("scrypt of node", () => {
  it("has the memory for the cost of a meeting place, 64 MiB", async () => {
    const key = await nodePrimitives.scrypt(utf8Encode("code"), utf8Encode("salt"), {
      N: 2 ** 16,
      r: 8,
      p: 2,
      dkLen: 32,
    });
    expect(key.length).toBe(32);
  });
});

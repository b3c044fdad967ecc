/** ChaCha20-Poly1305 and XChaCha20-Poly1305 against Project Wycheproof. */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { describe, expect, it } from "vitest";
import { concatBytes, fromHex, toHex } from "../../../src/base/bytes.ts";
import { wycheproofTests } from "./vectors.ts";

interface Fields {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

/** Sealed bytes and opened bytes; a refusal is a throw. */
interface RawAead {
  seal(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, text: Uint8Array): Uint8Array;
  open(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, sealed: Uint8Array): Uint8Array;
}

const nobleChaCha: RawAead = {
  seal: (key, nonce, ad, text) => chacha20poly1305(key, nonce, ad).encrypt(text),
  open: (key, nonce, ad, sealed) => chacha20poly1305(key, nonce, ad).decrypt(sealed),
};

const nobleXChaCha: RawAead = {
  seal: (key, nonce, ad, text) => xchacha20poly1305(key, nonce, ad).encrypt(text),
  open: (key, nonce, ad, sealed) => xchacha20poly1305(key, nonce, ad).decrypt(sealed),
};

const nodeChaCha: RawAead = {
  seal(key, nonce, ad, text) {
    const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    cipher.setAAD(ad, { plaintextLength: text.length });
    return concatBytes(cipher.update(text), cipher.final(), cipher.getAuthTag());
  },
  open(key, nonce, ad, sealed) {
    const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    decipher.setAAD(ad, { plaintextLength: sealed.length - 16 });
    decipher.setAuthTag(sealed.subarray(-16));
    const text = decipher.update(sealed.subarray(0, -16));
    decipher.final();
    return Uint8Array.from(text);
  },
};

function check(aead: RawAead, test: Fields & { result: string }): void {
  const [key, nonce, ad, text] = [fromHex(test.key), fromHex(test.iv), fromHex(test.aad), fromHex(test.msg)];
  const sealed = fromHex(test.ct + test.tag);
  if (test.result === "valid") {
    expect(toHex(aead.seal(key, nonce, ad, text))).toBe(toHex(sealed));
    expect(toHex(aead.open(key, nonce, ad, sealed))).toBe(test.msg);
  } else {
    expect(() => aead.open(key, nonce, ad, sealed)).toThrow();
  }
}

const chacha = wycheproofTests<Fields, { ivSize: number }>("wycheproof-chacha20_poly1305.json");
const xchacha = wycheproofTests<Fields, { ivSize: number }>("wycheproof-xchacha20_poly1305.json");

describe.skipIf(chacha.length === 0)("ChaCha20-Poly1305 with Wycheproof's 325 vectors", () => {
  it("noble seals and opens the valid ones and refuses the others, wrong nonce sizes included", () => {
    for (const test of chacha) check(nobleChaCha, test);
    expect(chacha.length).toBe(325);
  });

  it("node:crypto seals and opens the valid ones of 96-bit nonces and refuses the others", () => {
    // OpenSSL pads shorter nonces; no key of this project can be given one.
    const tests = chacha.filter((test) => test.ivSize === 96);
    for (const test of tests) check(nodeChaCha, test);
    expect(tests.length).toBeGreaterThan(300);
  });
});

describe.skipIf(xchacha.length === 0)("XChaCha20-Poly1305 with Wycheproof's 315 vectors", () => {
  it("noble seals and opens the valid ones and refuses the others", () => {
    for (const test of xchacha) check(nobleXChaCha, test);
    expect(xchacha.length).toBe(315);
  });
});

/**
 * The primitives in portable JavaScript: the default if no faster provider is available, and the
 * oracle against which the tests check other providers.
 *
 * A packet costs about three times as much as with `node:crypto`, a key exchange far more, and
 * loading takes some 30 ms. A command that runs under Node therefore never imports this file.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { SrudpError } from "../base/errors.ts";
import { NONCE_BYTES, sealedFits, writeNonce } from "./nonce.ts";
import { AEAD_KEY_BYTES, AEAD_TAG_BYTES, type AeadKey, type Primitives, X25519_BYTES } from "./primitives.ts";

class NobleAeadKey implements AeadKey {
  readonly #key: Uint8Array;
  readonly #nonce: Uint8Array = new Uint8Array(NONCE_BYTES);

  constructor(key: Uint8Array) {
    // noble borrows the key at every call, so the caller could modify the array.
    this.#key = Uint8Array.from(key);
  }

  seal(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number, packetNumber: number): void {
    if (!sealedFits(bytes, adStart, textStart, textEnd)) {
      throw new SrudpError("ERR_INTERNAL", "no room for the text and its tag");
    }
    writeNonce(this.#nonce, packetNumber);
    const cipher = chacha20poly1305(this.#key, this.#nonce, bytes.subarray(adStart, textStart));
    cipher.encrypt(bytes.subarray(textStart, textEnd), bytes.subarray(textStart, textEnd + AEAD_TAG_BYTES));
  }

  open(
    bytes: Uint8Array,
    adStart: number,
    textStart: number,
    textEnd: number,
    packetNumber: number,
  ): boolean {
    if (!sealedFits(bytes, adStart, textStart, textEnd)) return false;
    writeNonce(this.#nonce, packetNumber);
    const cipher = chacha20poly1305(this.#key, this.#nonce, bytes.subarray(adStart, textStart));
    const sealed = bytes.subarray(textStart, textEnd + AEAD_TAG_BYTES);
    try {
      cipher.decrypt(sealed, bytes.subarray(textStart, textEnd));
      return true;
    } catch {
      // The arguments were checked above, so only the tag can fail here.
      return false;
    }
  }
}

/** ChaCha20-Poly1305, X25519 and scrypt from the noble packages. */
export const noblePrimitives: Primitives = {
  name: "noble",
  aead: {
    name: "noble",
    key(bytes: Uint8Array): AeadKey {
      if (bytes.length !== AEAD_KEY_BYTES) throw new SrudpError("ERR_INTERNAL", "an AEAD key has 32 bytes");
      return new NobleAeadKey(bytes);
    },
  },
  x25519: {
    publicKey(secretKey: Uint8Array): Uint8Array {
      if (secretKey.length !== X25519_BYTES)
        throw new SrudpError("ERR_INTERNAL", "an X25519 key has 32 bytes");
      return x25519.getPublicKey(secretKey);
    },
    sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
      if (secretKey.length !== X25519_BYTES || publicKey.length !== X25519_BYTES) {
        throw new SrudpError("ERR_INTERNAL", "an X25519 key has 32 bytes");
      }
      try {
        return x25519.getSharedSecret(secretKey, publicKey);
      } catch {
        // Both lengths are correct, so noble refuses only low-order points.  // RFC 7748 §6.1
        return undefined;
      }
    },
  },
  scrypt: (password, salt, options) => scryptAsync(password, salt, { ...options }),
};

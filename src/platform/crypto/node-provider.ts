/**
 * The primitives implemented with `node:crypto`, that is, OpenSSL. This is the default under Node.
 *
 * OpenSSL needs a new cipher object for each packet. Everything else is reused: one KeyObject per
 * key, one nonce array, one options object.
 */
import {
  type CipherChaCha20Poly1305Types,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type KeyObject,
  scrypt,
} from "node:crypto";
import { SrudpError } from "../../base/errors.ts";
import { NONCE_BYTES, sealedFits, writeNonce } from "../../crypto/nonce.ts";
import {
  AEAD_KEY_BYTES,
  AEAD_TAG_BYTES,
  type AeadKey,
  type Primitives,
  type ScryptOptions,
  X25519_BYTES,
} from "../../crypto/primitives.ts";

const CIPHER: CipherChaCha20Poly1305Types = "chacha20-poly1305";
// Without a tag length, Node 20 accepts a tag of any length.
const CIPHER_OPTIONS = { authTagLength: AEAD_TAG_BYTES };
// The types require a plaintext length here, but only CCM uses it.
const NO_AAD_OPTIONS = undefined as never;

class NodeAeadKey implements AeadKey {
  readonly #key: KeyObject;
  readonly #nonce: Uint8Array = new Uint8Array(NONCE_BYTES);

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  seal(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number, packetNumber: number): void {
    if (!sealedFits(bytes, adStart, textStart, textEnd)) {
      throw new SrudpError("ERR_INTERNAL", "no room for the text and its tag");
    }
    writeNonce(this.#nonce, packetNumber);
    const cipher = createCipheriv(CIPHER, this.#key, this.#nonce, CIPHER_OPTIONS);
    cipher.setAAD(bytes.subarray(adStart, textStart), NO_AAD_OPTIONS);
    const sealed = cipher.update(bytes.subarray(textStart, textEnd));
    cipher.final();
    bytes.set(sealed, textStart);
    bytes.set(cipher.getAuthTag(), textEnd);
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
    const decipher = createDecipheriv(CIPHER, this.#key, this.#nonce, CIPHER_OPTIONS);
    decipher.setAuthTag(bytes.subarray(textEnd, textEnd + AEAD_TAG_BYTES));
    decipher.setAAD(bytes.subarray(adStart, textStart), NO_AAD_OPTIONS);
    const text = decipher.update(bytes.subarray(textStart, textEnd));
    try {
      decipher.final();
    } catch {
      // final() only fails if the tag is wrong. The plaintext from update() is then discarded.
      return false;
    }
    bytes.set(text, textStart);
    return true;
  }
}

/** u = 9, the base point, whose multiples are the public keys. RFC 7748 §4.1 */
const BASE_POINT = Uint8Array.of(9, ...new Uint8Array(X25519_BYTES - 1));
/** A DER secret key consists of this header and the 32 raw bytes. RFC 8410 §7 */
const PKCS8_HEAD = Uint8Array.of(
  ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06],
  ...[0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20],
);

function checkLength(raw: Uint8Array): void {
  if (raw.length !== X25519_BYTES) throw new SrudpError("ERR_INTERNAL", "an X25519 key has 32 bytes");
}

function base64url(raw: Uint8Array): string {
  return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString("base64url");
}

function publicKeyObject(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: "OKP", crv: "X25519", x: base64url(raw) }, format: "jwk" });
}

/**
 * Builds the KeyObject from a JWK, because OpenSSL takes ten times as long for DER, and an attacker
 * that floods a listener causes this cost for each first message. A JWK must also contain the
 * public key, which is not known yet. Node only checks that x is present. A version that compared
 * it would throw, and the DER form is used then.
 */
function secretKeyObject(raw: Uint8Array): KeyObject {
  const jwk = { kty: "OKP", crv: "X25519", x: base64url(BASE_POINT), d: base64url(raw) };
  try {
    return createPrivateKey({ key: jwk, format: "jwk" });
  } catch {
    return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, raw]), format: "der", type: "pkcs8" });
  }
}

function sharedSecret(secretKey: Uint8Array, peerKey: Uint8Array): Uint8Array | undefined {
  checkLength(secretKey);
  checkLength(peerKey);
  const keys = { privateKey: secretKeyObject(secretKey), publicKey: publicKeyObject(peerKey) };
  try {
    return Uint8Array.from(diffieHellman(keys));
  } catch {
    // Both keys have been parsed, so the only remaining failure is an all-zero result. // RFC 7748
    // §6.1
    return undefined;
  }
}

/** Multiplies the base point, which needs only the secret part of the key object. RFC 7748 §6.1 */
function publicKey(secretKey: Uint8Array): Uint8Array {
  // The base point has prime order and a clamped scalar is not a multiple of that order, so the
  // result is never zero.
  return sharedSecret(secretKey, BASE_POINT)!;
}

/**
 * Runs scrypt in Node's thread pool. OpenSSL's memory limit must include the p blocks, the N blocks
 * and two working blocks.
 */
function scryptInPool(password: Uint8Array, salt: Uint8Array, options: ScryptOptions): Promise<Uint8Array> {
  const { N, r, p, dkLen } = options;
  const maxmem = 128 * r * (N + p + 4);
  return new Promise((resolve, reject) => {
    scrypt(password, salt, dkLen, { N, r, p, maxmem }, (error, key) => {
      if (error) reject(error);
      else resolve(Uint8Array.from(key));
    });
  });
}

/** ChaCha20-Poly1305, X25519 and scrypt with `node:crypto`. */
export const nodePrimitives: Primitives = {
  name: "node",
  aead: {
    name: "node",
    key(bytes: Uint8Array): AeadKey {
      if (bytes.length !== AEAD_KEY_BYTES) throw new SrudpError("ERR_INTERNAL", "an AEAD key has 32 bytes");
      return new NodeAeadKey(bytes);
    },
  },
  x25519: { publicKey, sharedSecret },
  scrypt: scryptInPool,
};

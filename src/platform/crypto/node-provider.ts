/**
 * The primitives by `node:crypto`, that is OpenSSL: what a link runs on under Node.
 *
 * OpenSSL wants a fresh cipher object for each packet; what can be kept is kept: one KeyObject per key, one
 * nonce array, one options object.
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
// Without a tag length Node 20 takes the tag's length from whatever it is given.
const CIPHER_OPTIONS = { authTagLength: AEAD_TAG_BYTES };
// The types ask for a plaintext length here; only CCM has a use for it.
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
      // final() fails for one reason, the tag; the text that update() gave away is dropped unseen.
      return false;
    }
    bytes.set(text, textStart);
    return true;
  }
}

/** u = 9, whose multiples are the public keys. RFC 7748 §4.1 */
const BASE_POINT = Uint8Array.of(9, ...new Uint8Array(X25519_BYTES - 1));
/** A secret key in DER is this head and the 32 raw bytes. RFC 8410 §7 */
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
 * As JWK, because OpenSSL takes ten times as long for DER, and whoever floods a listener makes it pay that
 * for each first message. A JWK must name the public key too, which is not known yet: Node only looks whether
 * x is there. One that compared it would throw, and DER says the same without it.
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
    // Both keys are parsed by now: what OpenSSL still refuses is an all-zero result. // RFC 7748 §6.1
    return undefined;
  }
}

/** By multiplication of the base point, which asks the key object for nothing but its secret. RFC 7748 §6.1 */
function publicKey(secretKey: Uint8Array): Uint8Array {
  // The base point is of prime order and a clamped scalar no multiple of it: the result is never zero.
  return sharedSecret(secretKey, BASE_POINT)!;
}

/** scrypt in Node's thread pool. OpenSSL counts the p blocks, the N blocks and two of work as memory. */
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

/** ChaCha20-Poly1305, X25519 and scrypt by `node:crypto`. */
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

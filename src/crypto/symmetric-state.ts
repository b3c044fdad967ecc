/**
 * Noise's SymmetricState and CipherState: the running hash, the chaining key and the handshake
 * cipher.
 *
 * Arrays held here are replaced and never modified, so a fork copies three references and a number.
 * A message is read on a fork, which is dropped if the message fails authentication, so such a
 * message has no effect.
 * Read first: Noise rev 34 §5.1, §5.2.
 */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes } from "../base/bytes.ts";
import { AEAD_KEY_BYTES, AEAD_TAG_BYTES, type AeadKey, type AeadProvider } from "./primitives.ts";

/** Output length of SHA-256, hence of the chaining key and the handshake hash. */
export const HASH_BYTES = 32;

const EMPTY: Uint8Array = new Uint8Array(0);

/** The symmetric half of one handshake in progress. */
export class SymmetricState {
  readonly #aead: AeadProvider;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #key: AeadKey | undefined;
  #nonce = 0;

  /**
   * @param protocolName ASCII bytes of the full Noise protocol name
   * // Noise rev 34 §5.2, InitializeSymmetric
   */
  constructor(aead: AeadProvider, protocolName: Uint8Array) {
    this.#aead = aead;
    if (protocolName.length <= HASH_BYTES) {
      this.#hash = new Uint8Array(HASH_BYTES);
      this.#hash.set(protocolName);
    } else {
      this.#hash = sha256(protocolName);
    }
    this.#chainingKey = this.#hash;
  }

  /** A copy of the state that evolves independently. */
  fork(): SymmetricState {
    const fork = new SymmetricState(this.#aead, EMPTY);
    fork.#chainingKey = this.#chainingKey;
    fork.#hash = this.#hash;
    fork.#key = this.#key;
    fork.#nonce = this.#nonce;
    return fork;
  }

  /** The hash over everything mixed in so far, 32 bytes. */
  get hash(): Uint8Array {
    return this.#hash;
  }

  /** Bytes that sealing adds now: the tag length once there is a key, 0 before. */
  get overheadBytes(): number {
    return this.#key === undefined ? 0 : AEAD_TAG_BYTES;
  }

  mixHash(bytes: Uint8Array): void {
    this.#hash = sha256(concatBytes(this.#hash, bytes));
  }

  mixKey(input: Uint8Array): void {
    const output = this.#derive(input, 2);
    this.#chainingKey = output.subarray(0, HASH_BYTES);
    this.#setKey(output.subarray(HASH_BYTES));
  }

  mixKeyAndHash(input: Uint8Array): void {
    const output = this.#derive(input, 3);
    this.#chainingKey = output.subarray(0, HASH_BYTES);
    this.mixHash(output.subarray(HASH_BYTES, 2 * HASH_BYTES));
    this.#setKey(output.subarray(2 * HASH_BYTES));
  }

  /** EncryptAndHash: a new array, longer than `text` by `overheadBytes`. */
  seal(text: Uint8Array): Uint8Array {
    let sealed = Uint8Array.from(text);
    if (this.#key !== undefined) {
      // The hash is the associated data and must directly precede the text.
      const end = HASH_BYTES + text.length;
      const work = concatBytes(this.#hash, text, new Uint8Array(AEAD_TAG_BYTES));
      this.#key.seal(work, 0, HASH_BYTES, end, this.#nonce++);
      sealed = work.slice(HASH_BYTES);
    }
    this.mixHash(sealed);
    return sealed;
  }

  /**
   * DecryptAndHash: a new array; undefined if the tag is wrong. The state must not be used after a
   * failure.
   */
  open(sealed: Uint8Array): Uint8Array | undefined {
    let text = Uint8Array.from(sealed);
    if (this.#key !== undefined) {
      const end = HASH_BYTES + sealed.length - AEAD_TAG_BYTES;
      const work = concatBytes(this.#hash, sealed);
      if (!this.#key.open(work, 0, HASH_BYTES, end, this.#nonce++)) return undefined;
      text = work.slice(HASH_BYTES, end);
    }
    this.mixHash(sealed);
    return text;
  }

  /** The two transport keys: the one with which the initiator seals, and the responder's. */
  split(): { initiatorKey: Uint8Array; responderKey: Uint8Array } {
    const output = this.#derive(EMPTY, 2);
    return { initiatorKey: output.slice(0, AEAD_KEY_BYTES), responderKey: output.slice(AEAD_KEY_BYTES) };
  }

  /**
   * A key for `label`, 32 bytes, independent of the transport keys. Those are expanded from
   * HMAC(chaining key, empty), this one from HMAC(chaining key, handshake hash).
   */
  exporter(label: Uint8Array): Uint8Array {
    return hkdf(sha256, this.#hash, this.#chainingKey, label, HASH_BYTES);
  }

  /**
   * Noise's HKDF is RFC 5869 with the chaining key as salt and an empty context.
   * // Noise rev 34 §4.3
   */
  #derive(input: Uint8Array, outputs: 2 | 3): Uint8Array {
    return hkdf(sha256, input, this.#chainingKey, EMPTY, outputs * HASH_BYTES);
  }

  #setKey(bytes: Uint8Array): void {
    this.#key = this.#aead.key(bytes);
    this.#nonce = 0;
  }
}

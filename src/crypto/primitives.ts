/**
 * The cryptographic primitives that are injected into the rest of the project, which never selects
 * an implementation itself.
 *
 * Interfaces only. `noble.ts` is the portable implementation and the oracle of the tests. The
 * implementation for Node is in the platform layer, because this layer imports no `node:` module.
 */

/** Length of an AEAD key. RFC 8439 §2.8 */
export const AEAD_KEY_BYTES = 32;
/** Length of the authentication tag that follows each sealed text. RFC 8439 §2.8 */
export const AEAD_TAG_BYTES = 16;
/** Length of an X25519 secret key, public key or shared secret. RFC 7748 §5 */
export const X25519_BYTES = 32;

/**
 * One ChaCha20-Poly1305 key with its expanded state.
 *
 * The nonce is 4 zero bytes ‖ LE64(packetNumber), as in Noise. The caller must use each packet
 * number (0 to 2^53-1) at most once per key.
 */
export interface AeadKey {
  /**
   * Seals `bytes[textStart, textEnd)` in place and writes the 16-byte tag at `textEnd`. The caller
   * provides the room for the tag. The associated data is `bytes[adStart, textStart)`.
   */
  seal(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number, packetNumber: number): void;
  /**
   * Opens `bytes[textStart, textEnd)` in place, with the tag at `[textEnd, textEnd + 16)` and
   * associated data `bytes[adStart, textStart)`. Returns false if the tag does not verify or does
   * not fit into `bytes`; the text is then unspecified and must not be used.
   */
  open(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number, packetNumber: number): boolean;
}

/** A source of AEAD keys. */
export interface AeadProvider {
  readonly name: string;
  /** @param bytes 32 bytes, copied; throws ERR_INTERNAL for any other length */
  key(bytes: Uint8Array): AeadKey;
}

/** An X25519 key pair, 32 bytes each. RFC 7748 §5 */
export interface KeyPair {
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** Diffie-Hellman over Curve25519. RFC 7748 §6.1 */
export interface X25519 {
  /** The public key (a new array of 32 bytes) of any 32-byte secret key. */
  publicKey(secretKey: Uint8Array): Uint8Array;
  /**
   * The shared secret (a new array of 32 bytes). Undefined if it would be all zero: the peer's
   * value is then a point of low order, and the caller must abort the exchange. RFC 7748 §6.1
   */
  sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
}

/** Cost and output length of scrypt; memory is 128 · N · r bytes. RFC 7914 §6 */
export interface ScryptOptions {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  /** Length of the output in bytes. */
  readonly dkLen: number;
}

/** Everything that is injected: the AEAD, the key exchange and the password hash. */
export interface Primitives {
  readonly name: string;
  readonly aead: AeadProvider;
  readonly x25519: X25519;
  scrypt(password: Uint8Array, salt: Uint8Array, options: ScryptOptions): Promise<Uint8Array>;
}

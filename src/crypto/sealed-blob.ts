/**
 * Seals the blobs that a signalling channel stores: XChaCha20-Poly1305 under a key derived for the
 * rendezvous point. The nonce is random, because both peers use the same key and share no counter.
 * // draft-irtf-cfrg-xchacha-03
 */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { concatBytes } from "../base/bytes.ts";

const NONCE_BYTES = 24;
const TAG_BYTES = 16;
/** Bytes that sealing adds. */
export const BLOB_OVERHEAD_BYTES: number = NONCE_BYTES + TAG_BYTES;

/**
 * nonce ‖ sealed text ‖ tag.
 * @param nonce 24 random bytes
 * @param context authenticated but not sent; separates different uses of the key
 */
export function sealBlob(
  key: Uint8Array,
  nonce: Uint8Array,
  context: Uint8Array,
  text: Uint8Array,
): Uint8Array {
  return concatBytes(nonce, xchacha20poly1305(key, nonce, context).encrypt(text));
}

/** The text; undefined if the bytes were not sealed under this key and context. */
export function openBlob(key: Uint8Array, context: Uint8Array, blob: Uint8Array): Uint8Array | undefined {
  if (blob.length < BLOB_OVERHEAD_BYTES) return undefined;
  try {
    return xchacha20poly1305(key, blob.subarray(0, NONCE_BYTES), context).decrypt(blob.subarray(NONCE_BYTES));
  } catch {
    // The lengths were checked above, so only the tag can fail here.
    return undefined;
  }
}

/**
 * What is left with a carrier: XChaCha20-Poly1305 under a key that comes out of the meeting place's derivation, with
 * a random nonce, since two sides use one key and nobody keeps a counter.  // draft-irtf-cfrg-xchacha-03
 */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { concatBytes } from "../base/bytes.ts";

const NONCE_BYTES = 24;
const TAG_BYTES = 16;
/** Bytes that sealing adds. */
export const BLOB_OVERHEAD_BYTES: number = NONCE_BYTES + TAG_BYTES;

/** nonce ‖ sealed text ‖ tag. @param nonce 24 random bytes @param context told apart by it, not sent */
export function sealBlob(
  key: Uint8Array,
  nonce: Uint8Array,
  context: Uint8Array,
  text: Uint8Array,
): Uint8Array {
  return concatBytes(nonce, xchacha20poly1305(key, nonce, context).encrypt(text));
}

/** The text; undefined when the bytes were not sealed under this key and context. */
export function openBlob(key: Uint8Array, context: Uint8Array, blob: Uint8Array): Uint8Array | undefined {
  if (blob.length < BLOB_OVERHEAD_BYTES) return undefined;
  try {
    return xchacha20poly1305(key, blob.subarray(0, NONCE_BYTES), context).decrypt(blob.subarray(NONCE_BYTES));
  } catch {
    // The lengths are right by now, so what is left to fail is the tag.
    return undefined;
  }
}

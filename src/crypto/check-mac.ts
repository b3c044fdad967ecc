/**
 * The MAC of connectivity checks: keyed BLAKE2s, one pass, truncated to 16 bytes.  // RFC 7693 §2.9
 */
import { blake2s } from "@noble/hashes/blake2.js";

const MAC_BYTES = 16;

/** @param key 32 bytes, borrowed for the lifetime of the returned function */
export function checkMac(key: Uint8Array): (covered: Uint8Array) => Uint8Array {
  return (covered) => blake2s(covered, { key, dkLen: MAC_BYTES });
}

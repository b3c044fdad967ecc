/** Derives the key that Noise takes from the key that a PAKE run yields. */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8Encode } from "../base/bytes.ts";
import { LABELS } from "./labels.ts";
import { AEAD_KEY_BYTES } from "./primitives.ts";

const LABEL: Uint8Array = utf8Encode(LABELS.pakePsk);

/**
 * Noise's psk (32 bytes) from CPace's intermediate key: HKDF-SHA256 without salt.  // RFC 5869 §3.1
 */
export function pskOfPake(intermediateKey: Uint8Array): Uint8Array {
  return hkdf(sha256, intermediateKey, undefined, LABEL, AEAD_KEY_BYTES);
}

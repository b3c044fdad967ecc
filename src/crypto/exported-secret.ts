/**
 * Derives secrets for uses outside the link, such as a rendezvous point, from a secret that both
 * peers share.
 */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8Encode } from "../base/bytes.ts";
import { LABELS, labelOf } from "./labels.ts";

/**
 * `byteLength` bytes for the use named by `label`, independent of the bytes for other labels:
 * HKDF-SHA256 without salt.  // RFC 5869 §3.1
 *
 * @param byteLength at most 8160
 */
export function exportedSecret(exporterSecret: Uint8Array, label: string, byteLength: number): Uint8Array {
  return hkdf(sha256, exporterSecret, undefined, utf8Encode(labelOf(LABELS.exported, label)), byteLength);
}

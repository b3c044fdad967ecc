/**
 * The integrity field of packets sent before any keys exist: a checksum in the form of a MAC.
 *
 * Its key is public. A key derived from the code would let anyone who captures one packet test
 * codes offline. A public key authenticates nothing; the field only distinguishes a packet
 * corrupted in transit from a wrong guess.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8Encode } from "../base/bytes.ts";
import { LABELS } from "./labels.ts";

/** Bytes of HMAC-SHA256 that are kept.  // RFC 2104 §5 */
const KEPT_BYTES = 16;
const LABEL: Uint8Array = utf8Encode(LABELS.integrity);

/** 16 bytes over `covered`, under the label and a public connection ID (8 bytes). */
export function packetIntegrity(connectionId: Uint8Array, covered: Uint8Array): Uint8Array {
  return hmac(sha256, concatBytes(LABEL, connectionId), covered).subarray(0, KEPT_BYTES);
}

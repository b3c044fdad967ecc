/**
 * The only nonce layout of the project, shared by every AEAD provider so that providers cannot
 * differ in it.
 *
 * Packet numbers reach 2^48 and Noise counters are 64 bits wide, so the number is split by
 * arithmetic. A signed 32-bit operator on the whole number would map numbers 2^31 apart to the same
 * nonce.
 */
import { SrudpError } from "../base/errors.ts";
import { AEAD_TAG_BYTES } from "./primitives.ts";

/** Length of a ChaCha20-Poly1305 nonce. RFC 8439 §2.8 */
export const NONCE_BYTES = 12;

/**
 * Writes 4 zero bytes ‖ LE64(packetNumber) over the 12 bytes of `nonce`.  // Noise rev 34 §12
 *
 * Throws ERR_INTERNAL unless `packetNumber` is an integer from 0 to 2^53-1. Beyond that, two
 * numbers could share one nonce.
 */
export function writeNonce(nonce: Uint8Array, packetNumber: number): void {
  if (!Number.isSafeInteger(packetNumber) || packetNumber < 0) {
    throw new SrudpError("ERR_INTERNAL", `${packetNumber} is no packet number`);
  }
  const low = packetNumber >>> 0;
  const high = Math.floor(packetNumber / 0x1_0000_0000);
  // Not fill(): for four bytes it costs more than the rest of this function.
  nonce[0] = 0;
  nonce[1] = 0;
  nonce[2] = 0;
  nonce[3] = 0;
  nonce[4] = low;
  nonce[5] = low >>> 8;
  nonce[6] = low >>> 16;
  nonce[7] = low >>> 24;
  nonce[8] = high;
  nonce[9] = high >>> 8;
  nonce[10] = high >>> 16;
  nonce[11] = high >>> 24;
}

/**
 * Whether associated data, text and tag lie in this order inside `bytes`. Callers of `seal` must
 * ensure this.
 */
export function sealedFits(bytes: Uint8Array, adStart: number, textStart: number, textEnd: number): boolean {
  return (
    adStart >= 0 && adStart <= textStart && textStart <= textEnd && textEnd + AEAD_TAG_BYTES <= bytes.length
  );
}

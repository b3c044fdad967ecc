/**
 * Variable-length integers. The two high bits of the first byte give the length (1, 2, 4 or 8
 * bytes); the rest is the value in network byte order.  // RFC 9000 §16
 *
 * Values are plain numbers up to 2^53 − 1. A BigInt costs six times as much per packet, and no
 * stream reaches that length.
 */
import { SrudpError } from "./errors.ts";

/** Largest value that this project writes or accepts. */
export const VARINT_MAX: number = Number.MAX_SAFE_INTEGER;

const TWO_30 = 0x40000000;
const TWO_32 = 0x100000000;

/** Length of the encoding of `value` (1, 2, 4 or 8 bytes). */
export function varintBytes(value: number): number {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < TWO_30 ? 4 : 8;
}

/**
 * Writes `value` at `at` in the shortest encoding and returns the index after it. The caller
 * provides room for 8 bytes. Throws ERR_INTERNAL unless `value` is an integer in 0 … 2^53 − 1.
 */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  if (value < 0x40 && value >= 0) {
    bytes[at] = value;
    return at + 1;
  }
  if (value < 0x4000 && value >= 0) {
    bytes[at] = 0x40 | (value >>> 8);
    bytes[at + 1] = value;
    return at + 2;
  }
  if (value < TWO_30 && value >= 0) {
    bytes[at] = 0x80 | (value >>> 24);
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    return at + 4;
  }
  if (!Number.isSafeInteger(value) || value < 0) throw new SrudpError("ERR_INTERNAL", `varint of ${value}`);
  const high = Math.floor(value / TWO_32);
  const low = value >>> 0;
  bytes[at] = 0xc0 | (high >>> 24);
  bytes[at + 1] = high >>> 16;
  bytes[at + 2] = high >>> 8;
  bytes[at + 3] = high;
  bytes[at + 4] = low >>> 24;
  bytes[at + 5] = low >>> 16;
  bytes[at + 6] = low >>> 8;
  bytes[at + 7] = low;
  return at + 8;
}

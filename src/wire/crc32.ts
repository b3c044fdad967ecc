/**
 * CRC-32 as in Ethernet and zip. STUN uses it to distinguish its messages from other protocols.
 * // ITU-T V.42 §8.1.1.6.2
 */

const POLYNOMIAL = 0xedb88320;
/** One entry per nibble: 16 entries instead of 256, because the messages are short. */
const TABLE: Uint32Array = Uint32Array.from({ length: 16 }, (_, nibble) => {
  let crc = nibble;
  for (let bit = 0; bit < 4; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC-32 of bytes[start, end), as an unsigned 32-bit number. */
export function crc32(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  let crc = 0xffffffff;
  for (let i = start; i < end; i++) {
    crc ^= bytes[i]!;
    crc = (crc >>> 4) ^ TABLE[crc & 15]!;
    crc = (crc >>> 4) ^ TABLE[crc & 15]!;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

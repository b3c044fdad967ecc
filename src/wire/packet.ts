/**
 * The header of a data packet. It stands in clear and is the associated data of the packet's AEAD.
 *
 *     0        1                 9                15          17
 *     +--------+-----------------+----------------+-----------+------------------------+----------+
 *     |11000ee0| destination     | packet number  | length    | sealed frames          | tag      |
 *     |        | connection ID   | 48 bits        |           |                        |          |
 *     +--------+-----------------+----------------+-----------+------------------------+----------+
 *
 * `ee` is the key epoch modulo 4; `length` counts the sealed frames and the tag, so that packets delimit
 * themselves and one received buffer may hold several (UDP GRO). All numbers are in network byte order.
 */
import { writeU16, writeU48 } from "../base/bytes.ts";

/** High nibble of the first byte, by what the packet is. */
export const PACKET_DATA = 0xc0;
export const PACKET_HANDSHAKE = 0xd0;
export const PACKET_NOTICE = 0xe0;
/** First byte of a cookie, which travels as notices do. */
export const PACKET_COOKIE = 0xe1;

export const CONNECTION_ID_BYTES = 8;
export const HEADER_BYTES = 17;
export const TAG_BYTES = 16;
/** What a packet costs beside its frames. */
export const PACKET_OVERHEAD_BYTES: number = HEADER_BYTES + TAG_BYTES;
/** Packet numbers are 48 bits wide and never restart. */
export const PACKET_NUMBER_LIMIT: number = 2 ** 48;

const PACKET_NUMBER_AT = 9;
const LENGTH_AT = 15;

/** Writes the header of a packet whose sealed part (tag included) is `sealedBytes` long; returns the index behind. */
export function writeHeader(
  bytes: Uint8Array,
  at: number,
  epoch: number,
  connectionId: Uint8Array,
  packetNumber: number,
  sealedBytes: number,
): number {
  bytes[at] = PACKET_DATA | ((epoch & 3) << 1);
  for (let i = 0; i < CONNECTION_ID_BYTES; i++) bytes[at + 1 + i] = connectionId[i]!;
  writeU48(bytes, at + PACKET_NUMBER_AT, packetNumber);
  return writeU16(bytes, at + LENGTH_AT, sealedBytes);
}

/** Whether a well-formed data packet, wholly inside bytes[at, end), begins at `at`. */
export function isDataPacket(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < PACKET_OVERHEAD_BYTES || (bytes[at]! & 0xf9) !== PACKET_DATA) return false;
  const sealed = sealedBytesOf(bytes, at);
  return sealed >= TAG_BYTES && at + HEADER_BYTES + sealed <= end;
}

/** Key epoch modulo 4 of the packet at `at`. */
export function epochOf(bytes: Uint8Array, at: number): number {
  return (bytes[at]! >>> 1) & 3;
}

/** Length of the sealed part, tag included. */
export function sealedBytesOf(bytes: Uint8Array, at: number): number {
  return (bytes[at + LENGTH_AT]! << 8) | bytes[at + LENGTH_AT + 1]!;
}

/** Length of the whole packet at `at`, and of its datagram: each has one of its own. */
export function datagramBytesOf(bytes: Uint8Array, at: number): number {
  return HEADER_BYTES + sealedBytesOf(bytes, at);
}

export function packetNumberOf(bytes: Uint8Array, at: number): number {
  const from = at + PACKET_NUMBER_AT;
  const high = (bytes[from]! << 8) | bytes[from + 1]!;
  const low =
    (bytes[from + 2]! << 24) | (bytes[from + 3]! << 16) | (bytes[from + 4]! << 8) | bytes[from + 5]!;
  return high * 0x100000000 + (low >>> 0);
}

/** Whether the packet at `at` is addressed to `connectionId`. */
export function isAddressedTo(bytes: Uint8Array, at: number, connectionId: Uint8Array): boolean {
  for (let i = 0; i < CONNECTION_ID_BYTES; i++) if (bytes[at + 1 + i] !== connectionId[i]) return false;
  return true;
}

/**
 * The first byte of every packet, and the header of a data packet. datagram.ts splits whole
 * datagrams.
 *
 * One socket serves several protocols, which the first byte distinguishes:
 *
 *     0x00–0x3f  STUN, as RFC 7983 §7 assigns it      0xe0, 0xe1  notice, cookie
 *     0x40–0x4f  TURN channel data                    0xe8, 0xe9  connectivity check: request, response
 *     0xc0–0xcf  data packet                          0xf0–0xff   rendezvous message
 *     0xd0–0xdf  handshake packet
 *
 * The header of a data packet is not encrypted. It is the associated data of the packet's AEAD.
 *
 *     0        1                 9                15          17
 *     +--------+-----------------+----------------+-----------+------------------------+----------+
 *     |11000ee0| destination     | packet number  | length    | sealed frames          | tag      |
 *     |        | connection ID   | 48 bits        |           |                        |          |
 *     +--------+-----------------+----------------+-----------+------------------------+----------+
 *
 * `ee` is the key epoch modulo 4. `length` counts the sealed frames and the tag: packets delimit
 * themselves, and one received buffer may hold several (UDP GRO). All numbers are in network byte
 * order.
 */
import { readU48, writeU16, writeU48 } from "../base/bytes.ts";

/** Packet kinds: the high nibble of the first byte. */
export const PACKET_DATA = 0xc0;
export const PACKET_HANDSHAKE = 0xd0;
export const PACKET_NOTICE = 0xe0;
export const PACKET_RENDEZVOUS = 0xf0;

/** First byte of a cookie, which is of the notice kind. */
export const PACKET_COOKIE = 0xe1;
/** First bytes of connectivity checks, which are also of the notice kind. */
export const CHECK_REQUEST = 0xe8;
export const CHECK_RESPONSE = 0xe9;
/** First bytes of STUN messages are below this.  // RFC 7983 §7 */
export const STUN_FIRST_BYTE_LIMIT = 0x40;

const KIND_MASK = 0xf0;
const SUBKIND_MASK = 0x0f;

export const CONNECTION_ID_BYTES = 8;
export const HEADER_BYTES = 17;
export const TAG_BYTES = 16;
/** Bytes of a data packet that are not frames. */
export const PACKET_OVERHEAD_BYTES: number = HEADER_BYTES + TAG_BYTES;
/** Packet numbers are 48 bits wide and never restart. */
export const PACKET_NUMBER_LIMIT: number = 2 ** 48;

/** Offset of a data packet's destination connection ID. */
export const DATA_DESTINATION_ID_AT = 1;
const PACKET_NUMBER_AT = 9;
const LENGTH_AT = 15;
/** The bits of a data packet's first byte that do not depend on its key epoch. */
const DATA_MASK = 0xf9;

/**
 * Kind of the packet that starts with `firstByte`: one of the four kinds above, or another
 * protocol's.
 */
export function kindOf(firstByte: number): number {
  return firstByte & KIND_MASK;
}

/** Low nibble of the first byte: the kind within handshake packets and rendezvous messages. */
export function subkindOf(firstByte: number): number {
  return firstByte & SUBKIND_MASK;
}

/** Range of the first bytes of one kind, both included. */
export function firstBytesOf(kind: number): { readonly low: number; readonly high: number } {
  return { low: kind, high: kind | SUBKIND_MASK };
}

/**
 * Writes a header for `sealedBytes` of sealed frames and tag. Returns the offset of the byte after
 * it.
 */
export function writeHeader(
  bytes: Uint8Array,
  at: number,
  epoch: number,
  connectionId: Uint8Array,
  packetNumber: number,
  sealedBytes: number,
): number {
  bytes[at] = PACKET_DATA | ((epoch & 3) << 1);
  for (let i = 0; i < CONNECTION_ID_BYTES; i++) bytes[at + DATA_DESTINATION_ID_AT + i] = connectionId[i]!;
  writeU48(bytes, at + PACKET_NUMBER_AT, packetNumber);
  return writeU16(bytes, at + LENGTH_AT, sealedBytes);
}

/** Whether a well-formed data packet starts at `at` and ends at or before `end`. */
export function isDataPacket(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at < PACKET_OVERHEAD_BYTES || (bytes[at]! & DATA_MASK) !== PACKET_DATA) return false;
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

/** Length of the whole data packet at `at`. */
export function packetBytesOf(bytes: Uint8Array, at: number): number {
  return HEADER_BYTES + sealedBytesOf(bytes, at);
}

export function packetNumberOf(bytes: Uint8Array, at: number): number {
  return readU48(bytes, at + PACKET_NUMBER_AT);
}

/** Whether the packet at `at` is addressed to `connectionId`. */
export function isAddressedTo(bytes: Uint8Array, at: number, connectionId: Uint8Array): boolean {
  return isIdAt(bytes, at + DATA_DESTINATION_ID_AT, connectionId);
}

/** Whether bytes[at, at + 8) equal `connectionId`. */
export function isIdAt(bytes: Uint8Array, at: number, connectionId: Uint8Array): boolean {
  for (let i = 0; i < CONNECTION_ID_BYTES; i++) if (bytes[at + i] !== connectionId[i]) return false;
  return true;
}

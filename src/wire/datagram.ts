/**
 * Splits received bytes: a buffer into datagrams, and a datagram into packets. Also finds the
 * connection ID that a datagram is addressed to.
 *
 * The kernel joins datagrams of one sender that have equal lengths (the last may be shorter) and
 * does not report their length.  // udp(7), UDP_GRO
 *
 * An attacker who cannot see the path can still insert a datagram with a forged source address.
 * Therefore a length counts only if the next datagram confirms it, and junk does not affect the
 * datagrams around it.
 */
import { CHECK_BYTES } from "./check.ts";
import {
  HANDSHAKE_BYTES,
  HANDSHAKE_DESTINATION_ID_AT,
  HANDSHAKE_LENGTH_AT,
  HANDSHAKE_SOURCE_ID_AT,
  NOTICE_DESTINATION_ID_AT,
} from "./handshake-packet.ts";
import {
  CHECK_REQUEST,
  CHECK_RESPONSE,
  CONNECTION_ID_BYTES,
  DATA_DESTINATION_ID_AT,
  isDataPacket,
  kindOf,
  PACKET_DATA,
  PACKET_HANDSHAKE,
  PACKET_NOTICE,
  packetBytesOf,
  STUN_FIRST_BYTE_LIMIT,
} from "./packet.ts";
import { STUN_HEADER_BYTES } from "./stun.ts";

/**
 * Length of the shortest datagram that can address a connection: a notice up to its connection ID.
 */
const MIN_ADDRESSED_BYTES: number = NOTICE_DESTINATION_ID_AT + CONNECTION_ID_BYTES;
/** A handshake packet up to both connection IDs. */
const MIN_HANDSHAKE_BYTES: number = HANDSHAKE_SOURCE_ID_AT + CONNECTION_ID_BYTES;
/** Length of a handshake packet's first byte and length field. Every packet is longer. */
const HANDSHAKE_LENGTH_END = 3;

/** Offset of the connection ID that `datagram` is addressed to; −1 if it has none. */
export function destinationIdAt(datagram: Uint8Array): number {
  if (datagram.length < MIN_ADDRESSED_BYTES) return -1;
  switch (kindOf(datagram[0]!)) {
    case PACKET_DATA:
      return DATA_DESTINATION_ID_AT;
    case PACKET_HANDSHAKE:
      return datagram.length < MIN_HANDSHAKE_BYTES ? -1 : HANDSHAKE_DESTINATION_ID_AT;
    case PACKET_NOTICE:
      return NOTICE_DESTINATION_ID_AT;
    default:
      return -1;
  }
}

/**
 * End of the packet that starts at `at` in a datagram; −1 if there is none, or if it is truncated.
 * A notice extends to the end of the datagram.
 */
export function packetEnd(datagram: Uint8Array, at: number): number {
  switch (kindOf(datagram[at]!)) {
    case PACKET_DATA:
      return isDataPacket(datagram, at, datagram.length) ? at + packetBytesOf(datagram, at) : -1;
    case PACKET_HANDSHAKE: {
      if (datagram.length - at <= HANDSHAKE_LENGTH_END) return -1;
      const length = (datagram[at + HANDSHAKE_LENGTH_AT]! << 8) | datagram[at + HANDSHAKE_LENGTH_AT + 1]!;
      return length > HANDSHAKE_LENGTH_END && at + length <= datagram.length ? at + length : -1;
    }
    case PACKET_NOTICE:
      return datagram.length;
    default:
      return -1;
  }
}

/** Length of each datagram in a received buffer, except the last, which may be shorter. */
export function strideOf(bytes: Uint8Array): number {
  const { length } = bytes;
  const first = lengthAt(bytes, 0);
  if (first === length || (first > 0 && isConfirmed(bytes, first))) return first;
  // The first datagram is junk, or belongs to a protocol without a length field.
  for (let at = 1; at < length; at++) {
    // Nearly all junk bytes fail this comparison, so a flood of junk costs little.
    if (kindOf(bytes[at]!) !== PACKET_DATA || !isDataPacket(bytes, at, length)) continue;
    const stride = packetBytesOf(bytes, at);
    if (at % stride === 0 && (at + stride === length || isConfirmed(bytes, stride, at))) return stride;
  }
  return length;
}

/** Whether the datagram at `at` is followed by one of the same length, or by a shorter last one. */
function isConfirmed(bytes: Uint8Array, stride: number, at = 0): boolean {
  const next = at + stride;
  if (next >= bytes.length) return next === bytes.length;
  const following = lengthAt(bytes, next);
  return following === stride || (following > 0 && following < stride && next + following === bytes.length);
}

/** Length declared by the datagram at `at`; 0 if it declares none. */
function lengthAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const left = bytes.length - at;
  let length = 0;
  if (isDataPacket(bytes, at, bytes.length)) length = packetBytesOf(bytes, at);
  else if (kindOf(first) === PACKET_HANDSHAKE) length = HANDSHAKE_BYTES;
  else if (first === CHECK_REQUEST || first === CHECK_RESPONSE) length = CHECK_BYTES;
  else if (first < STUN_FIRST_BYTE_LIMIT && left >= STUN_HEADER_BYTES) {
    length = STUN_HEADER_BYTES + ((bytes[at + 2]! << 8) | bytes[at + 3]!);
  }
  return length <= left ? length : 0;
}

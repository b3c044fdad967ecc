/**
 * Takes a received buffer apart that may hold several datagrams: the kernel joins those of one sender that
 * are equally long (the last may be shorter) and does not say how long.  // udp(7), UDP_GRO
 *
 * Whoever is on nobody's path can still throw a datagram in by a forged source address. So no length is
 * believed that the datagram behind does not bear out, and junk costs only itself.
 */
import { CHECK_BYTES, CHECK_REQUEST, CHECK_RESPONSE } from "./check.ts";
import { HANDSHAKE_BYTES } from "./handshake-packet.ts";
import { datagramBytesOf, isDataPacket, PACKET_DATA, PACKET_HANDSHAKE } from "./packet.ts";
import { STUN_HEADER_BYTES } from "./stun.ts";

/** First bytes below this are STUN's.  // RFC 7983 §7 */
const STUN_BELOW = 0x40;

/** Length of each datagram in `bytes` but the last, which may be shorter; `bytes.length` when there is but one. */
export function strideOf(bytes: Uint8Array): number {
  const { length } = bytes;
  const first = lengthAt(bytes, 0);
  if (first === length || (first > 0 && isBorneOut(bytes, first))) return first;
  // The first is junk, or of a protocol that does not say how long it is.
  for (let at = 1; at < length; at++) {
    // The one comparison that nearly all bytes of junk fail: a flood of it is to cost little.
    if ((bytes[at]! & 0xf0) !== PACKET_DATA || !isDataPacket(bytes, at, length)) continue;
    const stride = datagramBytesOf(bytes, at);
    if (at % stride === 0 && (at + stride === length || isBorneOut(bytes, stride, at))) return stride;
  }
  return length;
}

/** Whether what lies behind the datagram at `at` is another, as long, or the last. */
function isBorneOut(bytes: Uint8Array, stride: number, at = 0): boolean {
  const next = at + stride;
  if (next >= bytes.length) return next === bytes.length;
  const following = lengthAt(bytes, next);
  return following === stride || (following > 0 && following < stride && next + following === bytes.length);
}

/** Length of the datagram at `at` by its own account, 0 where it gives none. */
function lengthAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const left = bytes.length - at;
  let length = 0;
  if (isDataPacket(bytes, at, bytes.length)) length = datagramBytesOf(bytes, at);
  else if ((first & 0xf0) === PACKET_HANDSHAKE) length = HANDSHAKE_BYTES;
  else if (first === CHECK_REQUEST || first === CHECK_RESPONSE) length = CHECK_BYTES;
  else if (first < STUN_BELOW && left >= STUN_HEADER_BYTES) {
    length = STUN_HEADER_BYTES + ((bytes[at + 2]! << 8) | bytes[at + 3]!);
  }
  return length <= left ? length : 0;
}

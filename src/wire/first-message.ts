/**
 * The first message of a handshake as the gate sees it, before the responder spends any work on it;
 * and the cookie with which a responder under load answers instead of doing the work.
 *
 *     0        1        2                10               34                              66
 *     +--------+--------+----------------+----------------+-------------------------------+
 *     |11100001| zero   | destination    | nonce          | cookie (16), sealed: 32       |
 *     |        |        | connection ID  | 192 bits       |                               |
 *     +--------+--------+----------------+----------------+-------------------------------+
 *
 * handshake-packet.ts has the layout of the first message itself.
 */
import {
  BODY_AT,
  BODY_LENGTH_AT,
  bodyBytesOf,
  COOKIE_AT,
  HANDSHAKE_BODY_BYTES,
  HANDSHAKE_BYTES,
  HANDSHAKE_DESTINATION_ID_AT,
  HANDSHAKE_KINDS,
  HANDSHAKE_SOURCE_ID_AT,
  INTEGRITY_BYTES,
  MAC1_AT,
  MODE_AT,
  MODES,
  type Mode,
  NOTICE_DESTINATION_ID_AT,
  TIE_BREAK_AT,
} from "./handshake-packet.ts";
import { CONNECTION_ID_BYTES, PACKET_COOKIE, PACKET_HANDSHAKE } from "./packet.ts";

/** The fields that the gate checks. The arrays are views of the received bytes. */
export interface ClientHello {
  /** Undefined if this version does not know the mode. */
  readonly mode: Mode | undefined;
  readonly sourceId: Uint8Array;
  readonly tieBreak: Uint8Array;
  /** The bytes covered by mac1. */
  readonly covered: Uint8Array;
  readonly mac1: Uint8Array;
  /** All zero if the message contains no cookie. */
  readonly proof: Uint8Array;
}

/** Length of the cookie packet. The message that it answers has 1200 bytes. */
export const COOKIE_PACKET_BYTES = 66;

const PAKE_OPEN: number = PACKET_HANDSHAKE | HANDSHAKE_KINDS.indexOf("pakeOpen");
const NOISE_1: number = PACKET_HANDSHAKE | HANDSHAKE_KINDS.indexOf("noise1");
const NONCE_AT = 10;
const SEALED_AT = 34;

/**
 * Parses the first message in exactly these bytes, not authenticated and possibly damaged;
 * undefined for any other bytes.
 */
export function readClientHello(bytes: Uint8Array): ClientHello | undefined {
  if (bytes.length !== HANDSHAKE_BYTES || (bytes[0] !== PAKE_OPEN && bytes[0] !== NOISE_1)) return undefined;
  for (let i = 0; i < CONNECTION_ID_BYTES; i++)
    if (bytes[HANDSHAKE_DESTINATION_ID_AT + i] !== 0) return undefined;
  const bodyBytes = bodyBytesOf(bytes);
  if (bodyBytes > HANDSHAKE_BODY_BYTES) return undefined;
  return {
    mode: MODES[bytes[MODE_AT]!],
    sourceId: bytes.subarray(HANDSHAKE_SOURCE_ID_AT, HANDSHAKE_SOURCE_ID_AT + CONNECTION_ID_BYTES),
    tieBreak: bytes.subarray(TIE_BREAK_AT, BODY_LENGTH_AT),
    covered: bytes.subarray(0, BODY_AT + bodyBytes),
    mac1: bytes.subarray(MAC1_AT, COOKIE_AT),
    proof: bytes.subarray(COOKIE_AT, HANDSHAKE_BYTES - INTEGRITY_BYTES),
  };
}

/** A sealed cookie, sent to an initiator. */
export interface CookiePacket {
  /** Source connection ID of the message that this packet answers. */
  readonly destinationId: Uint8Array;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** 32 bytes. */
  readonly sealed: Uint8Array;
}

export function encodeCookiePacket({ destinationId, nonce, sealed }: CookiePacket): Uint8Array {
  const bytes = new Uint8Array(COOKIE_PACKET_BYTES);
  bytes[0] = PACKET_COOKIE;
  bytes.set(destinationId, NOTICE_DESTINATION_ID_AT);
  bytes.set(nonce, NONCE_AT);
  bytes.set(sealed, SEALED_AT);
  return bytes;
}

/** The cookie packet in exactly these bytes; undefined for any other bytes. */
export function decodeCookiePacket(bytes: Uint8Array): CookiePacket | undefined {
  if (bytes.length !== COOKIE_PACKET_BYTES || bytes[0] !== PACKET_COOKIE || bytes[1] !== 0) return undefined;
  return {
    destinationId: Uint8Array.from(bytes.subarray(NOTICE_DESTINATION_ID_AT, NONCE_AT)),
    nonce: Uint8Array.from(bytes.subarray(NONCE_AT, SEALED_AT)),
    sealed: Uint8Array.from(bytes.subarray(SEALED_AT)),
  };
}

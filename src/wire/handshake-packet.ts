/**
 * Packets sent before any keys exist: the five handshake packets, all 1200 bytes long, and the
 * notice.
 *
 *     0        1         3                11           19       20       21     22
 *     +--------+---------+----------------+------------+--------+--------+------+----------+
 *     |1101kkkk| length  | destination    | source     | lowest | highest| mode | features |
 *     |        | 1200    | connection ID  | conn. ID   | version| version|      | 16 bits  |
 *     +--------+---------+----------------+------------+--------+--------+------+----------+
 *     24                40            42                    1152     1168     1184
 *     +-----------------+-------------+---------------------+--------+--------+-----------+
 *     | tie-break       | body length | body, zero padding  | mac1   | cookie | integrity |
 *     | 128 bits        |             |                     | 128    | proof  | 128 bits  |
 *     +-----------------+-------------+---------------------+--------+--------+-----------+
 *
 * All handshake packets have the full length: a reply is never larger than its request, and a path
 * that does not support the minimum datagram size is detected at once. All versions keep this
 * layout up to the body, and the positions of the last three fields, so that versions can recognize
 * each other. Numbers are in network order.
 *
 * mac1 and the cookie proof are present in first messages only (first-message.ts); elsewhere they
 * are zero. The integrity field distinguishes corruption from a wrong guess. It is a MAC under a
 * public key, so it stops no attacker. This layer does no hashing, so the caller passes in the
 * functions that compute the three fields.
 */
import { equalBytes, writeU16 } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { CONNECTION_ID_BYTES, kindOf, PACKET_HANDSHAKE, PACKET_NOTICE, subkindOf } from "./packet.ts";

/** The version that this code implements. */
export const WIRE_VERSION = 1;
/** Length of every handshake packet. */
export const HANDSHAKE_BYTES = 1200;
/** Length of every notice packet. */
export const NOTICE_BYTES = 28;
/** Length of the initiator's tie-break. */
export const TIE_BREAK_BYTES = 16;
/** Length of the integrity field at the end of a handshake packet or notice. */
export const INTEGRITY_BYTES = 16;

/** Offset of the length, which follows the first byte. */
export const HANDSHAKE_LENGTH_AT = 1;
/** Offsets of the connection IDs. */
export const HANDSHAKE_DESTINATION_ID_AT = 3;
export const HANDSHAKE_SOURCE_ID_AT = 11;
const VERSIONS_AT = 19;
export const MODE_AT = 21;
const FEATURES_AT = 22;
export const TIE_BREAK_AT = 24;
export const BODY_LENGTH_AT = 40;
export const BODY_AT = 42;
export const MAC1_AT = 1152;
/** Offset of the proof that the sender has a cookie. */
export const COOKIE_AT = 1168;
/** Offset of a notice's destination connection ID. */
export const NOTICE_DESTINATION_ID_AT = 2;
const INTEGRITY_AT: number = HANDSHAKE_BYTES - INTEGRITY_BYTES;
const NOTICE_INTEGRITY_AT: number = NOTICE_BYTES - INTEGRITY_BYTES;
/** Maximum length of the body of a handshake packet. */
export const HANDSHAKE_BODY_BYTES: number = MAC1_AT - BODY_AT;

/** Kinds of handshake packet; the index is the low nibble of the first byte. */
export const HANDSHAKE_KINDS = ["pakeOpen", "pakeAnswer", "noise1", "noise2", "noise3"] as const;
export type HandshakeKind = (typeof HANDSHAKE_KINDS)[number];

/** How the two peers authenticate each other; the index is the number on the wire. */
export const MODES = ["key", "secret", "code", "passphrase", "ticket"] as const;
export type Mode = (typeof MODES)[number];

/** The reason in a notice; the index is the number on the wire. 0 is not used. */
export const NOTICE_REASONS = [undefined, "refused", "busy", "version"] as const;
export type NoticeReason = NonNullable<(typeof NOTICE_REASONS)[number]>;

/** Wire versions from `lowest` to `highest`, both inclusive, 0 … 255. */
export interface VersionRange {
  readonly lowest: number;
  readonly highest: number;
}

/** A handshake packet. The packet owns its arrays; none is a view of a received buffer. */
export interface HandshakePacket {
  readonly kind: HandshakeKind;
  /** All zero while the sender does not know the receiver's ID. */
  readonly destinationId: Uint8Array;
  readonly sourceId: Uint8Array;
  readonly versions: VersionRange;
  /** Undefined in a received packet whose mode this version does not know. */
  readonly mode: Mode | undefined;
  readonly features: number;
  /** The initiator's value, echoed by the responder. */
  readonly tieBreak: Uint8Array;
  readonly body: Uint8Array;
}

/** An unauthenticated hint. The receiver keeps waiting for a valid answer for a while. */
export interface Notice {
  readonly reason: NoticeReason;
  /** Source connection ID of the packet that this notice answers. */
  readonly destinationId: Uint8Array;
  /** The versions that the sender of the notice supports. */
  readonly versions: VersionRange;
}

/**
 * Computes the integrity field (16 bytes) over `covered`, under a key derived from the public
 * `connectionId`.
 */
export type PacketMac = (connectionId: Uint8Array, covered: Uint8Array) => Uint8Array;

/**
 * Computes mac1 and the cookie proof of a first message. `covered` is everything up to the end of
 * the body.
 */
export type GateFields = (covered: Uint8Array) => {
  readonly mac1: Uint8Array;
  /** Undefined without a cookie. */
  readonly proof: Uint8Array | undefined;
};

/**
 * Kind of the handshake packet in `bytes`, which may be damaged; undefined for any other packet.
 */
export function handshakeKindOf(bytes: Uint8Array): HandshakeKind | undefined {
  return kindOf(bytes[0]!) === PACKET_HANDSHAKE ? HANDSHAKE_KINDS[subkindOf(bytes[0]!)] : undefined;
}

/** Body length declared by the handshake packet in `bytes`. */
export function bodyBytesOf(bytes: Uint8Array): number {
  return (bytes[BODY_LENGTH_AT]! << 8) | bytes[BODY_LENGTH_AT + 1]!;
}

/** Whether this connection ID means "not known yet". */
export function isZeroId(connectionId: Uint8Array): boolean {
  return connectionId.every((byte) => byte === 0);
}

/**
 * The 1200 bytes of `packet`. Throws ERR_INTERNAL if its body is longer than HANDSHAKE_BODY_BYTES.
 *
 * @param gate set for a first message
 */
export function encodeHandshakePacket(
  packet: HandshakePacket & { mode: Mode },
  mac: PacketMac,
  gate?: GateFields,
): Uint8Array {
  if (packet.body.length > HANDSHAKE_BODY_BYTES) {
    throw new SrudpError("ERR_INTERNAL", "the body of the handshake packet is too long");
  }
  const bytes = new Uint8Array(HANDSHAKE_BYTES);
  bytes[0] = PACKET_HANDSHAKE | HANDSHAKE_KINDS.indexOf(packet.kind);
  writeU16(bytes, HANDSHAKE_LENGTH_AT, HANDSHAKE_BYTES);
  bytes.set(packet.destinationId, HANDSHAKE_DESTINATION_ID_AT);
  bytes.set(packet.sourceId, HANDSHAKE_SOURCE_ID_AT);
  bytes[VERSIONS_AT] = packet.versions.lowest;
  bytes[VERSIONS_AT + 1] = packet.versions.highest;
  bytes[MODE_AT] = MODES.indexOf(packet.mode);
  writeU16(bytes, FEATURES_AT, packet.features);
  bytes.set(packet.tieBreak, TIE_BREAK_AT);
  writeU16(bytes, BODY_LENGTH_AT, packet.body.length);
  bytes.set(packet.body, BODY_AT);
  if (gate !== undefined) {
    const { mac1, proof } = gate(bytes.subarray(0, BODY_AT + packet.body.length));
    bytes.set(mac1, MAC1_AT);
    if (proof !== undefined) bytes.set(proof, COOKIE_AT);
  }
  bytes.set(mac(packet.sourceId, bytes.subarray(0, INTEGRITY_AT)), INTEGRITY_AT);
  return bytes;
}

/**
 * The handshake packet in exactly these `bytes`; undefined for any other bytes and for a damaged
 * packet. Padding, mac1 and the cookie proof are not checked, though the integrity field covers
 * them.
 */
export function decodeHandshakePacket(bytes: Uint8Array, mac: PacketMac): HandshakePacket | undefined {
  if (bytes.length !== HANDSHAKE_BYTES) return undefined;
  const reader = new Reader(bytes);
  const first = reader.u8();
  const kind = HANDSHAKE_KINDS[subkindOf(first)];
  if (kindOf(first) !== PACKET_HANDSHAKE || kind === undefined) return undefined;
  if (reader.u16() !== HANDSHAKE_BYTES) return undefined;
  // Copied with from(), because slice() of a received Buffer would be a view.
  const destinationId = Uint8Array.from(reader.take(CONNECTION_ID_BYTES));
  const sourceId = Uint8Array.from(reader.take(CONNECTION_ID_BYTES));
  const versions = { lowest: reader.u8(), highest: reader.u8() };
  const mode = MODES[reader.u8()];
  const features = reader.u16();
  const tieBreak = Uint8Array.from(reader.take(TIE_BREAK_BYTES));
  const bodyBytes = reader.u16();
  if (bodyBytes > HANDSHAKE_BODY_BYTES || versions.lowest > versions.highest || isZeroId(sourceId)) {
    return undefined;
  }
  const body = Uint8Array.from(reader.take(bodyBytes));
  if (!isIntact(bytes, INTEGRITY_AT, sourceId, mac)) return undefined;
  return { kind, destinationId, sourceId, versions, mode, features, tieBreak, body };
}

/** The 28 bytes of `notice`. */
export function encodeNotice(notice: Notice, mac: PacketMac): Uint8Array {
  const bytes = new Uint8Array(NOTICE_BYTES);
  bytes[0] = PACKET_NOTICE;
  bytes[1] = NOTICE_REASONS.indexOf(notice.reason);
  bytes.set(notice.destinationId, NOTICE_DESTINATION_ID_AT);
  bytes[10] = notice.versions.lowest;
  bytes[11] = notice.versions.highest;
  bytes.set(mac(notice.destinationId, bytes.subarray(0, NOTICE_INTEGRITY_AT)), NOTICE_INTEGRITY_AT);
  return bytes;
}

/** The notice in exactly these `bytes`; undefined for any other bytes and for a damaged notice. */
export function decodeNotice(bytes: Uint8Array, mac: PacketMac): Notice | undefined {
  if (bytes.length !== NOTICE_BYTES || bytes[0] !== PACKET_NOTICE) return undefined;
  const reason = NOTICE_REASONS[bytes[1]!];
  const destinationId = Uint8Array.from(
    bytes.subarray(NOTICE_DESTINATION_ID_AT, NOTICE_DESTINATION_ID_AT + CONNECTION_ID_BYTES),
  );
  const versions = { lowest: bytes[10]!, highest: bytes[11]! };
  if (reason === undefined || versions.lowest > versions.highest) return undefined;
  if (!isIntact(bytes, NOTICE_INTEGRITY_AT, destinationId, mac)) return undefined;
  return { reason, destinationId, versions };
}

function isIntact(bytes: Uint8Array, integrityAt: number, connectionId: Uint8Array, mac: PacketMac): boolean {
  return equalBytes(mac(connectionId, bytes.subarray(0, integrityAt)), bytes.subarray(integrityAt));
}

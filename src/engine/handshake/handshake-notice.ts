/**
 * Notices: how a side that will not make a link says so, and what the other makes of it.
 *
 * A notice carries no proof, because there is no key yet that could prove it. So it is a hint: it names the
 * connection ID that only those on the way know, it is smaller than what it answers, and the initiator gives
 * a valid answer one more second to come before it believes it.
 */
import type { ErrorCode } from "../../base/errors.ts";
import { packetIntegrity } from "../../crypto/integrity.ts";
import {
  decodeHandshakePacket,
  encodeNotice,
  type HandshakePacket,
  isZeroId,
  type Mode,
  type Notice,
  type NoticeReason,
  type VersionRange,
  WIRE_VERSION,
} from "../../wire/handshake-packet.ts";
import { type HandshakeConfig, highestCommonVersion, versionsOf } from "./handshake-config.ts";

/** A hint is believed after this long without a valid answer. */
const HINT_MS = 1000;

/** Something unproven that speaks against a link. */
export interface Hint {
  readonly code: ErrorCode;
  readonly believedAtMs: number;
  /** What the peer is said to speak. */
  readonly versions: VersionRange;
}

export function newHint(nowMs: number, code: ErrorCode, versions: VersionRange): Hint {
  return { code, believedAtMs: nowMs + HINT_MS, versions };
}

/** The notice (28 bytes, its request has 1200) with which `packet` is turned away. */
export function noticeFor(
  config: HandshakeConfig,
  packet: HandshakePacket,
  reason: NoticeReason,
): Uint8Array {
  const notice = { reason, destinationId: packet.sourceId, versions: versionsOf(config) };
  return encodeNotice(notice, packetIntegrity);
}

/**
 * The notice "busy" for a datagram that holds the first message of a handshake, 28 bytes; undefined for any
 * other bytes, which deserve silence. For a listener that has no room for another link.
 */
export function busyNotice(request: Uint8Array): Uint8Array | undefined {
  const packet = decodeHandshakePacket(request, packetIntegrity);
  if (packet === undefined || (packet.kind !== "pakeOpen" && packet.kind !== "noise1")) return undefined;
  if (!isZeroId(packet.destinationId)) return undefined;
  const versions = { lowest: WIRE_VERSION, highest: WIRE_VERSION };
  return encodeNotice({ reason: "busy", destinationId: packet.sourceId, versions }, packetIntegrity);
}

/** What `notice` amounts to at an initiator; undefined where nobody honest would have sent it. */
export function errorOfNotice(config: HandshakeConfig, mode: Mode, notice: Notice): ErrorCode | undefined {
  switch (notice.reason) {
    case "busy":
      return "ERR_BUSY";
    case "refused":
      return refusalError(mode);
    case "version":
      // From a peer that speaks ours it is a lie, which would have us look for another version.
      return highestCommonVersion(versionsOf(config), notice.versions) === undefined
        ? "ERR_VERSION"
        : undefined;
  }
}

/** The error that a refusal in this mode amounts to; undefined where a refusal is never sent. */
export function refusalError(mode: Mode): ErrorCode | undefined {
  if (mode === "code") return "ERR_WRONG_CODE";
  return mode === "passphrase" ? "ERR_WRONG_PASSPHRASE" : undefined;
}

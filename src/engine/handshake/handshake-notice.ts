/**
 * Notices: how a responder reports that it will not make a link, and how the initiator interprets
 * the report.
 *
 * A notice is not authenticated, because no key exists yet. It is therefore only a hint: it names
 * the connection ID, which only hosts on the path know; it is smaller than the packet that it
 * answers; and the initiator waits one more second for a valid answer before it accepts the hint.
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

/** A hint is accepted after this time without a valid answer. */
const HINT_MS = 1000;

/** An unauthenticated report that there will be no link. */
export interface Hint {
  readonly code: ErrorCode;
  readonly believedAtMs: number;
  /** The versions that the peer reportedly supports. */
  readonly versions: VersionRange;
}

export function newHint(nowMs: number, code: ErrorCode, versions: VersionRange): Hint {
  return { code, believedAtMs: nowMs + HINT_MS, versions };
}

/** The notice (28 bytes) that rejects `packet` (1200 bytes). */
export function noticeFor(
  config: HandshakeConfig,
  packet: HandshakePacket,
  reason: NoticeReason,
): Uint8Array {
  const notice = { reason, destinationId: packet.sourceId, versions: versionsOf(config) };
  return encodeNotice(notice, packetIntegrity);
}

/**
 * The notice "busy" for a datagram that contains the first message of a handshake, 28 bytes;
 * undefined for any other bytes, which get no answer. Used by a listener that has no room for
 * another link.
 */
export function busyNotice(request: Uint8Array): Uint8Array | undefined {
  const packet = decodeHandshakePacket(request, packetIntegrity);
  if (packet === undefined || (packet.kind !== "pakeOpen" && packet.kind !== "noise1")) return undefined;
  if (!isZeroId(packet.destinationId)) return undefined;
  const versions = { lowest: WIRE_VERSION, highest: WIRE_VERSION };
  return encodeNotice({ reason: "busy", destinationId: packet.sourceId, versions }, packetIntegrity);
}

/**
 * The error that `notice` means for an initiator; undefined if no honest peer would have sent it.
 */
export function errorOfNotice(config: HandshakeConfig, mode: Mode, notice: Notice): ErrorCode | undefined {
  switch (notice.reason) {
    case "busy":
      return "ERR_BUSY";
    case "refused":
      return refusalError(mode);
    case "version":
      // A peer that supports a local version would not send this: a forged notice could otherwise
      // make the initiator look for another version.
      return highestCommonVersion(versionsOf(config), notice.versions) === undefined
        ? "ERR_VERSION"
        : undefined;
  }
}

/** The error that a refusal means in this mode; undefined if a refusal is never sent. */
export function refusalError(mode: Mode): ErrorCode | undefined {
  if (mode === "code") return "ERR_WRONG_CODE";
  return mode === "passphrase" ? "ERR_WRONG_PASSPHRASE" : undefined;
}

/**
 * The inputs and results of a handshake, and the interface between its two halves and their caller.
 */
import { SrudpError } from "../../base/errors.ts";
import { AEAD_KEY_BYTES, type KeyPair, type Primitives } from "../../crypto/primitives.ts";
import { isZeroId, type Mode, type VersionRange, WIRE_VERSION } from "../../wire/handshake-packet.ts";
import { CONNECTION_ID_BYTES } from "../../wire/packet.ts";

export type Role = "initiator" | "responder";

/** The credentials of a peer, by mode. */
export interface Credentials {
  /** Accept peers by their static key (`verifyPeer` decides). */
  readonly key?: true;
  /** 32 bytes of full entropy. */
  readonly secret?: Uint8Array;
  /** The secret of a ticket, valid for one link: 32 bytes of full entropy. */
  readonly ticket?: Uint8Array;
  /** A code in normal form, UTF-8. */
  readonly code?: Uint8Array;
  /** UTF-8. */
  readonly passphrase?: Uint8Array;
}

export interface HandshakeConfig {
  readonly role: Role;
  /** The initiator may also respond, since the peer may be connecting at the same time. */
  readonly mayRespond?: boolean;
  /** Initiator: the mode, which selects one of its credentials. */
  readonly mode?: Mode;
  /** Responder: accepts every credential that is present. */
  readonly credentials: Credentials;
  readonly primitives: Primitives;
  /** Uniform random bytes, fresh at every call. */
  readonly random: (byteLength: number) => Uint8Array;
  readonly identity: KeyPair;
  /** 8 random bytes, not all zero: the destination ID in data packets to the local side. */
  readonly connectionId: Uint8Array;
  /** The local transport parameters, opaque to the handshake, at most 256 bytes. */
  readonly parameters: Uint8Array;
  /**
   * Decides about the peer's static key. Called once: by the initiator before it sends its own key,
   * by the responder after the last message. "ask" suspends the handshake until `answerPeer()`.
   */
  readonly verifyPeer: (publicKey: Uint8Array, mode: Mode) => "accept" | "refuse" | "ask";
  /**
   * Initiator: the peer's static key if it is known beforehand, for peers that are silent to
   * strangers.
   */
  readonly peerKey?: Uint8Array;
  /** The wire versions to offer; by default the version that this code implements. */
  readonly versions?: VersionRange;
}

/** The keys of a completed handshake. One side's `sendKey` is the other's `receiveKey`. */
export interface HandshakeKeys {
  readonly mode: Mode;
  readonly role: Role;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  /** Identifies this handshake, 32 bytes; not secret. */
  readonly handshakeHash: Uint8Array;
  /** The secret from which the keys of later epochs are derived, 32 bytes. */
  readonly rekeySecret: Uint8Array;
  /** The secret from which secrets for other uses are derived, 32 bytes. */
  readonly exporterSecret: Uint8Array;
  readonly peerStatic: Uint8Array;
  readonly peerConnectionId: Uint8Array;
  readonly peerParameters: Uint8Array;
  readonly version: number;
}

/** The result of one packet, and the packet to send in reply. */
export interface Outcome {
  readonly result: "ignored" | "advanced" | "repeat";
  readonly reply?: Uint8Array;
}

/** Maximum length of the transport parameters of one side. */
const PARAMETERS_BYTES = 256;

export const IGNORED: Outcome = { result: "ignored" };

/** The versions that the local side offers. */
export function versionsOf(config: HandshakeConfig): VersionRange {
  return config.versions ?? { lowest: WIRE_VERSION, highest: WIRE_VERSION };
}

/** The highest version that both sides support; undefined if there is none. */
export function highestCommonVersion(a: VersionRange, b: VersionRange): number | undefined {
  const highest = Math.min(a.highest, b.highest);
  return highest >= Math.max(a.lowest, b.lowest) ? highest : undefined;
}

/** Throws ERR_INTERNAL for a configuration that is a caller's bug. */
export function checkConfig(config: HandshakeConfig): void {
  const { role, mode, credentials, connectionId, parameters } = config;
  const { lowest, highest } = versionsOf(config);
  const isByte = (n: number): boolean => Number.isInteger(n) && n >= 0 && n <= 255;
  require(connectionId.length === CONNECTION_ID_BYTES && !isZeroId(connectionId), "bad connection ID");
  require(parameters.length <= PARAMETERS_BYTES, "the transport parameters are too long");
  require(isByte(lowest) && isByte(highest) && lowest <= highest, "bad version range");
  for (const secret of [credentials.secret, credentials.ticket]) {
    require(secret === undefined || secret.length === AEAD_KEY_BYTES, "bad secret");
  }
  if (role === "initiator") {
    require(mode !== undefined && credentials[mode] !== undefined, "the mode lacks its credential");
  }
}

function require(condition: boolean, complaint: string): void {
  if (!condition) throw new SrudpError("ERR_INTERNAL", complaint);
}

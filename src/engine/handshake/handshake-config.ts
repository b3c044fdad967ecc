/** What a handshake is given, what comes out of it, and what its two halves tell the one that runs them. */
import { SrudpError } from "../../base/errors.ts";
import { AEAD_KEY_BYTES, type KeyPair, type Primitives } from "../../crypto/primitives.ts";
import { isZeroId, type Mode, type VersionRange, WIRE_VERSION } from "../../wire/handshake-packet.ts";
import { CONNECTION_ID_BYTES } from "../../wire/packet.ts";

export type Role = "initiator" | "responder";

/** What may be asked of the peer, by mode. */
export interface Credentials {
  /** Take peers by their static key (`verifyPeer` decides). */
  readonly key?: true;
  /** 32 bytes of full entropy. */
  readonly secret?: Uint8Array;
  /** The secret of a ticket, good for one link: 32 bytes of full entropy. */
  readonly ticket?: Uint8Array;
  /** A code in normal form, UTF-8. */
  readonly code?: Uint8Array;
  /** UTF-8. */
  readonly passphrase?: Uint8Array;
}

export interface HandshakeConfig {
  readonly role: Role;
  /** An initiator that may be called too, since the peer may be connecting at the same time. */
  readonly mayRespond?: boolean;
  /** Initiator: the one of its credentials that it uses. */
  readonly mode?: Mode;
  /** Responder: every one that is present is accepted. */
  readonly credentials: Credentials;
  readonly primitives: Primitives;
  /** Uniform random bytes, fresh at every call. */
  readonly random: (byteLength: number) => Uint8Array;
  readonly identity: KeyPair;
  /** 8 random bytes, not all zero: the ID on data packets that come to this side. */
  readonly connectionId: Uint8Array;
  /** This side's transport parameters, opaque here, at most 256 bytes. */
  readonly parameters: Uint8Array;
  /**
   * Whether the peer's static key is welcome. Asked once: the initiator before its own key leaves, the
   * responder after the last message. "ask" parks the handshake until `answerPeer()`.
   */
  readonly verifyPeer: (publicKey: Uint8Array, mode: Mode) => "accept" | "refuse" | "ask";
  /** Initiator: the peer's static key where it is known beforehand, for peers that are silent to strangers. */
  readonly peerKey?: Uint8Array;
  /** Wire versions offered; without it the one that this code speaks. */
  readonly versions?: VersionRange;
}

/** What both sides have when the handshake is done; `sendKey` here is `receiveKey` there. */
export interface HandshakeKeys {
  readonly mode: Mode;
  readonly role: Role;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  /** Names this handshake, 32 bytes; not secret. */
  readonly handshakeHash: Uint8Array;
  /** Where the keys of later epochs begin, 32 bytes. */
  readonly rekeySecret: Uint8Array;
  /** What secrets for other uses are derived from, 32 bytes. */
  readonly exporterSecret: Uint8Array;
  readonly peerStatic: Uint8Array;
  readonly peerConnectionId: Uint8Array;
  readonly peerParameters: Uint8Array;
  readonly version: number;
}

/** What came of one packet, and the packet that is to go back for it. */
export interface Outcome {
  readonly result: "ignored" | "advanced" | "repeat";
  readonly reply?: Uint8Array;
}

/** Longest transport parameters that a side may hand over. */
const PARAMETERS_BYTES = 256;

export const IGNORED: Outcome = { result: "ignored" };

/** The versions that this side offers. */
export function versionsOf(config: HandshakeConfig): VersionRange {
  return config.versions ?? { lowest: WIRE_VERSION, highest: WIRE_VERSION };
}

/** The highest version that both speak; undefined where there is none. */
export function highestCommonVersion(a: VersionRange, b: VersionRange): number | undefined {
  const highest = Math.min(a.highest, b.highest);
  return highest >= Math.max(a.lowest, b.lowest) ? highest : undefined;
}

/** Throws ERR_INTERNAL for a configuration that could not have come from a correct caller. */
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

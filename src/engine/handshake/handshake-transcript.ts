/**
 * The values to which the two sides of a handshake commit: the inputs of CPace, Noise's prologue,
 * and the values that are sent encrypted because the clear header is not authenticated.
 *
 * Every field that affects the exchange is included, so that a header modified in transit leads to
 * different keys and never to a link. docs/protocol.md, "Key schedule", defines the bytes.
 */
import { concatBytes, utf8Encode, writeU16 } from "../../base/bytes.ts";
import { Reader } from "../../base/reader.ts";
import { Cpace } from "../../crypto/cpace.ts";
import { LABELS } from "../../crypto/labels.ts";
import type { NoiseHandshake, NoiseOptions } from "../../crypto/noise.ts";
import { X25519_BYTES } from "../../crypto/primitives.ts";
import { type HandshakePacket, MODES, type Mode, type VersionRange } from "../../wire/handshake-packet.ts";
import { CONNECTION_ID_BYTES } from "../../wire/packet.ts";
import type { HandshakeConfig, HandshakeKeys, Role } from "./handshake-config.ts";

/** Identifies the protocol in every transcript. The wire version is in the header fields. */
const PROTOCOL: Uint8Array = utf8Encode(LABELS.protocol);
const SUITE: Uint8Array = utf8Encode(LABELS.suite);
const PAKE: Uint8Array = utf8Encode(LABELS.pake);
const PASSWORDS = {
  code: utf8Encode(LABELS.codePassword),
  passphrase: utf8Encode(LABELS.passphrasePassword),
};

/** The modes in which a PAKE precedes Noise. */
export type PakeMode = "code" | "passphrase";

export function isPakeMode(mode: Mode): mode is PakeMode {
  return mode === "code" || mode === "passphrase";
}

/** The psk of the modes in which both sides have it beforehand; undefined in the others. */
export function presharedKey(config: HandshakeConfig, mode: Mode): Uint8Array | undefined {
  return mode === "secret" || mode === "ticket" ? config.credentials[mode] : undefined;
}

/** The fields of one side in the clear header of its packets. */
export type PublicFields = Pick<
  HandshakePacket,
  "sourceId" | "destinationId" | "versions" | "features" | "tieBreak"
> & {
  readonly mode: Mode;
};

/** Both sides' part of a PAKE run, as bound by the prologue. */
export interface PakeTranscript {
  readonly initiatorShare: Uint8Array;
  readonly responderShare: Uint8Array;
  readonly responderFields: Uint8Array;
}

/**
 * A side's header fields as bytes: CPace's associated data, and a part of the prologue. The role
 * comes first, because CPace's transcript has no order that distinguishes the sides.
 */
export function fieldBytes(role: Role, fields: PublicFields): Uint8Array {
  const head = Uint8Array.of(
    role === "initiator" ? 0 : 1,
    MODES.indexOf(fields.mode),
    fields.versions.lowest,
    fields.versions.highest,
    fields.features >>> 8,
    fields.features & 0xff,
  );
  return concatBytes(head, fields.tieBreak, fields.sourceId, fields.destinationId);
}

/**
 * One side's run of CPace. The session ID consists of the values that the initiator alone has
 * chosen when it makes its share.
 */
export function newPake(
  config: HandshakeConfig,
  mode: PakeMode,
  initiator: PublicFields,
  localFields: Uint8Array,
): Cpace {
  return new Cpace({
    password: concatWithLengths(PASSWORDS[mode], config.credentials[mode]!),
    channelId: PAKE,
    sessionId: concatBytes(initiator.tieBreak, initiator.sourceId),
    associatedData: localFields,
    scalar: config.random(X25519_BYTES),
    x25519: config.primitives.x25519,
  });
}

/** One side's Noise handshake, with a fresh ephemeral key: XXpsk0 with a psk, XX without. */
export function noiseOptions(
  config: HandshakeConfig,
  role: Role,
  initiatorFields: Uint8Array,
  psk: Uint8Array | undefined,
  pake: PakeTranscript | undefined,
): NoiseOptions {
  const secretKey = config.random(X25519_BYTES);
  const options = {
    role,
    prologue: prologueOf(initiatorFields, pake),
    primitives: config.primitives,
    ephemeral: { secretKey, publicKey: config.primitives.x25519.publicKey(secretKey) },
    staticKeys: config.identity,
  };
  return psk === undefined ? { ...options, pattern: "XX" } : { ...options, pattern: "XXpsk0", psk };
}

/**
 * Noise's prologue: suite, roles, mode, all fields that the initiator sends in clear, and the PAKE
 * if there was one.
 */
function prologueOf(initiatorFields: Uint8Array, pake: PakeTranscript | undefined): Uint8Array {
  if (pake === undefined) return concatWithLengths(PROTOCOL, SUITE, initiatorFields);
  const { initiatorShare, responderShare, responderFields } = pake;
  return concatWithLengths(PROTOCOL, SUITE, initiatorFields, initiatorShare, responderShare, responderFields);
}

/** The fields that the responder sends encrypted in noise2. */
export interface ResponderHello {
  readonly versions: VersionRange;
  /** The version that the responder chose. */
  readonly version: number;
  readonly features: number;
  readonly connectionId: Uint8Array;
  readonly parameters: Uint8Array;
}

export function encodeResponderHello(hello: ResponderHello): Uint8Array {
  const head = new Uint8Array(5);
  head[0] = hello.versions.lowest;
  head[1] = hello.versions.highest;
  head[2] = hello.version;
  writeU16(head, 3, hello.features);
  return concatBytes(head, hello.connectionId, hello.parameters);
}

/** Undefined if it is truncated. */
export function decodeResponderHello(bytes: Uint8Array): ResponderHello | undefined {
  const reader = new Reader(bytes);
  const versions = { lowest: reader.u8(), highest: reader.u8() };
  const version = reader.u8();
  const features = reader.u16();
  const connectionId = Uint8Array.from(reader.take(CONNECTION_ID_BYTES));
  const parameters = Uint8Array.from(reader.rest());
  return reader.ok ? { versions, version, features, connectionId, parameters } : undefined;
}

/** The keys of a completed Noise handshake, from the point of view of `role`. */
export function keysOf(
  noise: NoiseHandshake,
  role: Role,
  peer: Pick<HandshakeKeys, "mode" | "version" | "peerConnectionId" | "peerParameters">,
): HandshakeKeys {
  const { initiatorKey, responderKey } = noise.split();
  const isInitiator = role === "initiator";
  return {
    ...peer,
    role,
    sendKey: isInitiator ? initiatorKey : responderKey,
    receiveKey: isInitiator ? responderKey : initiatorKey,
    handshakeHash: noise.handshakeHash,
    rekeySecret: noise.exporter(LABELS.rekey),
    exporterSecret: noise.exporter(LABELS.exporter),
    peerStatic: noise.remoteStatic!,
  };
}

/**
 * Each part preceded by its length in 16 bits, so that no two lists of parts yield the same bytes.
 */
function concatWithLengths(...parts: readonly Uint8Array[]): Uint8Array {
  const pieces = parts.flatMap((part) => {
    const length = new Uint8Array(2);
    writeU16(length, 0, part.length);
    return [length, part];
  });
  return concatBytes(...pieces);
}

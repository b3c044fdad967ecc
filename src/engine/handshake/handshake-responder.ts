/**
 * The responding half of a handshake, for one peer, which is identified by its connection ID and
 * tie-break.
 *
 * It has no timer and sends nothing on its own initiative. It keeps the last answered request and
 * the answer, and answers the same bytes with the same answer. It ignores every other packet that
 * does not fit.
 * Read first: the message flow in handshake.ts.
 */
import { equalBytes } from "../../base/bytes.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { packetIntegrity } from "../../crypto/integrity.ts";
import { NoiseHandshake } from "../../crypto/noise.ts";
import { pskOfPake } from "../../crypto/pake-psk.ts";
import { AEAD_TAG_BYTES, X25519_BYTES } from "../../crypto/primitives.ts";
import {
  COOKIE_AT,
  encodeHandshakePacket,
  type HandshakeKind,
  type HandshakePacket,
  isZeroId,
  type NoticeReason,
  type VersionRange,
} from "../../wire/handshake-packet.ts";
import {
  type HandshakeConfig,
  type HandshakeKeys,
  highestCommonVersion,
  IGNORED,
  type Outcome,
  versionsOf,
} from "./handshake-config.ts";
import { noticeFor } from "./handshake-notice.ts";
import {
  encodeResponderHello,
  fieldBytes,
  isPakeMode,
  keysOf,
  newPake,
  noiseOptions,
  type PakeTranscript,
  type PublicFields,
  presharedKey,
} from "./handshake-transcript.ts";

/** A received request, and the answer to it. */
interface Exchange {
  readonly request: Uint8Array;
  readonly reply: Uint8Array | undefined;
}

type ResponderState =
  | { readonly kind: "waiting" }
  /** pakeAnswer was sent; noise1 must open under the PAKE's key. */
  | {
      readonly kind: "pakeAnswered";
      readonly last: Exchange;
      readonly psk: Uint8Array;
      readonly pake: PakeTranscript;
      /** Created when it is first needed. */
      noise: NoiseHandshake | undefined;
    }
  /** noise2 was sent. */
  | { readonly kind: "noiseAnswered"; readonly last: Exchange; readonly noise: NoiseHandshake }
  /** noise3 was valid; the user is asked about the peer's key. */
  | { readonly kind: "asking"; readonly last: Exchange; readonly keys: HandshakeKeys }
  | {
      readonly kind: "established";
      readonly last: Exchange;
      readonly keys: HandshakeKeys;
      readonly refusedPeer: boolean;
    }
  /** The peer supports no local version. Each of its requests is answered with that report. */
  | { readonly kind: "failed"; readonly last: Exchange; readonly code: ErrorCode };

/** How to answer the first message of a stranger before any work is done for it. */
export type FirstVerdict = "answer" | "silence" | NoticeReason;

/**
 * Judges a pakeOpen or noise1 by its header alone. A mode that is not offered gets no answer,
 * except that a peer with a code or passphrase gets a notice, because the code may just have been
 * retired.
 */
export function judgeFirst(config: HandshakeConfig, packet: HandshakePacket): FirstVerdict {
  if (highestCommonVersion(versionsOf(config), packet.versions) === undefined) return "version";
  const { mode } = packet;
  if (mode === undefined) return "silence";
  if (config.credentials[mode] === undefined) return isPakeMode(mode) ? "refused" : "silence";
  const opensWith: HandshakeKind = isPakeMode(mode) ? "pakeOpen" : "noise1";
  return packet.kind === opensWith && isZeroId(packet.destinationId) ? "answer" : "silence";
}

/**
 * Maximum number of wrong confirmations that are tried in one run. They all test the same guess,
 * but each costs a decryption. An initiator with a wrong code repeats its confirmation for a
 * second, and an attacker on the path may add others.
 */
const CONFIRMATIONS_LIMIT = 32;

export class HandshakeResponder {
  /**
   * An intact noise1 did not open: the peer has made a guess. A run of the PAKE is one guess,
   * regardless of later messages.
   */
  guessFailed = false;
  /** The peer's versions, if they do not include a local one. */
  peerVersions: VersionRange | undefined;
  private readonly config: HandshakeConfig;
  private state: ResponderState = { kind: "waiting" };
  /** The peer's header fields in its first message; set in every state except "waiting". */
  private peer: PublicFields | undefined;
  private wrongConfirmations = 0;

  constructor(config: HandshakeConfig) {
    this.config = config;
  }

  get kind(): ResponderState["kind"] {
    return this.state.kind;
  }

  /** The peer has confirmed the code or passphrase. */
  get guessPassed(): boolean {
    const { kind } = this.state;
    const hasAuthenticated = kind === "noiseAnswered" || kind === "asking" || kind === "established";
    return hasAuthenticated && isPakeMode(this.peer!.mode);
  }

  get keys(): HandshakeKeys | undefined {
    return this.state.kind === "established" ? this.state.keys : undefined;
  }

  get refusedPeer(): boolean {
    return this.state.kind === "established" && this.state.refusedPeer;
  }

  get failure(): ErrorCode | undefined {
    return this.state.kind === "failed" ? this.state.code : undefined;
  }

  /**
   * Whether `packet` belongs to the attempt that this object answers. Tie-breaks distinguish two
   * attempts of one peer.
   */
  isFrom(packet: HandshakePacket): boolean {
    const { peer } = this;
    return (
      peer !== undefined &&
      equalBytes(peer.sourceId, packet.sourceId) &&
      equalBytes(peer.tieBreak, packet.tieBreak)
    );
  }

  /** @param bytes the encoded form of `packet` */
  handlePacket(packet: HandshakePacket, bytes: Uint8Array): Outcome {
    const { state } = this;
    if (state.kind === "waiting") return this.takeFirst(packet, bytes);
    if (isSameRequest(bytes, state.last.request)) return repeatOf(state.last);
    if (!this.isNext(packet)) return IGNORED;
    switch (state.kind) {
      case "pakeAnswered":
        return packet.kind === "noise1" ? this.takeConfirmation(state, packet, bytes) : IGNORED;
      case "noiseAnswered":
        return packet.kind === "noise3" ? this.takeNoise3(state.noise, packet, bytes) : IGNORED;
      case "asking":
      case "established":
      case "failed":
        return IGNORED;
    }
  }

  /**
   * The answer to verifyPeer's "ask". A refused peer is also established, so that it receives the
   * refusal under the keys.
   */
  answerPeer(accepted: boolean): void {
    const { state } = this;
    if (state.kind === "asking") this.state = { ...state, kind: "established", refusedPeer: !accepted };
  }

  /**
   * Whether `packet` continues the attempt: addressed to the local side, with the other header
   * fields unchanged.
   */
  private isNext(packet: HandshakePacket): boolean {
    const { peer } = this;
    return (
      this.isFrom(packet) &&
      equalBytes(packet.destinationId, this.config.connectionId) &&
      packet.mode === peer!.mode &&
      packet.features === peer!.features &&
      packet.versions.lowest === peer!.versions.lowest &&
      packet.versions.highest === peer!.versions.highest
    );
  }

  private takeFirst(packet: HandshakePacket, bytes: Uint8Array): Outcome {
    if (packet.kind !== "pakeOpen" && packet.kind !== "noise1") return IGNORED;
    const verdict = judgeFirst(this.config, packet);
    if (verdict === "silence") return IGNORED;
    if (verdict === "answer") return this.answerFirst({ ...packet, mode: packet.mode! }, packet, bytes);
    const reply = noticeFor(this.config, packet, verdict);
    if (verdict === "version") {
      this.peerVersions = packet.versions;
      const last = { request: Uint8Array.from(bytes), reply };
      this.state = { kind: "failed", last, code: "ERR_VERSION" };
    }
    return { result: "repeat", reply };
  }

  private answerFirst(fields: PublicFields, packet: HandshakePacket, bytes: Uint8Array): Outcome {
    if (isPakeMode(fields.mode)) return this.takePakeOpen(fields, fields.mode, packet, bytes);
    const psk = presharedKey(this.config, fields.mode);
    const bodyBytes = X25519_BYTES + (psk === undefined ? 0 : AEAD_TAG_BYTES);
    const noise = this.newNoise(fields, psk, undefined);
    // A message under another secret gets no answer, and the genuine message may still arrive.
    if (packet.body.length !== bodyBytes || noise.readMessage(packet.body) === undefined) return IGNORED;
    return this.answerNoise1(fields, noise, bytes);
  }

  private takePakeOpen(
    fields: PublicFields,
    mode: "code" | "passphrase",
    packet: HandshakePacket,
    bytes: Uint8Array,
  ): Outcome {
    const local = this.localFields(fields);
    const responderFields = fieldBytes("responder", local);
    const run = newPake(this.config, mode, fields, responderFields);
    const key = run.finish(packet.body, fieldBytes("initiator", fields));
    if (key === undefined) return IGNORED;
    const pake = { initiatorShare: packet.body, responderShare: run.share, responderFields };
    const reply = this.newReply(local, "pakeAnswer", run.share);
    this.peer = fields;
    const last = { request: Uint8Array.from(bytes), reply };
    this.state = { kind: "pakeAnswered", last, psk: pskOfPake(key), pake, noise: undefined };
    return { result: "advanced", reply };
  }

  /**
   * Handles noise1 after a PAKE. One run of CPace lets an attacker test one code, regardless of the
   * number of confirmations it sends. A wrong confirmation is therefore counted once, and the
   * genuine one may still follow.
   */
  private takeConfirmation(
    state: ResponderState & { kind: "pakeAnswered" },
    packet: HandshakePacket,
    bytes: Uint8Array,
  ): Outcome {
    if (packet.body.length !== X25519_BYTES + AEAD_TAG_BYTES) return IGNORED;
    if (this.wrongConfirmations >= CONFIRMATIONS_LIMIT) return IGNORED;
    const peer = this.peer!;
    state.noise ??= this.newNoise(peer, state.psk, state.pake);
    if (state.noise.readMessage(packet.body) !== undefined)
      return this.answerNoise1(peer, state.noise, bytes);
    this.guessFailed = true;
    this.wrongConfirmations++;
    return { result: "repeat", reply: noticeFor(this.config, packet, "refused") };
  }

  private answerNoise1(fields: PublicFields, noise: NoiseHandshake, bytes: Uint8Array): Outcome {
    const { config } = this;
    const local = this.localFields(fields);
    const hello = encodeResponderHello({
      versions: local.versions,
      version: highestCommonVersion(local.versions, fields.versions)!,
      features: local.features,
      connectionId: config.connectionId,
      parameters: config.parameters,
    });
    const reply = this.newReply(local, "noise2", noise.writeMessage(hello));
    this.peer = fields;
    this.state = { kind: "noiseAnswered", last: { request: Uint8Array.from(bytes), reply }, noise };
    return { result: "advanced", reply };
  }

  private takeNoise3(noise: NoiseHandshake, packet: HandshakePacket, bytes: Uint8Array): Outcome {
    const parameters = noise.readMessage(packet.body);
    if (parameters === undefined) return IGNORED;
    const { mode, versions, sourceId } = this.peer!;
    const keys = keysOf(noise, "responder", {
      mode,
      version: highestCommonVersion(versionsOf(this.config), versions)!,
      peerConnectionId: sourceId,
      peerParameters: parameters,
    });
    const last = { request: Uint8Array.from(bytes), reply: undefined };
    const verdict = this.config.verifyPeer(keys.peerStatic, mode);
    this.state =
      verdict === "ask"
        ? { kind: "asking", last, keys }
        : { kind: "established", last, keys, refusedPeer: verdict === "refuse" };
    return { result: "advanced" };
  }

  private newNoise(
    fields: PublicFields,
    psk: Uint8Array | undefined,
    pake: PakeTranscript | undefined,
  ): NoiseHandshake {
    const initiatorFields = fieldBytes("initiator", fields);
    return new NoiseHandshake(noiseOptions(this.config, "responder", initiatorFields, psk, pake));
  }

  private localFields(peer: PublicFields): PublicFields {
    const { config } = this;
    return {
      sourceId: config.connectionId,
      destinationId: peer.sourceId,
      versions: versionsOf(config),
      mode: peer.mode,
      features: 0,
      tieBreak: peer.tieBreak,
    };
  }

  private newReply(local: PublicFields, kind: HandshakeKind, body: Uint8Array): Uint8Array {
    return encodeHandshakePacket({ ...local, kind, body }, packetIntegrity);
  }
}

/**
 * Whether two packets are the same request. A repeated first message may have a cookie that the
 * original did not have.
 */
function isSameRequest(a: Uint8Array, b: Uint8Array): boolean {
  return equalBytes(a.subarray(0, COOKIE_AT), b.subarray(0, COOKIE_AT));
}

function repeatOf(last: Exchange): Outcome {
  return last.reply === undefined ? { result: "repeat" } : { result: "repeat", reply: last.reply };
}

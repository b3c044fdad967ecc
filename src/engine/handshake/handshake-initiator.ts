/**
 * The initiating half of a handshake: it sends a message, repeats it until the answer arrives, and
 * continues.
 *
 * It processes only an intact answer that names this attempt (connection ID, tie-break, mode). It
 * reads a noise2 on a new Noise state made from the same keys, so an invalid noise2 has no effect.
 * Read first: the message flow in handshake.ts.
 */
import { equalBytes } from "../../base/bytes.ts";
import type { ErrorCode } from "../../base/errors.ts";
import type { Cpace } from "../../crypto/cpace.ts";
import { GateMac, gateKey, openCookie, proofOfCookie } from "../../crypto/first-message-mac.ts";
import { packetIntegrity } from "../../crypto/integrity.ts";
import { NoiseHandshake, type NoiseOptions } from "../../crypto/noise.ts";
import { pskOfPake } from "../../crypto/pake-psk.ts";
import type { CookiePacket } from "../../wire/first-message.ts";
import {
  encodeHandshakePacket,
  type HandshakeKind,
  type HandshakePacket,
  type Mode,
  type Notice,
  TIE_BREAK_BYTES,
  type VersionRange,
} from "../../wire/handshake-packet.ts";
import { CONNECTION_ID_BYTES } from "../../wire/packet.ts";
import {
  type HandshakeConfig,
  type HandshakeKeys,
  highestCommonVersion,
  IGNORED,
  type Outcome,
  versionsOf,
} from "./handshake-config.ts";
import { errorOfNotice, type Hint, newHint, refusalError } from "./handshake-notice.ts";
import {
  decodeResponderHello,
  fieldBytes,
  isPakeMode,
  keysOf,
  newPake,
  noiseOptions,
  type PakeTranscript,
  type PublicFields,
  presharedKey,
  type ResponderHello,
} from "./handshake-transcript.ts";

/**
 * A PAKE confirmation without a valid answer after this time was a wrong guess, if any packet of
 * this attempt arrived meanwhile. Without any packet the path is assumed to be the cause, and the
 * limit is longer.
 */
const CONFIRMATION_MS = 10_000;
const SILENCE_MS = 60_000;
/**
 * Interval at which the message is repeated while the user decides about the peer's key. It keeps
 * the peer's half-open state and the NAT mapping alive.
 */
const PARKED_RESEND_MS = 5000;
/** A cookie makes the first message leave at once, but no more often than this. */
const COOKIE_PAUSE_MS = 250;

const NOTHING: Uint8Array = new Uint8Array(0);
const UNKNOWN_ID: Uint8Array = new Uint8Array(CONNECTION_ID_BYTES);

type InitiatorState =
  | { readonly kind: "idle" }
  /** pakeOpen is in flight. */
  | {
      readonly kind: "opening";
      readonly pake: Cpace;
      readonly request: RepeatedRequest;
      hint: Hint | undefined;
    }
  /**
   * noise1 was sent. After a PAKE the peer is known to be there, so the wait for noise2 is limited.
   */
  | {
      readonly kind: "confirming";
      readonly noise: NoiseOptions;
      readonly peerId: Uint8Array | undefined;
      readonly request: RepeatedRequest;
      givenUpAtMs: number;
      /**
       * When the message in flight was first sent, and whether any packet that names this attempt
       * arrived since.
       */
      readonly sinceMs: number;
      hasReceived: boolean;
      hint: Hint | undefined;
    }
  /** noise2 was valid; the user is asked about the peer's key. */
  | {
      readonly kind: "asking";
      readonly noise: NoiseHandshake;
      readonly hello: ResponderHello;
      readonly request: RepeatedRequest;
    }
  /** noise3 is repeated until the first packet under the new keys arrives. */
  | {
      readonly kind: "established";
      readonly keys: HandshakeKeys;
      readonly request: RepeatedRequest | undefined;
    }
  | { readonly kind: "failed"; readonly code: ErrorCode };

export class HandshakeInitiator {
  /**
   * The versions that the peer supports, after it reported that they do not include the local ones.
   */
  peerVersions: VersionRange | undefined;
  private readonly config: HandshakeConfig;
  private readonly mode: Mode;
  private readonly gateMac: GateMac;
  private fields: PublicFields;
  private first: FirstMessage | undefined;
  private state: InitiatorState = { kind: "idle" };

  constructor(config: HandshakeConfig) {
    this.config = config;
    this.mode = config.mode!;
    this.gateMac = new GateMac(gateKeyOf(config, this.mode));
    this.fields = this.newFields();
  }

  get kind(): InitiatorState["kind"] {
    return this.state.kind;
  }

  get tieBreak(): Uint8Array {
    return this.fields.tieBreak;
  }

  get keys(): HandshakeKeys | undefined {
    return this.state.kind === "established" ? this.state.keys : undefined;
  }

  get failure(): ErrorCode | undefined {
    return this.state.kind === "failed" ? this.state.code : undefined;
  }

  /** The message in flight, identical in each repetition; undefined if there is none. */
  get request(): Uint8Array | undefined {
    return "request" in this.state ? this.state.request?.bytes : undefined;
  }

  /** Whether no answer was accepted yet, so that a restart loses nothing. */
  get isOpening(): boolean {
    const { state } = this;
    return state.kind === "opening" || (state.kind === "confirming" && state.peerId === undefined);
  }

  get timeoutAt(): number {
    const { state } = this;
    const resendAtMs = "request" in state ? (state.request?.dueAtMs ?? Infinity) : Infinity;
    const hintAtMs = "hint" in state ? (state.hint?.believedAtMs ?? Infinity) : Infinity;
    return Math.min(resendAtMs, hintAtMs, state.kind === "confirming" ? state.givenUpAtMs : Infinity);
  }

  /** Builds the first message, with fresh keys. Called again after `redraw()`. */
  start(nowMs: number): Uint8Array {
    const { mode } = this;
    if (isPakeMode(mode)) {
      const pake = newPake(this.config, mode, this.fields, fieldBytes("initiator", this.fields));
      const request = this.newRequest(nowMs, "pakeOpen", UNKNOWN_ID, pake.share);
      this.state = { kind: "opening", pake, request, hint: undefined };
      return request.bytes;
    }
    return this.sendNoise1(nowMs, presharedKey(this.config, mode), undefined, undefined);
  }

  /** The peer drew the same tie-break: restarts with a new one. */
  redraw(nowMs: number): Uint8Array {
    this.fields = this.newFields();
    return this.start(nowMs);
  }

  handlePacket(nowMs: number, packet: HandshakePacket): Outcome {
    const { state, fields } = this;
    const isAnswer =
      equalBytes(packet.destinationId, fields.sourceId) &&
      equalBytes(packet.tieBreak, fields.tieBreak) &&
      packet.mode === this.mode;
    if (!isAnswer) return IGNORED;
    switch (state.kind) {
      case "opening":
        return packet.kind === "pakeAnswer" ? this.takePakeAnswer(nowMs, state.pake, packet) : IGNORED;
      case "confirming":
        state.hasReceived = true;
        return packet.kind === "noise2" ? this.takeNoise2(nowMs, state, packet) : IGNORED;
      case "idle":
      case "asking":
      case "established":
      case "failed":
        return IGNORED;
    }
  }

  /** A notice is only recorded. The first notice decides the error if no valid answer arrives. */
  handleNotice(nowMs: number, notice: Notice): Outcome {
    if (!equalBytes(notice.destinationId, this.fields.sourceId)) return IGNORED;
    const code = errorOfNotice(this.config, this.mode, notice);
    return code === undefined ? IGNORED : this.takeHint(nowMs, code, notice.versions);
  }

  /**
   * The responder is under load and requests proof that the local side receives packets at its
   * source address. Only a cookie that was sealed for the present first message opens. A fresh
   * cookie (the previous one has expired, or the local address has changed) replaces the previous
   * one.
   */
  handleCookie(nowMs: number, { destinationId, nonce, sealed }: CookiePacket): Outcome {
    const { state, first } = this;
    if (!this.isOpening || first === undefined || !equalBytes(destinationId, this.fields.sourceId)) {
      return IGNORED;
    }
    const cookie = openCookie(this.fields, first.mac1, nonce, sealed);
    if (cookie === undefined || !("request" in state)) return IGNORED;
    const proof = proofOfCookie(cookie, first.mac1);
    state.request!.replace(encodeHandshakePacket(first.packet, packetIntegrity, () => ({ ...first, proof })));
    // Send at once, but no more often than cookies can be requested: a replayed cookie must not
    // trigger a packet each time.
    if (nowMs < first.cookieTakenAtMs + COOKIE_PAUSE_MS) return { result: "repeat" };
    first.cookieTakenAtMs = nowMs;
    return { result: "repeat", reply: state.request!.bytes };
  }

  /** Returns the message to send because a timer expired. */
  handleTimeout(nowMs: number): Uint8Array | undefined {
    const { state } = this;
    switch (state.kind) {
      case "idle":
      case "failed":
        return undefined;
      case "opening":
      case "confirming": {
        const { hint } = state;
        if (hint !== undefined && nowMs >= hint.believedAtMs) {
          if (hint.code === "ERR_VERSION") this.peerVersions = hint.versions;
          this.state = { kind: "failed", code: hint.code };
          return undefined;
        }
        if (state.kind === "confirming" && nowMs >= state.givenUpAtMs) {
          const isOver = state.hasReceived || nowMs >= state.sinceMs + SILENCE_MS;
          if (isOver) {
            this.state = {
              kind: "failed",
              code: state.hasReceived ? refusalError(this.mode)! : "ERR_TIMEOUT",
            };
            return undefined;
          }
          state.givenUpAtMs = nowMs + CONFIRMATION_MS;
        }
        return state.request.handleTimeout(nowMs);
      }
      case "asking":
      case "established":
        return state.request?.handleTimeout(nowMs);
    }
  }

  /** The answer to verifyPeer's "ask". Returns noise3 if the key was accepted. */
  answerPeer(nowMs: number, accepted: boolean): Uint8Array | undefined {
    const { state } = this;
    if (state.kind !== "asking") return undefined;
    if (accepted) return this.establish(nowMs, state.noise, state.hello);
    this.state = { kind: "failed", code: "ERR_PEER_KEY" };
    return undefined;
  }

  /** The peer has the keys: stops repeating noise3. */
  confirm(): void {
    const { state } = this;
    if (state.kind === "established") this.state = { ...state, request: undefined };
  }

  /** Accepts only the first answer with a valid share; another would be another guess. */
  private takePakeAnswer(nowMs: number, pake: Cpace, packet: HandshakePacket): Outcome {
    if (highestCommonVersion(versionsOf(this.config), packet.versions) === undefined) return IGNORED;
    const responderFields = fieldBytes("responder", { ...packet, mode: this.mode });
    const key = pake.finish(packet.body, responderFields);
    if (key === undefined) return IGNORED;
    const transcript = { initiatorShare: pake.share, responderShare: packet.body, responderFields };
    return {
      result: "advanced",
      reply: this.sendNoise1(nowMs, pskOfPake(key), packet.sourceId, transcript),
    };
  }

  /** Sends noise1. After a PAKE, its tag is the confirmation. */
  private sendNoise1(
    nowMs: number,
    psk: Uint8Array | undefined,
    peerId: Uint8Array | undefined,
    pake: PakeTranscript | undefined,
  ): Uint8Array {
    const noise = noiseOptions(this.config, "initiator", fieldBytes("initiator", this.fields), psk, pake);
    const message = new NoiseHandshake(noise).writeMessage(NOTHING);
    const request = this.newRequest(nowMs, "noise1", peerId ?? UNKNOWN_ID, message);
    const givenUpAtMs = pake === undefined ? Infinity : nowMs + CONFIRMATION_MS;
    this.state = {
      kind: "confirming",
      noise,
      peerId,
      request,
      givenUpAtMs,
      sinceMs: nowMs,
      hasReceived: false,
      hint: undefined,
    };
    return request.bytes;
  }

  private takeNoise2(
    nowMs: number,
    state: InitiatorState & { kind: "confirming" },
    packet: HandshakePacket,
  ): Outcome {
    const noise = new NoiseHandshake(state.noise);
    noise.writeMessage(NOTHING);
    const payload = noise.readMessage(packet.body);
    const hello = payload && decodeResponderHello(payload);
    // The ID in the clear header can be modified in transit; the sealed ID is authentic.
    if (hello === undefined || !equalBytes(hello.connectionId, packet.sourceId)) return IGNORED;
    if (hello.version !== highestCommonVersion(versionsOf(this.config), hello.versions)) {
      return this.takeHint(nowMs, "ERR_VERSION", hello.versions);
    }
    switch (this.config.verifyPeer(noise.remoteStatic!, this.mode)) {
      case "accept":
        return { result: "advanced", reply: this.establish(nowMs, noise, hello) };
      case "refuse":
        this.state = { kind: "failed", code: "ERR_PEER_KEY" };
        return { result: "advanced" };
      case "ask": {
        const request = new RepeatedRequest(nowMs, state.request.bytes, PARKED_RESEND_MS);
        this.state = { kind: "asking", noise, hello, request };
        return { result: "advanced" };
      }
    }
  }

  private establish(nowMs: number, noise: NoiseHandshake, hello: ResponderHello): Uint8Array {
    const message = noise.writeMessage(this.config.parameters);
    const request = this.newRequest(nowMs, "noise3", hello.connectionId, message);
    const keys = keysOf(noise, "initiator", {
      mode: this.mode,
      version: hello.version,
      peerConnectionId: hello.connectionId,
      peerParameters: hello.parameters,
    });
    this.state = { kind: "established", keys, request };
    return request.bytes;
  }

  private takeHint(nowMs: number, code: ErrorCode, versions: VersionRange): Outcome {
    const { state } = this;
    if (state.kind !== "opening" && state.kind !== "confirming") return IGNORED;
    state.hint ??= newHint(nowMs, code, versions);
    return { result: "repeat" };
  }

  private newFields(): PublicFields {
    return {
      sourceId: this.config.connectionId,
      destinationId: UNKNOWN_ID,
      versions: versionsOf(this.config),
      mode: this.mode,
      features: 0,
      tieBreak: this.config.random(TIE_BREAK_BYTES),
    };
  }

  private newRequest(
    nowMs: number,
    kind: HandshakeKind,
    peerId: Uint8Array,
    body: Uint8Array,
  ): RepeatedRequest {
    const packet = { ...this.fields, kind, destinationId: peerId, body };
    if (peerId !== UNKNOWN_ID) {
      return new RepeatedRequest(nowMs, encodeHandshakePacket(packet, packetIntegrity));
    }
    const bytes = encodeHandshakePacket(packet, packetIntegrity, (covered) => {
      const mac1 = this.gateMac.of(covered);
      this.first = { packet, mac1, cookieTakenAtMs: Number.NEGATIVE_INFINITY };
      return { mac1, proof: undefined };
    });
    return new RepeatedRequest(nowMs, bytes);
  }
}

/** The parts of the first message that are needed to add a cookie. */
interface FirstMessage {
  readonly packet: Parameters<typeof encodeHandshakePacket>[0];
  readonly mac1: Uint8Array;
  cookieTakenAtMs: number;
}

/** The key of mac1, derived from the credential that identifies the responder, if any. */
function gateKeyOf(config: HandshakeConfig, mode: Mode): Uint8Array {
  const secret = presharedKey(config, mode);
  if (secret !== undefined) return gateKey("secret", secret);
  return mode === "key" && config.peerKey !== undefined ? gateKey("key", config.peerKey) : gateKey("public");
}

/** Pause before the first repetition, growth factor, and maximum pause. */
const RESEND_MS = 250;
const RESEND_GROWTH = 1.5;
const MAX_RESEND_MS = 1000;

class RepeatedRequest {
  private current: Uint8Array;
  /** When to send the message again. */
  dueAtMs: number;
  private pauseMs: number;
  private readonly mostMs: number;

  /** @param steadyPauseMs a constant pause between repetitions, instead of growing ones */
  constructor(nowMs: number, bytes: Uint8Array, steadyPauseMs?: number) {
    this.current = bytes;
    this.pauseMs = steadyPauseMs ?? RESEND_MS;
    this.mostMs = steadyPauseMs ?? MAX_RESEND_MS;
    this.dueAtMs = nowMs + this.pauseMs;
  }

  get bytes(): Uint8Array {
    return this.current;
  }

  /** Replaces the message with a copy that has a cookie; the copy is repeated from now on. */
  replace(bytes: Uint8Array): void {
    this.current = bytes;
  }

  /** The message if a repetition is due. Schedules the next one. */
  handleTimeout(nowMs: number): Uint8Array | undefined {
    if (nowMs < this.dueAtMs) return undefined;
    this.pauseMs = Math.min(this.mostMs, this.pauseMs * RESEND_GROWTH);
    this.dueAtMs = nowMs + this.pauseMs;
    return this.bytes;
  }
}

/**
 * The handshake: turns the packets of two strangers into shared keys, or into a reason for failure.
 *
 * Theory of operation. The initiator sends requests and repeats them. The responder answers and has
 * no timer.
 *
 *     initiator                                                responder
 *     ---------                                                ---------
 *     idle         -- pakeOpen  {share} ------------------->   waiting        only code and
 *     opening      <------------------ pakeAnswer {share} --   pakeAnswered   passphrase
 *
 *     confirming   -- noise1    {e} ----------------------->                  psk0 from the PAKE, whose tag
 *                  <------- noise2 {e, s, hello} -----------   noiseAnswered  confirms it; the secret; or none
 *     (asking)     peer's key checked before the local one is sent
 *     established  -- noise3    {s, parameters} ----------->   (asking)
 *                  <------- first packet under the keys ----   established
 *     confirmed
 *
 * Repetition: the bytes of a message never change. The initiator repeats its last message after 250
 * ms, then after pauses 1.5 times as long, at most a second, until the next message arrives
 * (noise3: until `confirm()`). The responder answers a repeated request with the existing answer.
 * Either direction may therefore lose, duplicate and reorder packets.
 *
 * Junk: a packet is ignored if it is damaged, truncated, addressed to another connection, sent by
 * the local side or out of turn. Messages are tried on copies of the state, so a message that fails
 * authentication changes nothing, and the genuine message completes after it. Two things cannot be
 * undone. The first valid PAKE answer is the only one that is processed, because more would be more
 * guesses. If it was forged, the link fails with ERR_WRONG_CODE, by a refusal or after ten seconds
 * in which packets arrived but no valid noise2 (without any packet the limit is a minute, and the
 * error is ERR_TIMEOUT). The other is a noise1 in key mode, which nothing authenticates yet.
 *
 * Notices (refused, busy, version) are not authenticated. The initiator accepts one after a second
 * in which no valid answer arrived.
 *
 * Load: the caller of a responder may put a gate before it (gate.ts). The gate answers a first
 * message with a cookie, and the initiator sends the same message again with proof that it has the
 * cookie. A cookie opens only for the sender of that message, so a forged cookie is ignored.
 *
 * Two initiators that may respond: each received first message competes with the local one. The
 * higher tie-break wins. Its owner does not answer the peer's message, but sends its own again at
 * once to the source of the peer's message, and the loser answers it. Equal tie-breaks are drawn
 * again. Since a first message authenticates nothing, the loser continues its own attempt until the
 * peer's is complete, and answers several. This makes no second link, because only one of two
 * genuine attempts is ever answered: each side answers nothing below its own tie-break, and after
 * answering never draws another. The attempt that completes first determines the role.
 *
 * handshake-initiator.ts and handshake-responder.ts have the halves, handshake-transcript.ts the
 * values to which they commit, wire/handshake-packet.ts and docs/protocol.md the bytes.
 */
import { equalBytes } from "../../base/bytes.ts";
import type { ErrorCode } from "../../base/errors.ts";
import { packetIntegrity } from "../../crypto/integrity.ts";
import { decodeCookiePacket } from "../../wire/first-message.ts";
import {
  decodeHandshakePacket,
  decodeNotice,
  type HandshakePacket,
  type VersionRange,
} from "../../wire/handshake-packet.ts";
import { PACKET_COOKIE, PACKET_NOTICE } from "../../wire/packet.ts";
import {
  checkConfig,
  type HandshakeConfig,
  type HandshakeKeys,
  IGNORED,
  type Outcome,
  type Role,
} from "./handshake-config.ts";
import { HandshakeInitiator } from "./handshake-initiator.ts";
import { noticeFor } from "./handshake-notice.ts";
import { HandshakeResponder, judgeFirst } from "./handshake-responder.ts";

export type { Mode } from "../../wire/handshake-packet.ts";
export type { Credentials, HandshakeConfig, HandshakeKeys, Role } from "./handshake-config.ts";
export { busyNotice } from "./handshake-notice.ts";

/**
 * Maximum number of first messages that an initiator answers at the same time. Beyond it the oldest
 * unauthenticated one is dropped.
 */
const ANSWERS_LIMIT = 4;
/** How often equal tie-breaks are drawn again. Chance alone never requires a second time. */
const REDRAWS_LIMIT = 8;
/** Number of wrong guesses after which an initiator that may respond answers no more guesses. */
const GUESSES_LIMIT = 3;

/** The stage of a handshake. "waiting": no packet arrived that is worth keeping state for. */
export type HandshakeStage = "waiting" | "exchanging" | "asking" | "established" | "failed";

const STAGES: Readonly<Record<HandshakeInitiator["kind"] | HandshakeResponder["kind"], HandshakeStage>> = {
  idle: "waiting",
  opening: "exchanging",
  confirming: "exchanging",
  waiting: "waiting",
  pakeAnswered: "exchanging",
  noiseAnswered: "exchanging",
  asking: "asking",
  established: "established",
  failed: "failed",
};

/**
 * One handshake. Methods take `now` in monotonic milliseconds. The constructor throws ERR_INTERNAL
 * for misuse.
 */
export class Handshake {
  private readonly config: HandshakeConfig;
  /** Undefined at a responder, and once an attempt of a peer completed. */
  private initiator: HandshakeInitiator | undefined;
  private responders: HandshakeResponder[] = [];
  private redraws = 0;
  private guesses = 0;
  private outgoing: Uint8Array | undefined;

  constructor(config: HandshakeConfig) {
    checkConfig(config);
    this.config = config;
    if (config.role === "initiator") this.initiator = new HandshakeInitiator(config);
    else this.responders = [new HandshakeResponder(config)];
  }

  /** Becomes "responder" once, if the peer's attempt was the one that completed. */
  get role(): Role {
    return this.initiator === undefined ? "responder" : "initiator";
  }

  get stage(): HandshakeStage {
    return STAGES[(this.initiator ?? this.responders[0]!).kind];
  }

  /** When to call handleTimeout(); Infinity for never. */
  get timeoutAt(): number {
    return this.initiator?.timeoutAt ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Set once established: at the initiator when it sends noise3, at the responder when noise3
   * arrives.
   */
  get keys(): HandshakeKeys | undefined {
    return (this.initiator ?? this.responders[0]!).keys;
  }

  get failure(): ErrorCode | undefined {
    return (this.initiator ?? this.responders[0]!).failure;
  }

  /**
   * Responder: the handshake is complete, but verifyPeer or answerPeer() refused the peer. The peer
   * has yet to receive the refusal.
   */
  get refusedPeer(): boolean {
    return this.initiator === undefined && this.responders[0]!.refusedPeer;
  }

  /** Whether any peer confirmed a wrong code or passphrase: one guess, never reset. */
  get guessFailed(): boolean {
    return this.failedGuesses > 0;
  }

  /** Responder: the peer has confirmed the code or passphrase. */
  get guessPassed(): boolean {
    return this.initiator === undefined && this.responders[0]!.guessPassed;
  }

  /** Wrong guesses so far: at most one at a responder, a few at an initiator that may respond. */
  get failedGuesses(): number {
    return this.guesses;
  }

  /** After failure ERR_VERSION: the wire versions that the peer supports. */
  get peerVersions(): VersionRange | undefined {
    return (this.initiator ?? this.responders[0]!).peerVersions;
  }

  /** The initiator's message in flight, to be sent over a path that is added later. */
  get request(): Uint8Array | undefined {
    return this.initiator?.request;
  }

  /** Queues the initiator's first message. A responder only waits. */
  start(now: number): void {
    if (this.initiator?.kind === "idle") this.outgoing = this.initiator.start(now);
  }

  /**
   * Handles one whole handshake or notice packet; the caller keeps ownership.
   * - "ignored": it does not belong to this handshake
   * - "repeat": it is valid, and authenticates nothing new
   * - "advanced": the exchange continues with the sender of the packet
   *
   * After the latter two, pollTransmit() may have the reply, to be sent to the packet's source. A
   * repeated noise3 has no reply: the peer waits for the first packet under the keys.
   */
  handlePacket(now: number, bytes: Uint8Array): "ignored" | "advanced" | "repeat" {
    const { result, reply } = this.handle(now, bytes);
    if (reply !== undefined) this.outgoing = reply;
    return result;
  }

  /** Handles the timer of `timeoutAt`. An early call has no effect. */
  handleTimeout(now: number): void {
    const message = this.initiator?.handleTimeout(now);
    if (message !== undefined) this.outgoing = message;
  }

  /**
   * The packet requested by the last input, once. The handshake owns it, and the caller must not
   * modify it.
   */
  pollTransmit(): Uint8Array | undefined {
    const { outgoing } = this;
    this.outgoing = undefined;
    return outgoing;
  }

  /** Answers verifyPeer's "ask". */
  answerPeer(now: number, accepted: boolean): void {
    if (this.initiator === undefined) this.responders[0]!.answerPeer(accepted);
    else this.outgoing = this.initiator.answerPeer(now, accepted) ?? this.outgoing;
  }

  /** A packet under the new keys arrived, so the last message need not be repeated. */
  confirm(): void {
    this.initiator?.confirm();
  }

  private handle(now: number, bytes: Uint8Array): Outcome {
    const { initiator } = this;
    if (bytes[0] === PACKET_NOTICE) {
      const notice = decodeNotice(bytes, packetIntegrity);
      return notice === undefined || initiator === undefined ? IGNORED : initiator.handleNotice(now, notice);
    }
    if (bytes[0] === PACKET_COOKIE) {
      const cookie = decodeCookiePacket(bytes);
      return cookie === undefined || initiator === undefined ? IGNORED : initiator.handleCookie(now, cookie);
    }
    const packet = decodeHandshakePacket(bytes, packetIntegrity);
    // A packet with the local connection ID as its source was sent by the local side, in either
    // role.
    if (packet === undefined || equalBytes(packet.sourceId, this.config.connectionId)) return IGNORED;
    switch (packet.kind) {
      case "pakeAnswer":
      case "noise2":
        return initiator === undefined ? IGNORED : initiator.handlePacket(now, packet);
      case "pakeOpen":
      case "noise1":
      case "noise3":
        if (initiator === undefined) return this.hand(this.responders[0]!, packet, bytes);
        return this.stage === "exchanging" && this.config.mayRespond === true
          ? this.compete(now, initiator, packet, bytes)
          : IGNORED;
    }
  }

  /** An initiator that may respond received a message of another attempt. */
  private compete(
    now: number,
    local: HandshakeInitiator,
    packet: HandshakePacket,
    bytes: Uint8Array,
  ): Outcome {
    const known = this.responders.find((responder) => responder.isFrom(packet));
    if (known !== undefined) return this.hand(known, packet, bytes);
    if (packet.kind === "noise3") return IGNORED;
    const config = this.answeringConfig();
    const verdict = judgeFirst(config, packet);
    if (verdict === "silence") return IGNORED;
    if (verdict !== "answer") return { result: "repeat", reply: noticeFor(config, packet, verdict) };
    const order = compareBytes(packet.tieBreak, local.tieBreak);
    if (order < 0) return { result: "repeat", reply: local.request! };
    if (order === 0) {
      const mayRedraw = local.isOpening && this.responders.length === 0 && this.redraws < REDRAWS_LIMIT;
      if (!mayRedraw) return IGNORED;
      this.redraws++;
      return { result: "repeat", reply: local.redraw(now) };
    }
    const responder = new HandshakeResponder(config);
    const outcome = responder.handlePacket(packet, bytes);
    if (outcome.result !== "advanced") return outcome;
    this.makeRoom();
    this.responders.push(responder);
    // Even the tag under the secret does not prove that this is not a replay, so its path must not
    // yet replace those of the local attempt.
    return { ...outcome, result: "repeat" };
  }

  /** Passes a packet to its responder, and updates the overall state. */
  private hand(responder: HandshakeResponder, packet: HandshakePacket, bytes: Uint8Array): Outcome {
    const hadFailed = responder.guessFailed;
    const outcome = responder.handlePacket(packet, bytes);
    if (responder.guessFailed && !hadFailed) {
      this.guesses++;
      if (this.guesses === GUESSES_LIMIT) {
        this.responders = this.responders.filter(({ kind }) => kind !== "pakeAnswered");
      }
    }
    if (responder.kind === "asking" || responder.kind === "established") {
      this.initiator = undefined;
      this.responders = [responder];
    }
    return outcome;
  }

  private makeRoom(): void {
    if (this.responders.length < ANSWERS_LIMIT) return;
    const unauthenticated = this.responders.findIndex(({ kind }) => kind === "pakeAnswered");
    this.responders.splice(Math.max(0, unauthenticated), 1);
  }

  /**
   * The configuration for answering others: without guessable credentials once there were too many
   * guesses.
   */
  private answeringConfig(): HandshakeConfig {
    const { config } = this;
    if (this.guesses < GUESSES_LIMIT) return config;
    const { code: _code, passphrase: _passphrase, ...credentials } = config.credentials;
    return { ...config, credentials };
  }
}

/** The byte-wise order of two arrays of the same length: negative, zero or positive. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

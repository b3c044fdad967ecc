/**
 * The handshake: from two strangers' packets to keys that both have, or to a reason why not.
 *
 * Theory of operation. The initiator asks and repeats itself; the responder answers and has no timer.
 *
 *     initiator                                                responder
 *     ---------                                                ---------
 *     idle         -- pakeOpen  {share} ------------------->   waiting        only code and
 *     opening      <------------------ pakeAnswer {share} --   pakeAnswered   passphrase
 *
 *     confirming   -- noise1    {e} ----------------------->                  psk0 from the PAKE, whose tag
 *                  <------- noise2 {e, s, hello} -----------   noiseAnswered  confirms it; the secret; or none
 *     (asking)     key checked before the own one leaves
 *     established  -- noise3    {s, parameters} ----------->   (asking)
 *                  <------- first packet under the keys ----   established
 *     confirmed
 *
 * Repetition: the bytes of a message never change. The initiator repeats its last one after 250 ms, then
 * 1.5 times as long, at most a second, until the next message is there (noise3: until `confirm()`). The
 * responder answers a repeated request with the answer that it has. So either direction may lose, repeat
 * and reorder as it likes.
 *
 * Junk: a packet that is damaged, cut short, addressed to somebody else, sent by ourselves or out of turn
 * is ignored. Messages are tried on copies of the state, so what does not authenticate changes nothing, and
 * the genuine message completes after it. Two things cannot be taken back: the first sound PAKE answer is
 * the only one that is processed (more would be more guesses), so when it was forged the link fails with
 * ERR_WRONG_CODE, by a refusal or after ten seconds in which something was heard, but no valid noise2 (silence
 * has a minute and is ERR_TIMEOUT); and a noise1 in key mode, where nothing proves it yet.
 *
 * Notices (refused, busy, version) prove nothing. The initiator believes one after a second in which no
 * valid answer came.
 *
 * Load: a responder's owner may put a gate before it (gate.ts). It answers a first message with a cookie; the
 * initiator sends the same message again with the proof that it has it. A cookie opens only at whoever sent that
 * message, so a forged one is ignored.
 *
 * Two initiators that may respond: each first message that comes competes with the own one. The higher
 * tie-break wins: its owner does not answer the other but sends its own again at once to where that came
 * from, and the loser answers it. Equal ones are drawn again. Since a first message proves nothing, the loser
 * keeps its own attempt until the other's is complete, and answers several. That makes no second link,
 * because of two genuine attempts only one is ever answered: each side answers nothing below its own
 * tie-break, and having answered it never draws another. What comes first to its end decides the role.
 *
 * The halves are in handshake-initiator.ts and handshake-responder.ts, what they commit to in
 * handshake-transcript.ts, the bytes in wire/handshake-packet.ts and docs/protocol.md.
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

/** First messages of others that an initiator answers at the same time; beyond, the oldest unproven one goes. */
const ANSWERS_LIMIT = 4;
/** Times that equal tie-breaks are drawn again; chance alone never needs a second. */
const REDRAWS_LIMIT = 8;
/** Wrong guesses that an initiator which may respond puts up with before it answers no more of them. */
const GUESSES_LIMIT = 3;

/** Where a handshake stands. "waiting": nothing that would be worth keeping state for has come. */
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

/** One handshake. Methods take `now` in monotonic milliseconds; the constructor throws ERR_INTERNAL for misuse. */
export class Handshake {
  private readonly config: HandshakeConfig;
  /** Undefined at a responder, and once somebody else's attempt came to its end. */
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

  /** Becomes "responder" once, when the attempt of the other side was the one that came to its end. */
  get role(): Role {
    return this.initiator === undefined ? "responder" : "initiator";
  }

  get stage(): HandshakeStage {
    return STAGES[(this.initiator ?? this.responders[0]!).kind];
  }

  /** When handleTimeout() wants to be called; Infinity for never. */
  get timeoutAt(): number {
    return this.initiator?.timeoutAt ?? Number.POSITIVE_INFINITY;
  }

  /** Set when established: at the initiator with the sending of noise3, at the responder with its arrival. */
  get keys(): HandshakeKeys | undefined {
    return (this.initiator ?? this.responders[0]!).keys;
  }

  get failure(): ErrorCode | undefined {
    return (this.initiator ?? this.responders[0]!).failure;
  }

  /** Responder: the handshake is complete, but verifyPeer or answerPeer() said no. The peer is yet to be told. */
  get refusedPeer(): boolean {
    return this.initiator === undefined && this.responders[0]!.refusedPeer;
  }

  /** Whether some peer confirmed a wrong code or passphrase: one guess, never reset. */
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

  /** With failure ERR_VERSION: the wire versions that the peer speaks. */
  get peerVersions(): VersionRange | undefined {
    return (this.initiator ?? this.responders[0]!).peerVersions;
  }

  /** The initiator's message in the air: what a path that is tried in addition is to carry. */
  get request(): Uint8Array | undefined {
    return this.initiator?.request;
  }

  /** Queues the initiator's first message; a responder just waits. */
  start(now: number): void {
    if (this.initiator?.kind === "idle") this.outgoing = this.initiator.start(now);
  }

  /**
   * Takes one whole handshake or notice packet, which stays the caller's. "ignored": it was nothing for us.
   * "repeat": it was understood, and proves nothing new. "advanced": the exchange goes on with where it came
   * from. After the latter two pollTransmit() may have the reply, which goes to where the packet came from.
   * A repeated noise3 has none: the peer waits for the first packet under the keys.
   */
  handlePacket(now: number, bytes: Uint8Array): "ignored" | "advanced" | "repeat" {
    const { result, reply } = this.handle(now, bytes);
    if (reply !== undefined) this.outgoing = reply;
    return result;
  }

  /** The time of `timeoutAt` has come (an early call does no harm). */
  handleTimeout(now: number): void {
    const message = this.initiator?.handleTimeout(now);
    if (message !== undefined) this.outgoing = message;
  }

  /** The packet that the last input asked for, once; owned by the handshake and not to be written to. */
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

  /** A packet under the new keys has come, so the last message need not be repeated. */
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
    // What carries the own connection ID as its source was sent by this side, whatever its role is now.
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

  /** An initiator that may respond hears of another's attempt. */
  private compete(now: number, own: HandshakeInitiator, packet: HandshakePacket, bytes: Uint8Array): Outcome {
    const known = this.responders.find((responder) => responder.isFrom(packet));
    if (known !== undefined) return this.hand(known, packet, bytes);
    if (packet.kind === "noise3") return IGNORED;
    const config = this.answeringConfig();
    const verdict = judgeFirst(config, packet);
    if (verdict === "silence") return IGNORED;
    if (verdict !== "answer") return { result: "repeat", reply: noticeFor(config, packet, verdict) };
    const order = compareBytes(packet.tieBreak, own.tieBreak);
    if (order < 0) return { result: "repeat", reply: own.request! };
    if (order === 0) {
      const mayRedraw = own.isOpening && this.responders.length === 0 && this.redraws < REDRAWS_LIMIT;
      if (!mayRedraw) return IGNORED;
      this.redraws++;
      return { result: "repeat", reply: own.redraw(now) };
    }
    const responder = new HandshakeResponder(config);
    const outcome = responder.handlePacket(packet, bytes);
    if (outcome.result !== "advanced") return outcome;
    this.makeRoom();
    this.responders.push(responder);
    // Not even the secret's tag proves that this is no replay, so the path that it came on must not yet take
    // the place of those on which the own attempt goes on.
    return { ...outcome, result: "repeat" };
  }

  /** Gives a packet to the responder that it belongs to, and sees what that means for the whole. */
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
    const unproven = this.responders.findIndex(({ kind }) => kind === "pakeAnswered");
    this.responders.splice(Math.max(0, unproven), 1);
  }

  /** What an initiator answers others with: no more guessing once there was enough of it. */
  private answeringConfig(): HandshakeConfig {
    const { config } = this;
    if (this.guesses < GUESSES_LIMIT) return config;
    const { code: _code, passphrase: _passphrase, ...credentials } = config.credentials;
    return { ...config, credentials };
  }
}

/** Below zero, zero or above: the order of two arrays of the same length, byte by byte. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

/**
 * Selects the path for packets, and limits what is sent to an address that is not validated yet.
 * // RFC 9000 §8.2, §9; docs/protocol.md, "Paths"
 *
 * Either side may migrate (QUIC allows only the client to). Only an authenticated packet with the
 * highest number so far starts a migration. The new path is used at once, but until its challenge
 * is answered it gets no more than three times the bytes received over it. If it never answers, the
 * last validated path is used again.
 *
 * A path may also be probed beside the active one, and used later: the peer follows the first
 * packet that arrives over it. Packets that the peer sent before it knew of the move do not move
 * the connection back.
 */

import { copyBytes, equalBytes } from "../../base/bytes.ts";
import type { Path } from "../../base/path.ts";
import { PATH_TOKEN_BYTES } from "../../wire/frames.ts";

/**
 * Bytes that may be sent to an unvalidated address for each byte received from it.  // RFC 9000 §8
 */
const AMPLIFICATION_LIMIT = 3;
/**
 * Number of probe timeouts after which an unanswered path is given up, and the minimum time.
 * // RFC 9000 §8.2.4
 */
const VALIDATION_PTOS = 3;
const MIN_VALIDATION_MS = 1000;
/** Maximum number of challenges from other paths that wait for a response; more are dropped. */
const RESPONSES_LIMIT = 8;
/** Paths that may be probed beside the active one. */
const PROBES_LIMIT = 4;
/**
 * Minimum and maximum interval of challenges on a path without measurements, and their total
 * duration.
 */
const MIN_PROBE_MS = 100;
const MAX_PROBE_MS = 500;
const PROBE_ENDS_MS = 3000;
/**
 * How long after a response a path may be used without a new challenge, and how many paths are
 * remembered.
 */
const VALIDATED_MS = 60_000;
const VALIDATED_LIMIT = 8;
/** Paths that failed validation and may be tried again. */
const UNTRIED_LIMIT = 4;
/**
 * Number of probe timeouts, and the minimum time, within which the peer is expected to follow a
 * local move.
 */
const FOLLOW_PTOS = 3;
const MIN_FOLLOW_MS = 1000;

interface Challenge {
  readonly path: Path;
  readonly token: Uint8Array;
  nextAtMs: number;
  /**
   * When validation gives up. All challenges until then have the same token, so that a late
   * response counts.
   */
  readonly endsAtMs: number;
  /** Interval of challenges; undefined for the probe timeout at that time. */
  readonly everyMs: number | undefined;
  wanted: boolean;
}

/** A local move that the peer has not been seen to follow. */
interface LocalMove {
  readonly from: Path;
  /** The first packet number that may be sent over the new path. */
  readonly packetNumber: number;
  readonly endsAtMs: number;
}

/** The effect of a packet from a new path on congestion control and MTU. */
export type Move = "none" | "port" | "address";

export class PathControl {
  active: Path;
  isValidated = true;
  migrations = 0;
  /** Paths whose validation failed, to be taken by the owner. */
  readonly abandoned: Path[] = [];
  private readonly random: (byteLength: number) => Uint8Array;
  private readonly isInitiator: boolean;
  private previous: Path | undefined;
  private receivedBytes = 0;
  private sentBytes = 0;
  private challenge: Challenge | undefined;
  private readonly probes: Challenge[] = [];
  private readonly validated: { readonly path: Path; readonly atMs: number }[] = [];
  private localMove: LocalMove | undefined;
  private untried: { readonly path: Path; readonly receivedBytes: number }[] = [];
  private readonly responses: { path: Path; token: Uint8Array }[] = [];

  constructor(path: Path, isInitiator: boolean, random: (byteLength: number) => Uint8Array) {
    this.active = path;
    this.isInitiator = isInitiator;
    this.random = random;
  }

  /** Bytes that may be sent on the active path now. */
  get allowanceBytes(): number {
    if (this.isValidated) return Number.POSITIVE_INFINITY;
    return AMPLIFICATION_LIMIT * this.receivedBytes - this.sentBytes;
  }

  /** An authenticated datagram of `byteLength` bytes arrived over `path`. */
  onReceived(path: Path, byteLength: number): void {
    if (path === this.active) this.receivedBytes += byteLength;
  }

  onSent(byteLength: number): void {
    if (!this.isValidated) this.sentBytes += byteLength;
  }

  /** The newest packet arrived over another path: follows it. Returns what changed. */
  follow(nowMs: number, path: Path, byteLength: number, ptoMs: number): Move {
    if (path === this.active || this.isLeftBehind(nowMs, path)) return "none";
    this.localMove = undefined;
    const move = this.moveTo(path);
    if (path === this.previous || this.hasValidated(nowMs, path)) {
      // The previous path, or one that has answered recently: it is already validated.  // RFC 9000
      // §9.3
      this.migrateTo(path);
      return move;
    }
    this.dropProbe(path);
    this.untried = this.untried.filter((one) => one.path !== path);
    if (this.isValidated) this.previous = this.active;
    else if (this.previous === undefined) this.keepForLater();
    this.active = path;
    this.migrations++;
    this.isValidated = false;
    this.receivedBytes = byteLength;
    this.sentBytes = 0;
    this.challenge = this.newChallenge(nowMs, path, ptoMs);
    return move;
  }

  /**
   * The handshake did not validate the active path, over which `byteLength` bytes arrived, so it
   * must be validated now. If that fails, the `others` that took part in the handshake are tried:
   * the active path may belong to an attacker who copied the peer's last message.
   */
  suspect(nowMs: number, byteLength: number, ptoMs: number, others: readonly Path[] = []): void {
    this.untried = others.map((path) => ({ path, receivedBytes: byteLength }));
    this.isValidated = false;
    this.receivedBytes = byteLength;
    this.sentBytes = 0;
    this.challenge = this.newChallenge(nowMs, this.active, ptoMs);
  }

  /** Starts validation of `path`, active or not. A fifth concurrent probe replaces the first. */
  probe(nowMs: number, path: Path, ptoMs: number): void {
    if (path === this.active) {
      this.challenge ??= this.newChallenge(nowMs, path, ptoMs);
      return;
    }
    if (this.probes.some((one) => one.path === path)) return;
    if (this.probes.length >= PROBES_LIMIT) this.abandoned.push(this.probes.shift()!.path);
    const everyMs = Math.min(Math.max(ptoMs, MIN_PROBE_MS), MAX_PROBE_MS);
    this.probes.push(this.newChallenge(nowMs, path, everyMs, PROBE_ENDS_MS, everyMs));
  }

  /** PATH_CHALLENGE arrived over `path`: its token is returned over the same path. */
  onChallenge(path: Path, token: Uint8Array): void {
    if (this.responses.length < RESPONSES_LIMIT) this.responses.push({ path, token: copyBytes(token) });
  }

  /** PATH_RESPONSE. Returns the path that it validates; undefined if it matches no challenge. */
  onResponse(nowMs: number, token: Uint8Array): Path | undefined {
    const { challenge } = this;
    if (challenge !== undefined && equalBytes(challenge.token, token)) {
      this.challenge = undefined;
      this.isValidated = true;
      this.previous = undefined;
      return challenge.path;
    }
    const index = this.probes.findIndex((one) => equalBytes(one.token, token));
    if (index < 0) return undefined;
    const { path } = this.probes.splice(index, 1)[0]!;
    this.remember(nowMs, path);
    return path;
  }

  /** Whether `path` has answered recently, so that it may be used. */
  hasValidated(nowMs: number, path: Path): boolean {
    return this.validated.some((one) => one.path === path && nowMs - one.atMs < VALIDATED_MS);
  }

  /**
   * Moves to a validated path; the peer follows the first packet that arrives over it.
   * `packetNumber` is the next packet number.
   */
  use(nowMs: number, path: Path, packetNumber: number, ptoMs: number): Move {
    const from = this.active;
    if (path === from) return "none";
    const move = this.moveTo(path);
    if (this.isValidated) this.remember(nowMs, from);
    this.migrateTo(path);
    const endsAtMs = nowMs + Math.max(FOLLOW_PTOS * ptoMs, MIN_FOLLOW_MS);
    this.localMove = { from, packetNumber, endsAtMs };
    return move;
  }

  /**
   * Packets up to this number may have been acknowledged, so the peer knows about a move before it.
   */
  onAcknowledged(largest: number): void {
    if (this.localMove !== undefined && largest >= this.localMove.packetNumber) this.localMove = undefined;
  }

  get timeoutAt(): number {
    let at = this.challenge === undefined ? Number.POSITIVE_INFINITY : this.challenge.nextAtMs;
    for (const probe of this.probes) at = Math.min(at, probe.nextAtMs);
    return at;
  }

  /**
   * Repeats challenges and gives up paths that never answered. Returns whether the active path
   * changed back.
   */
  handleTimeout(nowMs: number, ptoMs: number): Move {
    for (let i = this.probes.length - 1; i >= 0; i--) {
      const probe = this.probes[i]!;
      if (this.renew(nowMs, probe, ptoMs)) continue;
      this.probes.splice(i, 1);
      this.abandoned.push(probe.path);
    }
    const { challenge, previous } = this;
    if (challenge === undefined || this.renew(nowMs, challenge, ptoMs)) return "none";
    this.challenge = undefined;
    const untried = this.isValidated || previous !== undefined ? undefined : this.untried.shift();
    if (untried !== undefined) {
      const move = this.moveTo(untried.path);
      this.abandoned.push(challenge.path);
      this.dropProbe(untried.path);
      this.active = untried.path;
      this.migrations++;
      this.receivedBytes = untried.receivedBytes;
      this.sentBytes = 0;
      this.challenge = this.newChallenge(nowMs, untried.path, ptoMs);
      return move;
    }
    if (!this.isValidated && previous === undefined) {
      // There is no path to return to: keep sending challenges, within the allowance.
      this.challenge = this.newChallenge(nowMs, this.active, ptoMs);
      return "none";
    }
    this.abandoned.push(challenge.path);
    if (this.isValidated || previous === undefined) return "none";
    const move = this.moveTo(previous);
    this.migrateTo(previous);
    return move;
  }

  /** Whether a challenge or response is queued for the active path. */
  get hasFrame(): boolean {
    if (this.challenge?.wanted === true) return true;
    return this.responses.length > 0 && this.responses.some((one) => one.path === this.active);
  }

  /** The next response or challenge for the active path. */
  takeActive(): { isResponse: boolean; token: Uint8Array } | undefined {
    const index = this.responses.findIndex((one) => one.path === this.active);
    if (index >= 0) return { isResponse: true, token: this.responses.splice(index, 1)[0]!.token };
    const { challenge } = this;
    if (challenge?.wanted !== true) return undefined;
    challenge.wanted = false;
    return { isResponse: false, token: challenge.token };
  }

  /** The next response or challenge for another path, which requires its own packet. */
  takeOther(): { path: Path; isResponse: boolean; token: Uint8Array } | undefined {
    const index = this.responses.findIndex((one) => one.path !== this.active);
    if (index >= 0) {
      const [{ path, token }] = this.responses.splice(index, 1) as [{ path: Path; token: Uint8Array }];
      return { path, isResponse: true, token };
    }
    const probe = this.probes.find((one) => one.wanted);
    if (probe === undefined) return undefined;
    probe.wanted = false;
    return { path: probe.path, isResponse: false, token: probe.token };
  }

  /** Removes the probe of a path that becomes active: the active path has its own challenge. */
  private dropProbe(path: Path): void {
    const index = this.probes.findIndex((one) => one.path === path);
    if (index >= 0) this.probes.splice(index, 1);
  }

  /**
   * The active path is abandoned before it was validated. It is tried again if the next one fails
   * as well.
   */
  private keepForLater(): void {
    const receivedBytes = this.allowanceBytes / AMPLIFICATION_LIMIT;
    if (this.untried.length < UNTRIED_LIMIT && receivedBytes > 0) {
      this.untried.unshift({ path: this.active, receivedBytes });
    }
  }

  private remember(nowMs: number, path: Path): void {
    const index = this.validated.findIndex((one) => one.path === path);
    if (index >= 0) this.validated.splice(index, 1);
    else if (this.validated.length === VALIDATED_LIMIT) this.validated.shift();
    this.validated.push({ path, atMs: nowMs });
  }

  /** Returns what a move to `path` changes: another socket may mean another network. */
  private moveTo(path: Path): Move {
    const { address, socket } = this.active;
    return path.address === address && path.socket === socket ? "port" : "address";
  }

  /** Makes `path`, which is validated, the active one. */
  private migrateTo(path: Path): void {
    this.dropProbe(path);
    this.active = path;
    this.migrations++;
    this.isValidated = true;
    this.previous = undefined;
    this.challenge = undefined;
  }

  /**
   * Whether a packet over `path` left before the peer knew of the local move. If both move at once,
   * the initiator's move is used.
   */
  private isLeftBehind(nowMs: number, path: Path): boolean {
    const { localMove } = this;
    if (localMove === undefined || nowMs >= localMove.endsAtMs) return false;
    return this.isInitiator || path === localMove.from;
  }

  private newChallenge(
    nowMs: number,
    path: Path,
    ptoMs: number,
    leastMs: number = MIN_VALIDATION_MS,
    everyMs?: number,
  ): Challenge {
    const token = this.random(PATH_TOKEN_BYTES);
    const endsAtMs = nowMs + Math.max(VALIDATION_PTOS * ptoMs, leastMs);
    return { path, token, nextAtMs: nowMs + ptoMs, endsAtMs, everyMs, wanted: true };
  }

  /** Repeats the challenge when it is due; false if validation gives up. */
  private renew(nowMs: number, challenge: Challenge, ptoMs: number): boolean {
    if (nowMs < challenge.nextAtMs) return true;
    if (nowMs >= challenge.endsAtMs) return false;
    challenge.nextAtMs = Math.min(nowMs + (challenge.everyMs ?? ptoMs), challenge.endsAtMs);
    challenge.wanted = true;
    return true;
  }
}

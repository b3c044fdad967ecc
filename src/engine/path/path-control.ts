/**
 * Which path packets take, and what may be sent to an address before it has proved that it wants it.
 * // RFC 9000 §8.2, §9; docs/protocol.md, "Paths"
 *
 * Either end may move (QUIC lets only the client): only an authenticated packet with the highest number so
 * far starts it. The new path is used at once, but until its challenge is answered it gets no more than
 * three times what came from it; if it never answers, the last path that did is used again.
 *
 * A path may also be tried beside the active one, and then be moved to: the peer follows the first packet
 * that comes over it. What the peer sent before it heard of that is no move back.
 */

import { copyBytes, equalBytes } from "../../base/bytes.ts";
import type { Path } from "../../base/path.ts";
import { PATH_TOKEN_BYTES } from "../../wire/frames.ts";

/** Bytes that may go to an unvalidated address for each that came from it.  // RFC 9000 §8 */
const AMPLIFICATION_LIMIT = 3;
/** Probe timeouts after which an unanswered path is given up, and its shortest time.  // RFC 9000 §8.2.4 */
const VALIDATION_PTOS = 3;
const MIN_VALIDATION_MS = 1000;
/** Challenges of other paths that wait for their answers; more are dropped. */
const RESPONSES_LIMIT = 8;
/** Paths that may be probed beside the active one. */
const PROBES_LIMIT = 4;
/** A path of which nothing is known is asked this often at least and at most, and for so long. */
const MIN_PROBE_MS = 100;
const MAX_PROBE_MS = 500;
const PROBE_ENDS_MS = 3000;
/** A path that has answered may be moved to for this long, and so many of them are remembered. */
const PROVED_MS = 60_000;
const PROVED_LIMIT = 8;
/** Paths that did not prove themselves and may have another turn. */
const UNTRIED_LIMIT = 4;
/** Probe timeouts, and time at least, in which the peer is to follow a move of ours. */
const FOLLOW_PTOS = 3;
const MIN_FOLLOW_MS = 1000;

interface Challenge {
  readonly path: Path;
  readonly token: Uint8Array;
  nextAtMs: number;
  /** When it is given up; every try before then has the same token, so that a late answer counts. */
  readonly endsAtMs: number;
  /** The pause between two tries; undefined for the probe timeout as it is by then. */
  readonly everyMs: number | undefined;
  wanted: boolean;
}

/** A move of ours that the peer has not been seen to follow. */
interface OwnMove {
  readonly from: Path;
  /** The first packet number that may leave over the new path. */
  readonly packetNumber: number;
  readonly endsAtMs: number;
}

/** What a packet from a new path means for congestion control and MTU. */
export type Move = "none" | "port" | "address";

export class PathControl {
  active: Path;
  isValidated = true;
  migrations = 0;
  /** Paths whose challenge was given up, to be taken by the owner. */
  readonly abandoned: Path[] = [];
  private readonly random: (byteLength: number) => Uint8Array;
  private readonly isInitiator: boolean;
  private previous: Path | undefined;
  private receivedBytes = 0;
  private sentBytes = 0;
  private challenge: Challenge | undefined;
  private readonly probes: Challenge[] = [];
  private readonly validated: { readonly path: Path; readonly atMs: number }[] = [];
  private ownMove: OwnMove | undefined;
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

  /** An authenticated datagram of `byteLength` bytes came over `path`. */
  onReceived(path: Path, byteLength: number): void {
    if (path === this.active) this.receivedBytes += byteLength;
  }

  onSent(byteLength: number): void {
    if (!this.isValidated) this.sentBytes += byteLength;
  }

  /** The newest packet came over another path: follow it. Says what changed. */
  follow(nowMs: number, path: Path, byteLength: number, ptoMs: number): Move {
    if (path === this.active || this.isLeftBehind(nowMs, path)) return "none";
    this.ownMove = undefined;
    const move = this.moveTo(path);
    if (path === this.previous || this.hasProved(nowMs, path)) {
      // Where it came from, or has answered already: that address has proved itself.  // RFC 9000 §9.3
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
   * The handshake did not prove the active path, over which `byteLength` bytes came: it has to prove itself. If
   * it never does, `others` that took part in the handshake have their turn: the active one may be that of
   * somebody who copied the peer's last message.
   */
  suspect(nowMs: number, byteLength: number, ptoMs: number, others: readonly Path[] = []): void {
    this.untried = others.map((path) => ({ path, receivedBytes: byteLength }));
    this.isValidated = false;
    this.receivedBytes = byteLength;
    this.sentBytes = 0;
    this.challenge = this.newChallenge(nowMs, this.active, ptoMs);
  }

  /** Asks the peer over `path`, active or not, whether it is there. The fifth at a time takes the place of the first. */
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

  /** PATH_CHALLENGE came over `path`: its token goes back the same way. */
  onChallenge(path: Path, token: Uint8Array): void {
    if (this.responses.length < RESPONSES_LIMIT) this.responses.push({ path, token: copyBytes(token) });
  }

  /** PATH_RESPONSE. Returns the path that it proves, undefined when it answers nothing. */
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

  /** Whether `path` has answered lately, so that it may be moved to. */
  hasProved(nowMs: number, path: Path): boolean {
    return this.validated.some((one) => one.path === path && nowMs - one.atMs < PROVED_MS);
  }

  /**
   * Moves to a path that has proved itself; the peer follows the first packet that comes over it.
   * `packetNumber` is the next that leaves.
   */
  use(nowMs: number, path: Path, packetNumber: number, ptoMs: number): Move {
    const from = this.active;
    if (path === from) return "none";
    const move = this.moveTo(path);
    if (this.isValidated) this.remember(nowMs, from);
    this.migrateTo(path);
    const endsAtMs = nowMs + Math.max(FOLLOW_PTOS * ptoMs, MIN_FOLLOW_MS);
    this.ownMove = { from, packetNumber, endsAtMs };
    return move;
  }

  /** Packets up to this number may have been acknowledged: the peer knows of what they did. */
  onAcknowledged(largest: number): void {
    if (this.ownMove !== undefined && largest >= this.ownMove.packetNumber) this.ownMove = undefined;
  }

  get timeoutAt(): number {
    let at = this.challenge === undefined ? Number.POSITIVE_INFINITY : this.challenge.nextAtMs;
    for (const probe of this.probes) at = Math.min(at, probe.nextAtMs);
    return at;
  }

  /** Repeats challenges and gives up paths that never answered. Says whether the active path changed back. */
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
      // There is nothing to go back to: go on asking, within the allowance.
      this.challenge = this.newChallenge(nowMs, this.active, ptoMs);
      return "none";
    }
    this.abandoned.push(challenge.path);
    if (this.isValidated || previous === undefined) return "none";
    const move = this.moveTo(previous);
    this.migrateTo(previous);
    return move;
  }

  /** Whether a challenge or response waits for a packet on the active path. */
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

  /** The next response or challenge for another path, which takes a packet of its own. */
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

  /** A path that is used is asked by the challenge of the active path. */
  private dropProbe(path: Path): void {
    const index = this.probes.findIndex((one) => one.path === path);
    if (index >= 0) this.probes.splice(index, 1);
  }

  /** The active path has not proved itself and is left: it has another turn when the next one does not either. */
  private keepForLater(): void {
    const receivedBytes = this.allowanceBytes / AMPLIFICATION_LIMIT;
    if (this.untried.length < UNTRIED_LIMIT && receivedBytes > 0) {
      this.untried.unshift({ path: this.active, receivedBytes });
    }
  }

  private remember(nowMs: number, path: Path): void {
    const index = this.validated.findIndex((one) => one.path === path);
    if (index >= 0) this.validated.splice(index, 1);
    else if (this.validated.length === PROVED_LIMIT) this.validated.shift();
    this.validated.push({ path, atMs: nowMs });
  }

  /** What of the present path's measurements is of use on `path`: another socket may be another network. */
  private moveTo(path: Path): Move {
    const { address, socket } = this.active;
    return path.address === address && path.socket === socket ? "port" : "address";
  }

  /** `path`, which has proved itself, is the active one. */
  private migrateTo(path: Path): void {
    this.dropProbe(path);
    this.active = path;
    this.migrations++;
    this.isValidated = true;
    this.previous = undefined;
    this.challenge = undefined;
  }

  /**
   * Whether a packet over `path` left before the peer knew that we had moved. If both move at once, the
   * initiator's move stands.
   */
  private isLeftBehind(nowMs: number, path: Path): boolean {
    const { ownMove } = this;
    if (ownMove === undefined || nowMs >= ownMove.endsAtMs) return false;
    return this.isInitiator || path === ownMove.from;
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

  /** Asks again when it is time; false when the challenge is to be given up. */
  private renew(nowMs: number, challenge: Challenge, ptoMs: number): boolean {
    if (nowMs < challenge.nextAtMs) return true;
    if (nowMs >= challenge.endsAtMs) return false;
    challenge.nextAtMs = Math.min(nowMs + (challenge.everyMs ?? ptoMs), challenge.endsAtMs);
    challenge.wanted = true;
    return true;
  }
}

/**
 * Which path packets take, and what may be sent to an address before it has proved that it wants it.
 * // RFC 9000 §8.2, §9; transport.md R15
 *
 * Either end may move (QUIC lets only the client): only an authenticated packet with the highest number so
 * far starts it. The new path is used at once, but until its challenge is answered it gets no more than
 * three times what came from it; if it never answers, the last path that did is used again.
 */
import { copyBytes, equalBytes } from "../base/bytes.ts";
import { PATH_TOKEN_BYTES } from "../wire/frames.ts";
import type { Path } from "./handshake-route.ts";

/** Bytes that may go to an unvalidated address for each that came from it.  // RFC 9000 §8 */
const AMPLIFICATION_LIMIT = 3;
/** Probe timeouts after which an unanswered path is given up, and its shortest time.  // RFC 9000 §8.2.4 */
const VALIDATION_PTOS = 3;
const VALIDATION_LEAST_MS = 1000;
/** Challenges of other paths that wait for their answers; more are dropped. */
const RESPONSES_LIMIT = 8;
/** Paths that may be probed beside the active one. */
const PROBES_LIMIT = 4;

interface Challenge {
  readonly path: Path;
  token: Uint8Array;
  nextAtMs: number;
  /** When it is given up; every try before then has a token of its own. */
  endsAtMs: number;
  wanted: boolean;
}

/** What a packet from a new path means for congestion control and MTU. */
export type Move = "none" | "port" | "address";

export class PathControl {
  active: Path;
  isValidated = true;
  migrations = 0;
  private readonly random: (byteLength: number) => Uint8Array;
  private previous: Path | undefined;
  private receivedBytes = 0;
  private sentBytes = 0;
  private challenge: Challenge | undefined;
  private readonly probes: Challenge[] = [];
  private readonly responses: { path: Path; token: Uint8Array }[] = [];

  constructor(path: Path, random: (byteLength: number) => Uint8Array) {
    this.active = path;
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
    if (path === this.active) return "none";
    const move: Move = path.address === this.active.address ? "port" : "address";
    if (path === this.previous) {
      // Back where it came from: that address has proved itself.  // RFC 9000 §9.3
      this.use(path);
      return move;
    }
    this.dropProbe(path);
    if (this.isValidated) this.previous = this.active;
    this.active = path;
    this.migrations++;
    this.isValidated = false;
    this.receivedBytes = byteLength;
    this.sentBytes = 0;
    this.challenge = this.newChallenge(nowMs, path, ptoMs);
    return move;
  }

  /** The handshake did not prove the active path, over which `byteLength` bytes came: it has to prove itself. */
  doubt(nowMs: number, byteLength: number, ptoMs: number): void {
    this.isValidated = false;
    this.receivedBytes = byteLength;
    this.sentBytes = 0;
    this.challenge = this.newChallenge(nowMs, this.active, ptoMs);
  }

  /** Asks the peer over `path`, active or not, whether it is there. */
  probe(nowMs: number, path: Path, ptoMs: number): void {
    if (path === this.active) {
      this.challenge ??= this.newChallenge(nowMs, path, ptoMs);
      return;
    }
    if (this.probes.some((one) => one.path === path)) return;
    if (this.probes.length >= PROBES_LIMIT) this.probes.shift();
    this.probes.push(this.newChallenge(nowMs, path, ptoMs));
  }

  /** PATH_CHALLENGE came over `path`: its token goes back the same way. */
  onChallenge(path: Path, token: Uint8Array): void {
    if (this.responses.length < RESPONSES_LIMIT) this.responses.push({ path, token: copyBytes(token) });
  }

  /** PATH_RESPONSE. Returns the path that it proves, undefined when it answers nothing. */
  onResponse(token: Uint8Array): Path | undefined {
    const { challenge } = this;
    if (challenge !== undefined && equalBytes(challenge.token, token)) {
      this.challenge = undefined;
      this.isValidated = true;
      this.previous = undefined;
      return challenge.path;
    }
    const index = this.probes.findIndex((one) => equalBytes(one.token, token));
    return index < 0 ? undefined : this.probes.splice(index, 1)[0]!.path;
  }

  /** Moves to a path that has answered a probe of ours. */
  use(path: Path): Move {
    if (path === this.active) return "none";
    const move: Move = path.address === this.active.address ? "port" : "address";
    this.dropProbe(path);
    this.active = path;
    this.migrations++;
    this.isValidated = true;
    this.previous = undefined;
    this.challenge = undefined;
    return move;
  }

  get timeoutAt(): number {
    let at = this.challenge === undefined ? Number.POSITIVE_INFINITY : this.challenge.nextAtMs;
    for (const probe of this.probes) at = Math.min(at, probe.nextAtMs);
    return at;
  }

  /** Repeats challenges and gives up paths that never answered. Says whether the active path changed back. */
  handleTimeout(nowMs: number, ptoMs: number): Move {
    for (let i = this.probes.length - 1; i >= 0; i--) {
      if (!this.renew(nowMs, this.probes[i]!, ptoMs)) this.probes.splice(i, 1);
    }
    const { challenge, previous } = this;
    if (challenge === undefined || this.renew(nowMs, challenge, ptoMs)) return "none";
    this.challenge = undefined;
    if (this.isValidated) return "none";
    if (previous === undefined) {
      // There is nothing to go back to: go on asking, within the allowance.
      this.challenge = this.newChallenge(nowMs, this.active, ptoMs);
      return "none";
    }
    this.previous = undefined;
    return this.use(previous);
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

  private newChallenge(nowMs: number, path: Path, ptoMs: number): Challenge {
    const endsAtMs = nowMs + Math.max(VALIDATION_PTOS * ptoMs, VALIDATION_LEAST_MS);
    return { path, token: this.random(PATH_TOKEN_BYTES), nextAtMs: nowMs + ptoMs, endsAtMs, wanted: true };
  }

  /** Asks again when it is time; false when the challenge is to be given up. */
  private renew(nowMs: number, challenge: Challenge, ptoMs: number): boolean {
    if (nowMs < challenge.nextAtMs) return true;
    if (nowMs >= challenge.endsAtMs) return false;
    challenge.nextAtMs = Math.min(nowMs + ptoMs, challenge.endsAtMs);
    challenge.wanted = true;
    return true;
  }
}

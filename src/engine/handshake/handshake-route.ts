/**
 * Carries the packets of a handshake over one of several paths: the initiator's candidates are tried one
 * after another, answers go back where the question came from.
 */
import type { Path } from "../../base/path.ts";
import { handshakeKindOf } from "../../wire/handshake-packet.ts";
import { kindOf, PACKET_NOTICE } from "../../wire/packet.ts";
import type { Handshake } from "./handshake.ts";

interface Outgoing {
  buffer: Uint8Array;
  length: number;
  segmentBytes: number;
  path: Path;
}

/** Pause before the next address of the peer is tried as well.  // RFC 8305 §5 */
const CANDIDATE_PAUSE_MS = 250;
/** A secondary path is called so long after the others that their answers come first. */
const SECONDARY_LAG_MS = 50;
/** Paths that were asked beside the one that an answer came over, and still get what follows. */
const OTHERS_LIMIT = 3;
/** Times that they get it, unless we called them ourselves: they may have asked for nothing. */
const OTHERS_TRIES = 2;
/** Paths that are remembered as asked or answered. */
const PATHS_LIMIT = 64;

export class HandshakeRoute {
  private readonly handshake: Handshake;
  private readonly candidates: Path[];
  /** Paths that were called of our own accord, not because somebody called from there. */
  private readonly called: Path[];
  /** Messages since the last answer, the first included. */
  private tries = 0;
  /** Candidates in use, from the first. */
  private started: number;
  private nextCandidateAtMs: number;
  /** Paths that are to carry the connection only if no other does, so they are called last. */
  private readonly secondary: Set<Path> = new Set();
  /** When the message that left over the others leaves over these. */
  private secondaryAtMs: number = Number.POSITIVE_INFINITY;
  /** A secondary path has answered, and the others were called once more for that reason. */
  private hasDeferred = false;
  /** They have had their time: an answer over a secondary path counts. */
  private mayUseSecondary = false;
  private packet: Uint8Array | undefined;
  private targets: Path[] = [];
  /** Paths that our request went to: answers are taken from nowhere else. */
  private readonly asked: Path[] = [];
  /** Paths that our answers went to. */
  private readonly answered: Path[] = [];
  private stopped = false;
  /** A path has proved itself: no other is wanted. */
  private hasAnswer = false;
  /** Times that the present packet was sent, and when last. */
  private sendings = 0;
  private sentAtMs = 0;
  /** Round trip of the last exchange that tells one, −1 before. */
  rttMs = -1;

  constructor(nowMs: number, handshake: Handshake, candidates: readonly Path[]) {
    this.handshake = handshake;
    this.candidates = [...candidates];
    this.called = [...candidates];
    this.started = Math.min(1, candidates.length);
    this.nextCandidateAtMs = candidates.length > 1 ? nowMs + CANDIDATE_PAUSE_MS : Number.POSITIVE_INFINITY;
    if (handshake.role === "initiator") {
      handshake.start(nowMs);
      this.sendToAll(nowMs);
    }
  }

  /** Other paths that our answers went to, the latest first: the peer is at one of them if it is not at `path`. */
  othersAnswered(path: Path): Path[] {
    return this.answered
      .filter((answered) => answered !== path)
      .slice(-OTHERS_LIMIT)
      .reverse();
  }

  /** Whether our answer went to `path` and nowhere else, so that whoever goes on from it is there. */
  isProved(path: Path): boolean {
    return this.answered.length === 1 && this.answered[0] === path;
  }

  /**
   * Whether `path` was called of our own accord. An answer over any other may be a copy, sent by somebody who
   * called from there with another copy.
   */
  hasCalled(path: Path): boolean {
    return this.called.includes(path);
  }

  get timeoutAt(): number {
    return this.stopped
      ? Number.POSITIVE_INFINITY
      : Math.min(this.nextCandidateAtMs, this.secondaryAtMs, this.handshake.timeoutAt);
  }

  /** The peer may be reached over `path` as well: the request goes there at once. */
  addCandidate(path: Path): void {
    if (this.stopped || this.hasAnswer || this.candidates.includes(path)) return;
    // Behind those in use; those that wait keep their turns.
    this.candidates.splice(this.started++, 0, path);
    this.called.push(path);
    this.sendRequest([path]);
  }

  /** As `addCandidate`; but from now on each message leaves over `path` a moment after it left over the others. */
  addSecondary(path: Path): void {
    this.addCandidate(path);
    this.secondary.add(path);
  }

  /** The socket is gone: nothing is sent by it any more. */
  dropCandidates(socket: number): void {
    if (this.hasAnswer) return;
    for (let i = this.candidates.length - 1; i >= 0; i--) {
      if (this.candidates[i]!.socket !== socket) continue;
      this.candidates.splice(i, 1);
      if (i < this.started) this.started--;
    }
    if (this.started === this.candidates.length) this.nextCandidateAtMs = Number.POSITIVE_INFINITY;
  }

  /** A handshake or notice packet came over `path`. */
  handlePacket(nowMs: number, path: Path, bytes: Uint8Array): "ignored" | "advanced" | "repeat" {
    const isNotice = kindOf(bytes[0]!) === PACKET_NOTICE;
    const kind = handshakeKindOf(bytes);
    const answers = isNotice || kind === "pakeAnswer" || kind === "noise2";
    // An answer counts only from an address that was sent a request; case 3 of docs/threat-model.md.
    if (answers && this.handshake.role === "initiator" && !this.asked.includes(path)) return "ignored";
    if (answers && !isNotice && this.isTooEarly(nowMs, path)) return "ignored";
    const outcome = this.handshake.handlePacket(nowMs, bytes);
    if (outcome === "advanced") {
      // Only the answer to a packet that was sent once tells how long it took.  // Karn's rule
      if (this.sendings === 1) this.rttMs = nowMs - this.sentAtMs;

      // This path works: no further ones are needed. But an answer proves who gave it, not where: what somebody
      // copied from his own address must not keep the rest from the peer, so the others that were asked go on.
      this.hasAnswer = true;
      this.secondary.delete(path);
      const others = this.asked.filter((asked) => asked !== path).slice(0, OTHERS_LIMIT);
      this.candidates.splice(0, this.candidates.length, path, ...others);
      this.started = this.candidates.length;
      this.nextCandidateAtMs = Number.POSITIVE_INFINITY;
      this.tries = 1;
    }
    if (outcome === "advanced") this.sendToAll(nowMs);
    else this.sendTo(path);
    return outcome;
  }

  handleTimeout(nowMs: number): void {
    if (nowMs >= this.nextCandidateAtMs) {
      const path = this.candidates[this.started++]!;
      const isLast = this.started === this.candidates.length;
      this.nextCandidateAtMs = isLast ? Number.POSITIVE_INFINITY : nowMs + CANDIDATE_PAUSE_MS;
      this.sendRequest([path]);
    }
    if (nowMs >= this.secondaryAtMs) {
      this.secondaryAtMs = Number.POSITIVE_INFINITY;
      this.mayUseSecondary = this.hasDeferred;
      this.sendRequest(this.inUse.filter((path) => this.secondary.has(path)));
    }
    if (nowMs >= this.handshake.timeoutAt) {
      this.handshake.handleTimeout(nowMs);
      if (this.hasAnswer && this.tries++ === OTHERS_TRIES) this.dropStrangers();
      this.sendToAll(nowMs);
    }
  }

  /** The handshake was moved from outside and may have something to send. */
  onHandshakeChanged(nowMs: number): void {
    this.sendToAll(nowMs);
  }

  pollTransmit(nowMs: number, into: Outgoing): boolean {
    if (this.stopped || this.packet === undefined) return false;
    const path = this.targets.shift();
    if (path === undefined) return false;
    this.sendings++;
    this.sentAtMs = nowMs;
    into.buffer.set(this.packet);
    into.length = this.packet.length;
    into.segmentBytes = this.packet.length;
    into.path = path;
    const list = this.packet === this.handshake.request ? this.asked : this.answered;
    if (!list.includes(path) && list.push(path) > PATHS_LIMIT) list.shift();
    return true;
  }

  stop(): void {
    // A refusal that is still to be sent may leave; nothing new comes after it.
    this.nextCandidateAtMs = Number.POSITIVE_INFINITY;
    this.secondaryAtMs = Number.POSITIVE_INFINITY;
    this.stopped = this.targets.length === 0;
  }

  private dropStrangers(): void {
    const kept = this.candidates.filter((path, index) => index === 0 || this.called.includes(path));
    this.candidates.splice(0, this.candidates.length, ...kept);
    this.started = kept.length;
  }

  /**
   * Whether the answer over `path` is left for later. The peer may have begun to listen between a call over the
   * other paths and the one over a secondary path, so the others are called once more before that one counts.
   */
  private isTooEarly(nowMs: number, path: Path): boolean {
    if (this.hasAnswer || this.mayUseSecondary || !this.secondary.has(path)) return false;
    const { request } = this.handshake;
    if (request === undefined) return false;
    if (!this.hasDeferred) {
      this.hasDeferred = true;
      this.packet = request;
      this.targets = this.inUse.filter((one) => !this.secondary.has(one));
      this.secondaryAtMs = nowMs + SECONDARY_LAG_MS;
    }
    return true;
  }

  /** Sends the message in the air over further paths. */
  private sendRequest(paths: readonly Path[]): void {
    const { request } = this.handshake;
    if (request === undefined) return;
    this.targets = this.packet === request ? [...this.targets, ...paths] : [...paths];
    this.packet = request;
  }

  private get inUse(): Path[] {
    return this.candidates.slice(0, this.started);
  }

  /** Sends what the handshake has to say over every path in use. */
  private sendToAll(nowMs: number): void {
    if (!this.takePacket()) return;
    this.targets = this.inUse;
    if (this.packet !== this.handshake.request) return;
    const first = this.targets.filter((path) => !this.secondary.has(path));
    if (first.length === 0 || first.length === this.targets.length) return;
    this.targets = first;
    this.secondaryAtMs = nowMs + SECONDARY_LAG_MS;
  }

  /** Sends it over one path; calls that came in one batch are answered in the order in which they came. */
  private sendTo(path: Path): void {
    const { packet } = this;
    if (!this.takePacket()) return;
    if (this.packet !== packet) this.targets = [];
    if (!this.targets.includes(path)) this.targets.push(path);
  }

  /** Takes the handshake's next packet; false when it has none. */
  private takePacket(): boolean {
    const packet = this.handshake.pollTransmit();
    if (packet === undefined) return false;
    if (packet !== this.packet) this.sendings = 0;
    this.packet = packet;
    this.secondaryAtMs = Number.POSITIVE_INFINITY;
    return true;
  }
}

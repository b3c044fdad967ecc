/**
 * Carries the packets of a handshake over one of several paths: the initiator's candidates are tried one
 * after another, answers go back where the question came from.
 */
import { PACKET_NOTICE } from "../wire/packet.ts";
import type { Handshake } from "./handshake.ts";

/** How datagrams reach the peer. Interned by the endpoint, so that paths are compared by identity. */
export interface Path {
  readonly address: string;
  readonly port: number;
  /** Index of the endpoint's socket. */
  readonly socket: number;
}

interface Outgoing {
  buffer: Uint8Array;
  length: number;
  segmentBytes: number;
  path: Path;
}

/** Pause before the next address of the peer is tried as well.  // RFC 8305 §5 */
const CANDIDATE_PAUSE_MS = 250;
/** Paths that were asked beside the one that an answer came over, and still get what follows. */
const OTHERS_LIMIT = 3;
/** Times that they get it, unless we called them ourselves: they may have asked for nothing. */
const OTHERS_TRIES = 2;
/** Paths that are remembered as asked or answered. */
const PATHS_LIMIT = 64;
/** Kinds of handshake packet that answer the initiator: pakeAnswer and noise2. */
const ANSWERS: readonly number[] = [1, 3];

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
      this.send(this.inUse);
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
      : Math.min(this.nextCandidateAtMs, this.handshake.timeoutAt);
  }

  /** The peer may be reached over `path` as well: the request goes there at once. */
  addCandidate(nowMs: number, path: Path): void {
    if (this.stopped || this.hasAnswer || this.candidates.includes(path)) return;
    // Behind those in use, before those that wait for their turn.
    this.candidates.splice(this.started, 0, path);
    this.called.push(path);
    this.nextCandidateAtMs = nowMs;
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
    const isNotice = (bytes[0]! & 0xf0) === PACKET_NOTICE;
    const answers = isNotice || ANSWERS.includes(bytes[0]! & 0x0f);
    // security.md, case 3: an answer counts only from where it was asked for.
    if (answers && this.handshake.role === "initiator" && !this.asked.includes(path)) return "ignored";
    const outcome = this.handshake.handlePacket(nowMs, bytes);
    if (outcome === "advanced") {
      // Only the answer to a packet that was sent once tells how long it took.  // Karn's rule
      if (this.sendings === 1) this.rttMs = nowMs - this.sentAtMs;

      // This path works: no further ones are needed. But an answer proves who gave it, not where: what somebody
      // copied from his own address must not keep the rest from the peer, so the others that were asked go on.
      this.hasAnswer = true;
      const others = this.asked.filter((asked) => asked !== path).slice(0, OTHERS_LIMIT);
      this.candidates.splice(0, this.candidates.length, path, ...others);
      this.started = this.candidates.length;
      this.nextCandidateAtMs = Number.POSITIVE_INFINITY;
      this.tries = 1;
    }
    this.send(outcome === "advanced" ? this.inUse : [path]);
    return outcome;
  }

  handleTimeout(nowMs: number): void {
    if (nowMs >= this.nextCandidateAtMs) {
      const path = this.candidates[this.started++]!;
      const isLast = this.started === this.candidates.length;
      this.nextCandidateAtMs = isLast ? Number.POSITIVE_INFINITY : nowMs + CANDIDATE_PAUSE_MS;
      const { request } = this.handshake;
      if (request !== undefined) {
        this.packet = request;
        this.targets = [path];
      }
    }
    if (nowMs >= this.handshake.timeoutAt) {
      this.handshake.handleTimeout(nowMs);
      if (this.hasAnswer && this.tries++ === OTHERS_TRIES) this.dropStrangers();
      this.send(this.inUse);
    }
  }

  /** The handshake was moved from outside and may have something to send. */
  onHandshakeChanged(): void {
    this.send(this.inUse);
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
    this.stopped = this.targets.length === 0;
  }

  private dropStrangers(): void {
    const kept = this.candidates.filter((path, index) => index === 0 || this.called.includes(path));
    this.candidates.splice(0, this.candidates.length, ...kept);
    this.started = kept.length;
  }

  private get inUse(): Path[] {
    return this.candidates.slice(0, this.started);
  }

  private send(targets: Path[]): void {
    const packet = this.handshake.pollTransmit();
    if (packet === undefined) return;
    if (packet !== this.packet) this.sendings = 0;
    this.packet = packet;
    this.targets = targets;
  }
}

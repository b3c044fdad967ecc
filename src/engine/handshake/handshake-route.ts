/**
 * Sends the packets of a handshake over one of several paths. The initiator's candidates are tried
 * one after another; answers return over the path of the request.
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

/** Pause before the next address of the peer is also tried.  // RFC 8305 §5 */
const CANDIDATE_PAUSE_MS = 250;
/** Delay of requests on secondary paths, so that answers over the other paths arrive first. */
const SECONDARY_LAG_MS = 50;
/**
 * Maximum number of paths, beside the answered one, that received a request and also receive later
 * messages.
 */
const OTHERS_LIMIT = 3;
/**
 * How often they receive these, unless the local side called them first: the host there may not
 * have requested anything.
 */
const OTHERS_TRIES = 2;
/** Maximum number of recorded paths on which a request or an answer was sent. */
const PATHS_LIMIT = 64;

export class HandshakeRoute {
  private readonly handshake: Handshake;
  private readonly candidates: Path[];
  /** Paths that the local side called first, not in answer to a request received over them. */
  private readonly called: Path[];
  /** Number of messages since the last answer, the first included. */
  private tries = 0;
  /** Number of candidates in use, from the start of the list. */
  private started: number;
  private nextCandidateAtMs: number;
  /** Paths that carry the connection only if no other path does, so they are called last. */
  private readonly secondary: Set<Path> = new Set();
  /** When the message that was sent over the other paths is sent over the secondary paths. */
  private secondaryAtMs: number = Number.POSITIVE_INFINITY;
  /** A secondary path has answered, and the other paths were therefore called once more. */
  private hasDeferred = false;
  /** The other paths have had enough time: an answer over a secondary path is accepted. */
  private mayUseSecondary = false;
  private packet: Uint8Array | undefined;
  private targets: Path[] = [];
  /** Paths on which a local request was sent. Answers are accepted only from these. */
  private readonly requested: Path[] = [];
  /** Paths on which a local answer was sent. */
  private readonly answered: Path[] = [];
  private stopped = false;
  /** A path has answered: no other is needed. */
  private hasAnswer = false;
  /** How often the present packet was sent, and when last. */
  private sendings = 0;
  private sentAtMs = 0;
  /** Round trip of the last exchange that allows a measurement; −1 before the first. */
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

  /**
   * Other paths on which local answers were sent, the latest first. If the peer is not at `path`,
   * it is at one of these.
   */
  othersAnswered(path: Path): Path[] {
    return this.answered
      .filter((answered) => answered !== path)
      .slice(-OTHERS_LIMIT)
      .reverse();
  }

  /**
   * Whether the local answer was sent to `path` and to no other path, so a peer that continues from
   * the answer is at `path`.
   */
  isValidated(path: Path): boolean {
    return this.answered.length === 1 && this.answered[0] === path;
  }

  /**
   * Whether the local side called `path` first. An answer over any other path may be a copy: an
   * attacker can request it over that path with a copied message.
   */
  hasCalled(path: Path): boolean {
    return this.called.includes(path);
  }

  get timeoutAt(): number {
    return this.stopped
      ? Number.POSITIVE_INFINITY
      : Math.min(this.nextCandidateAtMs, this.secondaryAtMs, this.handshake.timeoutAt);
  }

  /** The peer may also be reachable over `path`: the request is sent there at once. */
  addCandidate(path: Path): void {
    if (this.stopped || this.hasAnswer || this.candidates.includes(path)) return;
    // Insert after the paths in use and before those that wait, whose order is unchanged.
    this.candidates.splice(this.started++, 0, path);
    this.called.push(path);
    this.sendRequest([path]);
  }

  /**
   * Like `addCandidate`, but from now on each message is sent over `path` a moment later than over
   * the other paths.
   */
  addSecondary(path: Path): void {
    this.addCandidate(path);
    this.secondary.add(path);
  }

  /** The socket was closed: nothing is sent from it any more. */
  dropCandidates(socket: number): void {
    if (this.hasAnswer) return;
    for (let i = this.candidates.length - 1; i >= 0; i--) {
      if (this.candidates[i]!.socket !== socket) continue;
      this.candidates.splice(i, 1);
      if (i < this.started) this.started--;
    }
    if (this.started === this.candidates.length) this.nextCandidateAtMs = Number.POSITIVE_INFINITY;
  }

  /** Handles a handshake or notice packet that arrived over `path`. */
  handlePacket(nowMs: number, path: Path, bytes: Uint8Array): "ignored" | "advanced" | "repeat" {
    const isNotice = kindOf(bytes[0]!) === PACKET_NOTICE;
    const kind = handshakeKindOf(bytes);
    const answers = isNotice || kind === "pakeAnswer" || kind === "noise2";
    // An answer counts only from an address to which a request was sent; case 3 of
    // docs/threat-model.md.
    if (answers && this.handshake.role === "initiator" && !this.requested.includes(path)) return "ignored";
    if (answers && !isNotice && this.isTooEarly(nowMs, path)) return "ignored";
    const outcome = this.handshake.handlePacket(nowMs, bytes);
    if (outcome === "advanced") {
      // Only the answer to a packet that was sent once allows a measurement.  // Karn's algorithm
      if (this.sendings === 1) this.rttMs = nowMs - this.sentAtMs;

      // This path works, so no further paths are needed. But an answer authenticates its author,
      // not its source address: a copy sent from an attacker's address must not keep later messages
      // from the peer, so the other requested paths stay in use.
      this.hasAnswer = true;
      this.secondary.delete(path);
      const others = this.requested.filter((requested) => requested !== path).slice(0, OTHERS_LIMIT);
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

  /** The caller changed the handshake, which may have a packet to send. */
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
    const list = this.packet === this.handshake.request ? this.requested : this.answered;
    if (!list.includes(path) && list.push(path) > PATHS_LIMIT) list.shift();
    return true;
  }

  stop(): void {
    // A pending refusal may still be sent; nothing new follows it.
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
   * Whether the answer over `path` is deferred. The peer may have begun to listen after the request
   * on the other paths and before the one on the secondary path, so the other paths are called once
   * more before a secondary path is accepted.
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

  /** Sends the message in flight over further paths. */
  private sendRequest(paths: readonly Path[]): void {
    const { request } = this.handshake;
    if (request === undefined) return;
    this.targets = this.packet === request ? [...this.targets, ...paths] : [...paths];
    this.packet = request;
  }

  private get inUse(): Path[] {
    return this.candidates.slice(0, this.started);
  }

  /** Sends the handshake's next packet over every path in use. */
  private sendToAll(nowMs: number): void {
    if (!this.takePacket()) return;
    this.targets = this.inUse;
    if (this.packet !== this.handshake.request) return;
    const first = this.targets.filter((path) => !this.secondary.has(path));
    if (first.length === 0 || first.length === this.targets.length) return;
    this.targets = first;
    this.secondaryAtMs = nowMs + SECONDARY_LAG_MS;
  }

  /**
   * Sends the next packet over one path. Requests that arrived in one batch are answered in their
   * order of arrival.
   */
  private sendTo(path: Path): void {
    const { packet } = this;
    if (!this.takePacket()) return;
    if (this.packet !== packet) this.targets = [];
    if (!this.targets.includes(path)) this.targets.push(path);
  }

  /** Takes the handshake's next packet; false if there is none. */
  private takePacket(): boolean {
    const packet = this.handshake.pollTransmit();
    if (packet === undefined) return false;
    if (packet !== this.packet) this.sendings = 0;
    this.packet = packet;
    this.secondaryAtMs = Number.POSITIVE_INFINITY;
    return true;
  }
}

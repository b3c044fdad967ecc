/**
 * Two sides that look for each other at a rendezvous point: publishes and receives signals, runs
 * one punching agent for each peer that answers, and reports the working pairs.
 *
 * The initiator publishes its signal once it knows its public address, or after 300 ms. The
 * responder answers each signal once its openings have left (docs/nat-traversal.md). Both publish
 * again when they learn more. A session knows nothing of links: its observer uses the pairs.
 */
import { hkdfSync } from "node:crypto";
import { concatBytes, toHex } from "../base/bytes.ts";
import { LABELS } from "../crypto/labels.ts";
import { guarded } from "../link/fault.ts";
import { PunchAgent } from "../punch/agent.ts";
import type { Candidate } from "../punch/candidate.ts";
import type { PunchFailure, WorkingPair } from "../punch/punch-events.ts";
import { openSignal, sealSignal } from "../punch/sealed-signal.ts";
import { SESSION_NONCE_BYTES, type Signal } from "../wire/signal.ts";
import { PunchDriver, type PunchEvents } from "./punch-driver.ts";
import type {
  RendezvousPoint,
  SignallingChannel,
  SignallingRole,
  Subscription,
} from "./signalling/channel.ts";
import type { OpenedRelay, TraversalContext } from "./traversal.ts";

/** How long the initiator waits for its public address before it publishes without one. */
const GATHER_MS = 300;
/** Changes within this time are published in one signal. */
const TRICKLE_MS = 20;
/** Without a direct path by then, a relay is requested; it has to carry data by 2 s. */
const RELAY_AFTER_MS = 150;
/** Peers served at one rendezvous point at a time. Only a few peers can know the point. */
const SESSIONS_LIMIT = 4;
/** How long an answer may take over the DHT: one put and the peer's next get. */
const SLOW_ANSWER_MS = 8000;
const KEY_BYTES = 32;

export interface SignallingObserver {
  /** Called with each signal of the peer, and again when the peer publishes more. */
  onSignal?(signal: Signal): void;
  /** A pair works. */
  onPair(pair: WorkingPair): void;
  /** The best pair of the race; called again when a better one turns up. */
  onBest(pair: WorkingPair): void;
  /** No direct path was found. */
  onIndirect(reason: PunchFailure): void;
  /** Whether a relay would be useful if no direct path is found soon. */
  wantsRelay(): boolean;
  /** Whether a link uses this socket of the endpoint. */
  isInUse(socket: number): boolean;
  /** An internal fault, reported to the link that the session serves. */
  onFault(fault: unknown): void;
}

export interface SignallingSessionOptions {
  readonly traversal: TraversalContext;
  readonly side: SignallingRole;
  /** The channels that carry its signals. */
  readonly channels: readonly SignallingChannel[];
  readonly watcher: SignallingObserver;
  /** Whether the initiator publishes at once; otherwise both sides wait for `restart` on either side. */
  readonly isEager: boolean;
}

/** The state kept for one peer. */
interface Session {
  readonly key: string;
  readonly point: RendezvousPoint;
  readonly driver: PunchDriver;
  newestS: number;
  hasDirect: boolean;
  readonly relays: OpenedRelay[];
  relayTimer: NodeJS.Timeout | undefined;
}

interface Announcement {
  readonly point: RendezvousPoint;
  readonly subscription: Subscription;
  /** The signal published last, without its time. */
  published: string;
}

export class SignallingSession {
  readonly #options: SignallingSessionOptions;
  readonly #nonce: Uint8Array;
  readonly #announcements: Announcement[] = [];
  readonly #sessions: Map<string, Session> = new Map();
  readonly #endWatch: () => void;
  #publishTimer: NodeJS.Timeout | undefined;
  #publishAtMs = Number.POSITIVE_INFINITY;
  /** Whether this side publishes before it has received a signal. */
  #isPublishing: boolean;
  #isOpen = true;

  constructor(options: SignallingSessionOptions) {
    this.#options = options;
    const { traversal, side } = options;
    this.#nonce = traversal.random(SESSION_NONCE_BYTES);
    this.#isPublishing = side === "initiator" && options.isEager;
    this.#endWatch = traversal.watch(this.#guard(() => this.#handleGathered()));
  }

  /** Joins one more rendezvous point, by all channels unless some are named. */
  join(point: RendezvousPoint, channels: readonly SignallingChannel[] = this.#options.channels): void {
    if (!this.#isOpen) return;
    const { traversal, side } = this.#options;
    for (const channel of channels) {
      const subscription = channel.meet(point, side);
      subscription.onBlob = this.#guard((blob) => this.#handleBlob(point, blob));
      subscription.onTrouble = (error) => traversal.reportTrouble(channel.name, error);
      subscription.onContact = () => traversal.recordContact(channel.name);
      this.#announcements.push({ point, subscription, published: "" });
    }
    if (this.#isPublishing) this.#publishWhenGathered();
  }

  /** Starts a new round with present and future peers, from the addresses known by now. */
  restart(): void {
    if (!this.#isOpen) return;
    this.#isPublishing = true;
    for (const session of this.#sessions.values()) {
      session.hasDirect = false;
      session.driver.agent.restart(this.#options.traversal.now(), false);
      this.#askForRelay(session);
      session.driver.pump();
    }
    this.#publishWhenGathered();
  }

  /** Leaves the rendezvous points; sockets that a link uses stay open. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#publishTimer);
    this.#endWatch();
    for (const session of [...this.#sessions.values()]) this.#endSession(session);
    await Promise.all(this.#announcements.map(({ subscription }) => subscription.close()));
  }

  // ------------------------------------------------------------------ signals

  #publishWhenGathered(): void {
    this.#publishBy(this.#options.traversal.isGathered ? 0 : GATHER_MS);
  }

  #publishBy(delayMs: number): void {
    const atMs = this.#options.traversal.now() + delayMs;
    if (atMs >= this.#publishAtMs) return;
    this.#publishAtMs = atMs;
    clearTimeout(this.#publishTimer);
    const publish = this.#guard(() => this.#publish());
    this.#publishTimer = setTimeout(publish, delayMs);
    this.#publishTimer.unref();
  }

  #publish(): void {
    this.#publishAtMs = Number.POSITIVE_INFINITY;
    const { traversal, side } = this.#options;
    const { candidates: localSignal, behaviour: nat } = traversal;
    let isPublished = false;
    for (const announcement of this.#announcements) {
      const { point, subscription } = announcement;
      const session = this.#latestAt(point);
      const agent = session?.driver.agent;
      // A responder publishes nothing before it has received a signal, and an answer counts only
      // after the openings have left.
      if (!this.#isPublishing && agent?.hasOpened !== true) continue;
      const candidates = [...localSignal, ...relayedCandidates(session)];
      const generation = agent?.generation ?? 1;
      const attempt = agent?.attempt ?? 1;
      const hasOpened = agent?.hasOpened ?? false;
      const summary = JSON.stringify([generation, hasOpened, nat, candidates]);
      if (summary === announcement.published) continue;
      announcement.published = summary;
      isPublished = true;
      const sentAtS = Math.floor(Date.now() / 1000);
      const sessionNonce = this.#nonce;
      const signal: Signal = {
        role: side,
        generation,
        attempt,
        sessionNonce,
        sentAtS,
        nat,
        candidates,
        hasOpened,
      };
      subscription.publish(sealSignal(point.sealKey, traversal.random, signal));
    }
    if (isPublished) traversal.note({ kind: "signal", from: "self", candidates: localSignal.length });
  }

  /**
   * Runs a callback of a timer, channel or promise; a fault in it is reported as one of the
   * session's link.
   */
  #guard<Values extends unknown[]>(work: (...values: Values) => void): (...values: Values) => void {
    return guarded(work, (fault) => this.#options.watcher.onFault(fault));
  }

  /** The session with the peer that published last at a point. */
  #latestAt(point: RendezvousPoint): Session | undefined {
    let latest: Session | undefined;
    for (const session of this.#sessions.values()) if (session.point === point) latest = session;
    return latest;
  }

  #handleBlob(point: RendezvousPoint, blob: Uint8Array): void {
    if (!this.#isOpen) return;
    const { side, traversal } = this.#options;
    const signal = openSignal(point.sealKey, side === "initiator" ? "responder" : "initiator", blob);
    if (signal === undefined) return;
    const key = toHex(signal.sessionNonce);
    const known = this.#sessions.get(key);
    if (known !== undefined && signal.sentAtS < known.newestS) return;
    traversal.note({ kind: "signal", from: "peer", candidates: signal.candidates.length });
    this.#options.watcher.onSignal?.(signal);
    const session = known ?? this.#newSession(key, point, signal);
    session.newestS = signal.sentAtS;
    const { agent } = session.driver;
    if (known !== undefined && signal.generation > agent.generation) {
      // The peer starts anew, so its view of the network may be newer than ours.
      session.hasDirect = false;
      traversal.refresh();
      this.#askForRelay(session);
    }
    agent.setRemote(traversal.now(), signal);
    session.driver.pump();
    // A received signal is answered: by the initiator at once, by the responder when its openings
    // have left.
    if (side === "initiator") {
      this.#isPublishing = true;
      this.#publishWhenGathered();
    }
  }

  /** Handles new knowledge of local addresses. */
  #handleGathered(): void {
    for (const { driver } of this.#sessions.values()) {
      this.#publishLocally(driver.agent);
      driver.pump();
    }
    if (this.#isPublishing || this.#sessions.size > 0) {
      this.#publishBy(this.#options.traversal.isGathered ? TRICKLE_MS : GATHER_MS);
    }
  }

  // ------------------------------------------------------------------ sessions

  #newSession(key: string, point: RendezvousPoint, signal: Signal): Session {
    const { side, traversal, watcher } = this.#options;
    const [oldest] = this.#sessions.values();
    if (oldest !== undefined && this.#sessions.size >= SESSIONS_LIMIT) this.#endSession(oldest);
    const [initiator, responder] =
      side === "initiator" ? [this.#nonce, signal.sessionNonce] : [signal.sessionNonce, this.#nonce];
    const salt = concatBytes(initiator, responder);
    const agent = new PunchAgent({
      role: side,
      checkKey: new Uint8Array(hkdfSync("sha256", point.checkKey, salt, LABELS.checks, KEY_BYTES)),
      random: traversal.random,
      local: traversal.behaviour,
      allowSpray: traversal.options.spray !== false,
      isTicket: this.#options.channels.some(({ name }) => name === "ticket"),
      // On a local network the peer can be reached before it has answered; a DHT alone serves
      // distant peers.
      ...(this.#isSlow && { answerDelayMs: SLOW_ANSWER_MS }),
    });
    this.#publishLocally(agent);
    const driver = new PunchDriver({
      endpoint: traversal.endpoint,
      agent,
      localAddress: traversal.localAddress,
      onEvents: (events) => this.#handleNews(session, events),
      onFreshSockets: (sockets) => traversal.useSockets(sockets),
      isInUse: (socket) => watcher.isInUse(socket),
      onFault: (fault) => {
        this.#endSession(session);
        watcher.onFault(fault);
      },
    });
    const session: Session = {
      key,
      point,
      driver,
      newestS: signal.sentAtS,
      hasDirect: false,
      relays: [],
      relayTimer: undefined,
    };
    this.#sessions.set(key, session);
    this.#askForRelay(session);
    return session;
  }

  /** Whether signals beyond the local network take seconds. */
  get #isSlow(): boolean {
    const { channels } = this.#options;
    return channels.every(({ name }) => name === "dht" || name === "lan");
  }

  #publishLocally(agent: PunchAgent): void {
    const { traversal } = this.#options;
    agent.setLocalBehaviour(traversal.behaviour);
    for (const local of traversal.locals) agent.addLocal(traversal.now(), local);
  }

  #handleNews(session: Session, events: PunchEvents): void {
    const { watcher, traversal } = this.#options;
    switch (events.kind) {
      case "answerReady":
        this.#publishBy(0);
        break;
      case "pair":
        if (events.path !== "relay") session.hasDirect = true;
        traversal.recordPair(events);
        watcher.onPair(events);
        break;
      case "best":
        watcher.onBest(events);
        break;
      case "failed":
        traversal.note({ kind: "indirect", reason: events.reason });
        watcher.onIndirect(events.reason);
        break;
    }
  }

  /** Requests a relay only when a direct path takes long. */
  #askForRelay(session: Session): void {
    const { only } = this.#options.traversal.options;
    clearTimeout(session.relayTimer);
    if (session.relays.length > 0 || only === "direct") return;
    const delayMs = only === "relay" ? 0 : RELAY_AFTER_MS;
    const open = this.#guard(() => this.#openRelays(session));
    session.relayTimer = setTimeout(open, delayMs);
    session.relayTimer.unref();
  }

  #openRelays(session: Session): void {
    const { traversal, side, watcher } = this.#options;
    if (session.hasDirect || !watcher.wantsRelay()) return;
    const isWanted = (): boolean => this.#isOpen && this.#sessions.has(session.key);
    for (const opening of traversal.openRelays(session.point, side)) {
      const use = this.#guard((opened: OpenedRelay | undefined) => {
        if (opened === undefined) return;
        if (isWanted()) this.#useRelay(session, opened);
        else opened.socket.close();
      });
      void opening.then(use);
    }
  }

  #useRelay(session: Session, opened: OpenedRelay): void {
    const { traversal } = this.#options;
    const { socket, onlyPeer, candidate } = opened;
    session.relays.push(opened);
    traversal.endpoint.addSocket(socket);
    const { index, family } = socket;
    const candidates = candidate === undefined ? [] : [candidate];
    const local = { socket: index, family, kind: "relay", candidates } as const;
    session.driver.agent.addLocal(traversal.now(), onlyPeer === undefined ? local : { ...local, onlyPeer });
    session.driver.pump();
    // A relay with an address is useless until the peer has been told the address.
    if (candidate !== undefined) this.#publishBy(TRICKLE_MS);
  }

  #endSession(session: Session): void {
    this.#sessions.delete(session.key);
    clearTimeout(session.relayTimer);
    session.driver.close();
    const { traversal, watcher } = this.#options;
    for (const { socket } of session.relays)
      if (!watcher.isInUse(socket.index)) traversal.endpoint.removeSocket(socket.index);
  }
}

/** The addresses at which relays deliver the peer's packets. */
function relayedCandidates(session: Session | undefined): Candidate[] {
  return (session?.relays ?? []).flatMap(({ candidate }) => (candidate === undefined ? [] : [candidate]));
}

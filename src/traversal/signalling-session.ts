/**
 * Two sides looking for each other at a place: signals out and in, an agent for whoever answers, and the pairs
 * that come of it.
 *
 * The initiator publishes its signal as soon as it knows its public address, or after 300 ms; the responder,
 * who waits, answers each with its own once its openings have left (`docs/nat-traversal.md`). Both publish again
 * when they learn more. A rally knows nothing of links: whoever made it uses the pairs.
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

/** The initiator publishes without its public address after this.  // docs/nat-traversal.md, "Gathering" */
const GATHER_MS = 300;
/** What is learned within this goes into one signal. */
const TRICKLE_MS = 20;
/** Without a direct path by then, a relay is asked for; it has to carry data by 2 s. */
const RELAY_AFTER_MS = 150;
/** Peers at one place that are answered at a time; who knows of the place is trusted to be one of few. */
const SESSIONS_LIMIT = 4;
/** How long an answer may take by the DHT: a put, and the next look of the other side. */
const SLOW_ANSWER_MS = 8000;
const KEY_BYTES = 32;

export interface SignallingObserver {
  /** What a peer tells of itself; again when it knows more. */
  onSignal?(signal: Signal): void;
  /** A pair works. */
  onPair(pair: WorkingPair): void;
  /** The race is over: the pair to be on. Comes again when a better one turns up. */
  onBest(pair: WorkingPair): void;
  /** There is no direct path, as far as could be found out. */
  onIndirect(reason: PunchFailure): void;
  /** Whether a relay would be of use, should no direct path come about soon. */
  wantsRelay(): boolean;
  /** Whether a link uses this socket of the endpoint. */
  isInUse(socket: number): boolean;
  /** A fault showed, for the link that the rally is held for (`fault.ts`). */
  onFault(fault: unknown): void;
}

export interface SignallingSessionOptions {
  readonly traversal: TraversalContext;
  readonly side: SignallingRole;
  /** What its signals travel by. */
  readonly channels: readonly SignallingChannel[];
  readonly watcher: SignallingObserver;
  /** Whether the initiator speaks at once; otherwise both wait for `restart`, of either side. */
  readonly isEager: boolean;
}

/** What is under way with one peer. */
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
  /** What was said last, without the time. */
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
  /** Whether this side speaks without having been spoken to. */
  #isPublishing: boolean;
  #isOpen = true;

  constructor(options: SignallingSessionOptions) {
    this.#options = options;
    const { traversal, side } = options;
    this.#nonce = traversal.random(SESSION_NONCE_BYTES);
    this.#isPublishing = side === "initiator" && options.isEager;
    this.#endWatch = traversal.watch(this.#guard(() => this.#handleGathered()));
  }

  /** Goes to one more place, by every carrier unless told otherwise. */
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

  /** Starts a round with whoever is there, or comes: from the first step, with what is known of the addresses by now. */
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

  /** Leaves the place; sockets that a link uses stay. */
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
      // Who waits has nothing to say before somebody has come, and an answer is none before the openings have left.
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

  /** What is called by timers, carriers and promises: its faults are those of the rally's link. */
  #guard<Values extends unknown[]>(work: (...values: Values) => void): (...values: Values) => void {
    return guarded(work, (fault) => this.#options.watcher.onFault(fault));
  }

  /** The session with whoever came last to a place. */
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
      // The peer begins anew, so its view of the network may be newer than ours.
      session.hasDirect = false;
      traversal.refresh();
      this.#askForRelay(session);
    }
    agent.setRemote(traversal.now(), signal);
    session.driver.pump();
    // Whoever is spoken to answers: the initiator at once, the responder when its openings have left.
    if (side === "initiator") {
      this.#isPublishing = true;
      this.#publishWhenGathered();
    }
  }

  /** More is known of the own addresses than before. */
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
      // Whoever is near is reached without an answer having to cross first: a DHT alone is for those far away.
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

  /** Whether signals beyond this network take seconds. */
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

  /** A relay is asked for only where the direct way takes its time. */
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
    // A relay with an address is of use to the peer only when it is told.
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

/** Where the peer's packets reach this side by its relays. */
function relayedCandidates(session: Session | undefined): Candidate[] {
  return (session?.relays ?? []).flatMap(({ candidate }) => (candidate === undefined ? [] : [candidate]));
}

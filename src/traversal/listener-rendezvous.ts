/**
 * The rendezvous of a listener: it waits at the points of its code and at those that it shares with
 * each paired peer. A peer found there connects to the listener like any other.
 */
import type { SrudpError } from "../base/errors.ts";
import type { KeyPair } from "../crypto/primitives.ts";
import type { ConnectionHandle } from "../link/connection-handle.ts";
import type { Endpoint } from "../link/endpoint.ts";
import type { LinkCore } from "../link/link-core.ts";
import type { ListenOptions } from "../link/link-options.ts";
import type { TicketTerms } from "../link/traversal-options.ts";
import { addShutdownHook } from "../platform/shutdown-hooks.ts";
import { parseCode } from "../wire/code.ts";
import { PathManager } from "./path-manager.ts";
import { FURTHER_SEARCH_MS } from "./rendezvous-attempt.ts";
import { PAIR_SPAN_MS, pointOfTicket, pointsOfCode, pointsOfPair } from "./signalling/rendezvous-point.ts";
import { type SignallingObserver, SignallingSession } from "./signalling-session.ts";
import { TraversalContext } from "./traversal.ts";

/**
 * How often local addresses are refreshed while a person passes a ticket on: often enough to keep
 * NAT mappings alive.
 */
const REFRESH_INTERVAL_MS = 20_000;
/** Peers that the listener waits for by key; each costs one or two rendezvous points. */
const PEERS_LIMIT = 64;

export class ListenerRendezvous implements SignallingObserver {
  readonly #traversal: TraversalContext;
  readonly #pathManagers: Set<PathManager> = new Set();
  #codeSession: SignallingSession | undefined;
  #peerSessions: SignallingSession[] = [];
  /** Counts codes, so that points of a replaced code are discarded. */
  #codeGeneration = 0;
  /** Resolves when the points of the previous code are no longer being derived. */
  #pointsDerived: Promise<void> = Promise.resolve();
  #hourly: NodeJS.Timeout | undefined;
  #ticketSession: SignallingSession | undefined;
  #refreshTimer: NodeJS.Timeout | undefined;
  #joinCode: (() => Promise<void>) | undefined;
  #joinPeers: (() => void) | undefined;
  readonly #endWatch: () => void;
  #isOpen = true;

  constructor(traversal: TraversalContext) {
    this.#traversal = traversal;
    // Points of a server's clock are added to those of the local clock.
    this.#endWatch = traversal.clocks.watch(() => {
      void this.#joinCode?.();
      this.#joinPeers?.();
    });
  }

  /** Why no signalling channel has worked so far; undefined once one has. */
  get failure(): SrudpError | undefined {
    return this.#traversal.failure;
  }

  get counts(): Readonly<Record<string, number>> {
    const sessions = [this.#codeSession, this.#ticketSession, ...this.#peerSessions].filter(
      (session) => session !== undefined,
    );
    return { pathManagers: this.#pathManagers.size, sessions: sessions.length, ...this.#traversal.counts };
  }

  /**
   * Waits at the rendezvous points of `code`, in normal form. Peers that arrived by the previous
   * code may still find better paths. Points are derived for one code at a time and never for a
   * replaced one, because each costs a run of scrypt.
   */
  async setCode(code: string | undefined): Promise<void> {
    const count = ++this.#codeGeneration;
    if (this.#codeSession !== undefined) this.#retire(this.#codeSession);
    this.#codeSession = undefined;
    this.#joinCode = undefined;
    if (code === undefined) return;
    const session = this.#newSession();
    this.#codeSession = session;
    const known = new Set<number>();
    this.#joinCode = () => this.#joinPoints(code, count, session, known);
    await this.#joinCode();
  }

  async #joinPoints(
    code: string,
    count: number,
    session: SignallingSession,
    known: Set<number>,
  ): Promise<void> {
    const earlierWork = this.#pointsDerived;
    let markDerived: () => void = () => undefined;
    this.#pointsDerived = new Promise((resolve) => {
      markDerived = resolve;
    });
    try {
      await earlierWork;
      if (!this.#isOpen || count !== this.#codeGeneration) return;
      for (const nowMs of this.#traversal.clocks.times) {
        for await (const point of pointsOfCode(code, nowMs, known)) {
          if (!this.#isOpen || count !== this.#codeGeneration) return;
          session.join(point);
        }
      }
    } finally {
      markDerived();
    }
  }

  /** Waits at the rendezvous points shared with the peers that have these keys. */
  setPeers(identity: KeyPair, peers: readonly Uint8Array[]): void {
    clearTimeout(this.#hourly);
    for (const session of this.#peerSessions) this.#retire(session);
    this.#peerSessions = [];
    if (!this.#isOpen || peers.length === 0) return;
    const { times } = this.#traversal.clocks;
    for (const peer of peers.slice(0, PEERS_LIMIT)) {
      const session = this.#newSession();
      const known = new Set<number>();
      for (const nowMs of times) {
        for (const point of pointsOfPair(identity, peer, nowMs, known)) session.join(point);
      }
      this.#peerSessions.push(session);
    }
    // Points change every hour, and the nearer neighbouring span every half hour.
    this.#joinPeers = () => this.setPeers(identity, peers);
    const halfMs = PAIR_SPAN_MS / 2;
    this.#hourly = setTimeout(() => this.setPeers(identity, peers), halfMs - (times[0]! % halfMs) + 1);
    this.#hourly.unref();
  }

  /** Makes an offer and waits for a peer that accepts it. */
  setTicket({ psk, expiresAtS }: TicketTerms): void {
    this.#ticketSession = this.#newSession();
    this.#ticketSession.join(pointOfTicket(psk, expiresAtS * 1000));
    // With a ticket the listener publishes first.
    this.#ticketSession.restart();
    this.#refreshTimer = setInterval(() => this.#traversal.refresh(), REFRESH_INTERVAL_MS);
    this.#refreshTimer.unref();
  }

  /** Keeps a link of the listener on its best path from now on. */
  adopt(core: LinkCore, connectionHandle: ConnectionHandle): void {
    clearInterval(this.#refreshTimer);
    const traversal = this.#traversal;
    const pathManager = PathManager.start({
      traversal,
      engine: core.engine,
      connectionHandle,
      onPath: core.onPathMoved,
    });
    core.keeper = pathManager;
    this.#pathManagers.add(pathManager);
    core.notifyWhenOver(() => this.#pathManagers.delete(pathManager));
  }

  onPair(): void {
    // The peer, which found the pair too, connects to it.
  }

  onBest(): void {
    // The peer migrates.
  }

  onIndirect(): void {
    // The peer may use a relay.
  }

  wantsRelay(): boolean {
    return true;
  }

  isInUse(socket: number): boolean {
    for (const pathManager of this.#pathManagers) if (pathManager.isInUse(socket)) return true;
    return false;
  }

  onFault(fault: unknown): void {
    this.#traversal.endpoint.recordFault(fault, undefined);
  }

  /** Stops waiting; existing links continue. */
  close(): void {
    this.#isOpen = false;
    this.#endWatch();
    clearTimeout(this.#hourly);
    clearInterval(this.#refreshTimer);
    this.#codeGeneration++;
    for (const session of [this.#codeSession, this.#ticketSession, ...this.#peerSessions])
      if (session !== undefined) this.#retire(session);
    this.#codeSession = undefined;
    this.#peerSessions = [];
  }

  #newSession(): SignallingSession {
    const traversal = this.#traversal;
    return new SignallingSession({
      traversal,
      side: "responder",
      channels: traversal.channels,
      watcher: this,
      isEager: false,
    });
  }

  /** A peer that has just connected may still be looking for a better path. */
  #retire(session: SignallingSession): void {
    setTimeout(() => void session.close(), FURTHER_SEARCH_MS).unref();
  }
}

/**
 * The rendezvous that a listener's options ask for; it ends with the endpoint. @throws SrudpError
 * ERR_USAGE
 */
export function listenerRendezvousOf(endpoint: Endpoint, options: ListenOptions): ListenerRendezvous {
  const { code, identity, peer = [], meetPeers = [], meet = {} } = options;
  const traversal = new TraversalContext(endpoint, meet, options);
  traversal.start();
  endpoint.whenClosed(() => addShutdownHook(traversal.close()));
  const meetings = new ListenerRendezvous(traversal);
  if (code !== undefined) void meetings.setCode(parseCode(code));
  if (identity !== undefined) meetings.setPeers(identity, [...peer, ...meetPeers]);
  if (meet.ticket?.side === "responder") meetings.setTicket(meet.ticket.terms);
  return meetings;
}

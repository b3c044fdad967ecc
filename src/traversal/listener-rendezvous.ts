/**
 * The meetings of a listener: it waits where whoever has its code will look, and where each peer that it is paired
 * with will. Who comes there finds a path and knocks at the door like everybody else.
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

/** How often the own addresses are looked at while a person carries them: so often that no NAT forgets them. */
const REFRESH_INTERVAL_MS = 20_000;
/** Peers that are waited for by their keys; each costs a place or two. */
const PEERS_LIMIT = 64;

export class ListenerRendezvous implements SignallingObserver {
  readonly #traversal: TraversalContext;
  readonly #pathManagers: Set<PathManager> = new Set();
  #codeSession: SignallingSession | undefined;
  #peerSessions: SignallingSession[] = [];
  /** Counts codes: the places of one that was replaced come too late. */
  #codeGeneration = 0;
  /** Ends when the places of the code before are not being made any more. */
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
    // The places of a server's clock come on top of those of this machine's.
    this.#endWatch = traversal.clocks.watch(() => {
      void this.#joinCode?.();
      this.#joinPeers?.();
    });
  }

  /** Why nobody could be met at all until now; undefined once a carrier has worked. */
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
   * Waits where `code` leads, in normal form; those who came by the one before may still find better paths. The
   * places of one code are made at a time, and none of a code that was replaced meanwhile: each takes scrypt.
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

  /** Waits where the peers with these keys will look. */
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
    // The places change with the hour, and the nearer neighbour with its half.
    this.#joinPeers = () => this.setPeers(identity, peers);
    const halfMs = PAIR_SPAN_MS / 2;
    this.#hourly = setTimeout(() => this.setPeers(identity, peers), halfMs - (times[0]! % halfMs) + 1);
    this.#hourly.unref();
  }

  /** Makes an offer, and waits for whoever takes it up. */
  setTicket({ psk, expiresAtS }: TicketTerms): void {
    this.#ticketSession = this.#newSession();
    this.#ticketSession.join(pointOfTicket(psk, expiresAtS * 1000));
    // Here the one who waits speaks first.
    this.#ticketSession.restart();
    this.#refreshTimer = setInterval(() => this.#traversal.refresh(), REFRESH_INTERVAL_MS);
    this.#refreshTimer.unref();
  }

  /** A link of the listener's: it is kept on the best path from now on. */
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
    // The peer, who found it too, knocks there.
  }

  onBest(): void {
    // The peer moves.
  }

  onIndirect(): void {
    // The peer may come by relay.
  }

  wantsRelay(): boolean {
    return true;
  }

  isInUse(socket: number): boolean {
    for (const pathManager of this.#pathManagers) if (pathManager.isInUse(socket)) return true;
    return false;
  }

  onFault(fault: unknown): void {
    this.#traversal.endpoint.noteFault(fault, undefined);
  }

  /** Waits for nobody any more; links go on. */
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

  /** Whoever has just come may still be looking for a better path. */
  #retire(session: SignallingSession): void {
    setTimeout(() => void session.close(), FURTHER_SEARCH_MS).unref();
  }
}

/** The meetings that a listener's options ask for; they end with the endpoint. @throws SrudpError ERR_USAGE */
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

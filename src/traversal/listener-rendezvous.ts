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
import { SEARCH_ON_MS } from "./rendezvous-attempt.ts";
import { PAIR_SPAN_MS, pointOfTicket, pointsOfCode, pointsOfPair } from "./signalling/rendezvous-point.ts";
import { type SignallingObserver, SignallingSession } from "./signalling-session.ts";
import { TraversalContext } from "./traversal.ts";

/** How often the own addresses are looked at while a person carries them: so often that no NAT forgets them. */
const KEPT_FRESH_MS = 20_000;
/** Peers that are waited for by their keys; each costs a place or two. */
const PEERS_LIMIT = 64;

export class ListenerRendezvous implements SignallingObserver {
  readonly #reach: TraversalContext;
  readonly #keepers: Set<PathManager> = new Set();
  #ofCode: SignallingSession | undefined;
  #ofPeers: SignallingSession[] = [];
  /** Counts codes: the places of one that was replaced come too late. */
  #codes = 0;
  /** Ends when the places of the code before are not being made any more. */
  #placesMade: Promise<void> = Promise.resolve();
  #hourly: NodeJS.Timeout | undefined;
  #ofTicket: SignallingSession | undefined;
  #freshening: NodeJS.Timeout | undefined;
  #joinCode: (() => Promise<void>) | undefined;
  #joinPeers: (() => void) | undefined;
  readonly #endWatch: () => void;
  #isOpen = true;

  constructor(reach: TraversalContext) {
    this.#reach = reach;
    // The places of a server's clock come on top of those of this machine's.
    this.#endWatch = reach.clocks.watch(() => {
      void this.#joinCode?.();
      this.#joinPeers?.();
    });
  }

  /** Why nobody could be met at all until now; undefined once a carrier has worked. */
  get failure(): SrudpError | undefined {
    return this.#reach.failure;
  }

  get counts(): Readonly<Record<string, number>> {
    const rallies = [this.#ofCode, this.#ofTicket, ...this.#ofPeers].filter((rally) => rally !== undefined);
    return { keepers: this.#keepers.size, rallies: rallies.length, ...this.#reach.counts };
  }

  /**
   * Waits where `code` leads, in normal form; those who came by the one before may still find better paths. The
   * places of one code are made at a time, and none of a code that was replaced meanwhile: each takes scrypt.
   */
  async setCode(code: string | undefined): Promise<void> {
    const count = ++this.#codes;
    if (this.#ofCode !== undefined) this.#retire(this.#ofCode);
    this.#ofCode = undefined;
    this.#joinCode = undefined;
    if (code === undefined) return;
    const rally = this.#newRally();
    this.#ofCode = rally;
    const known = new Set<number>();
    this.#joinCode = () => this.#joinPoints(code, count, rally, known);
    await this.#joinCode();
  }

  async #joinPoints(
    code: string,
    count: number,
    rally: SignallingSession,
    known: Set<number>,
  ): Promise<void> {
    const before = this.#placesMade;
    let made: () => void = () => undefined;
    this.#placesMade = new Promise((resolve) => {
      made = resolve;
    });
    try {
      await before;
      if (!this.#isOpen || count !== this.#codes) return;
      for (const nowMs of this.#reach.clocks.times) {
        for await (const point of pointsOfCode(code, nowMs, known)) {
          if (!this.#isOpen || count !== this.#codes) return;
          rally.join(point);
        }
      }
    } finally {
      made();
    }
  }

  /** Waits where the peers with these keys will look. */
  setPeers(identity: KeyPair, peers: readonly Uint8Array[]): void {
    clearTimeout(this.#hourly);
    for (const rally of this.#ofPeers) this.#retire(rally);
    this.#ofPeers = [];
    if (!this.#isOpen || peers.length === 0) return;
    const { times } = this.#reach.clocks;
    for (const peer of peers.slice(0, PEERS_LIMIT)) {
      const rally = this.#newRally();
      const known = new Set<number>();
      for (const nowMs of times) {
        for (const point of pointsOfPair(identity, peer, nowMs, known)) rally.join(point);
      }
      this.#ofPeers.push(rally);
    }
    // The places change with the hour, and the nearer neighbour with its half.
    this.#joinPeers = () => this.setPeers(identity, peers);
    const halfMs = PAIR_SPAN_MS / 2;
    this.#hourly = setTimeout(() => this.setPeers(identity, peers), halfMs - (times[0]! % halfMs) + 1);
    this.#hourly.unref();
  }

  /** Makes an offer, and waits for whoever takes it up. */
  setTicket({ psk, expiresAtS }: TicketTerms): void {
    this.#ofTicket = this.#newRally();
    this.#ofTicket.join(pointOfTicket(psk, expiresAtS * 1000));
    // Here the one who waits speaks first.
    this.#ofTicket.restart();
    this.#freshening = setInterval(() => this.#reach.refresh(), KEPT_FRESH_MS);
    this.#freshening.unref();
  }

  /** A link of the listener's: it is kept on the best path from now on. */
  adopt(core: LinkCore, connectionHandle: ConnectionHandle): void {
    clearInterval(this.#freshening);
    const reach = this.#reach;
    const keeper = new PathManager({
      reach,
      engine: core.engine,
      connectionHandle,
      onPath: core.onPathMoved,
    });
    core.keeper = keeper;
    this.#keepers.add(keeper);
    core.notifyWhenOver(() => this.#keepers.delete(keeper));
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
    for (const keeper of this.#keepers) if (keeper.isInUse(socket)) return true;
    return false;
  }

  onFault(fault: unknown): void {
    this.#reach.endpoint.noteFault(fault, undefined);
  }

  /** Waits for nobody any more; links go on. */
  close(): void {
    this.#isOpen = false;
    this.#endWatch();
    clearTimeout(this.#hourly);
    clearInterval(this.#freshening);
    this.#codes++;
    for (const rally of [this.#ofCode, this.#ofTicket, ...this.#ofPeers])
      if (rally !== undefined) this.#retire(rally);
    this.#ofCode = undefined;
    this.#ofPeers = [];
  }

  #newRally(): SignallingSession {
    const reach = this.#reach;
    return new SignallingSession({
      reach,
      side: "responder",
      channels: reach.channels,
      watcher: this,
      isEager: false,
    });
  }

  /** Whoever has just come may still be looking for a better path. */
  #retire(rally: SignallingSession): void {
    setTimeout(() => void rally.close(), SEARCH_ON_MS).unref();
  }
}

/** The meetings that a listener's options ask for; they end with the endpoint. @throws SrudpError ERR_USAGE */
export function listenerRendezvousOf(endpoint: Endpoint, options: ListenOptions): ListenerRendezvous {
  const { code, identity, peer = [], meetPeers = [], meet = {} } = options;
  const reach = new TraversalContext(endpoint, meet, options);
  endpoint.onClosed = () => addShutdownHook(reach.close());
  const meetings = new ListenerRendezvous(reach);
  if (code !== undefined) void meetings.setCode(parseCode(code));
  if (identity !== undefined) meetings.setPeers(identity, [...peer, ...meetPeers]);
  if (meet.ticket?.side === "responder") meetings.setTicket(meet.ticket.terms);
  return meetings;
}

/**
 * Finds out under which addresses this side may be reached and how its NATs behave, and keeps looking as the
 * network changes. It sends from the endpoint's own sockets, which stay the endpoint's.
 *
 *     start(sockets) ─► onCandidate, onBehaviour as they come ─► ready: worth publishing ─► done: nothing more comes
 *
 * What is known is worth publishing after 300 ms; later finds trickle. `refresh()` begins anew, on the same
 * sockets or, for a fresh attempt, on others.
 */
import type { Candidate } from "../../wire/candidate.ts";
import { type NatBehaviour, UNKNOWN_BEHAVIOUR } from "../../wire/nat-behaviour.ts";
import type { DatagramSocket } from "../datagram-socket.ts";
import { InterfaceWatch } from "./interface-watch.ts";
import { SocketGathering } from "./socket-gathering.ts";
import { type RouteHost, StunClient } from "./stun-client.ts";
import type { StunServer } from "./stun-server.ts";

export interface GathererOptions {
  /** Servers to ask, at most 8 of them; none: only what this machine knows by itself. */
  readonly stunServers: readonly StunServer[];
  /** No name is looked up. */
  readonly isNumeric?: boolean;
}

/** An address that leads to one of the endpoint's sockets. */
export interface SocketCandidate {
  readonly socket: DatagramSocket;
  readonly candidate: Candidate;
}

/** When what was found is published. */
const PUBLISH_AFTER_MS = 300;
/** Asking more would only burden them. */
const SERVERS_LIMIT = 8;

export class Gatherer {
  /** Told of each candidate once in a round, host addresses during `start` itself. */
  onCandidate: ((found: SocketCandidate) => void) | undefined;
  /** Told whenever more is known of the NATs of a family. */
  onBehaviour: ((family: 4 | 6, behaviour: NatBehaviour) => void) | undefined;
  /** Told when this machine's addresses have changed; the caller calls `refresh` when it suits. */
  onNetworkChange: (() => void) | undefined;
  /** Told of a server that did not answer in time, or whose name is unknown, once in a round for each socket. */
  onSilentServer: ((server: StunServer, family: 4 | 6) => void) | undefined;
  /** Resolves when what is known is worth publishing: 300 ms after the start, or sooner when all have answered. */
  ready: Promise<void> = Promise.resolve();
  /** Resolves when nothing more will come in this round, about 5 s after the start at the latest. */
  done: Promise<void> = Promise.resolve();

  readonly #client: StunClient;
  readonly #options: GathererOptions;
  readonly #watch: InterfaceWatch;
  #round: readonly SocketGathering[] = [];
  #publishTimer: NodeJS.Timeout | undefined;
  #endWaiting: (() => void) | undefined;
  #open = true;

  /** @param host gives the gatherer what STUN servers answer to its sockets: the endpoint */
  constructor(host: RouteHost, options: GathererOptions) {
    this.#client = new StunClient(host);
    this.#options = options;
    this.#watch = new InterfaceWatch(() => this.onNetworkChange?.());
  }

  /** Begins a round; what an earlier one found is forgotten. @param sockets relays among them are passed over */
  start(sockets: readonly DatagramSocket[]): void {
    this.#endRound();
    if (!this.#open) return;
    this.#round = sockets.filter((socket) => socket.kind === "udp").map((socket) => this.#gathering(socket));
    const servers = this.#options.stunServers.slice(0, SERVERS_LIMIT);
    const round = this.#round;
    const answered = Promise.all(round.map((gathering) => gathering.ask(servers)));
    this.ready = this.#readyWithin(PUBLISH_AFTER_MS, round, answered);
    this.done = answered.then(async () => void (await Promise.all(round.map((one) => one.probed()))));
  }

  /** Begins anew on the sockets of the last round. */
  refresh(): void {
    this.start(this.#round.map(({ socket }) => socket));
  }

  /** All that is known in this round, by socket. */
  get candidates(): SocketCandidate[] {
    return this.#round.flatMap(({ socket, candidates }) =>
      candidates.map((candidate) => ({ socket, candidate })),
    );
  }

  /** What is known of the NATs of a family. */
  behaviour(family: 4 | 6): NatBehaviour {
    const gathering = this.#round.find(({ socket }) => socket.family === family);
    return gathering?.behaviour ?? UNKNOWN_BEHAVIOUR;
  }

  /** Ends what is under way; the sockets stay open. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#endRound();
    this.#watch.close();
    this.#client.close();
  }

  #gathering(socket: DatagramSocket): SocketGathering {
    const { family } = socket;
    return new SocketGathering(socket, this.#client, this.#options.isNumeric === true, {
      candidate: (candidate) => this.onCandidate?.({ socket, candidate }),
      behaviour: (behaviour) => this.onBehaviour?.(family, behaviour),
      silentServer: (server) => this.onSilentServer?.(server, family),
    });
  }

  #readyWithin(waitMs: number, round: readonly SocketGathering[], answered: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        if (this.#endWaiting !== end) return;
        this.#endWaiting = undefined;
        clearTimeout(this.#publishTimer);
        for (const gathering of round) gathering.conclude();
        resolve();
      };
      this.#endWaiting = end;
      this.#publishTimer = setTimeout(end, waitMs);
      void answered.then(end);
    });
  }

  #endRound(): void {
    for (const gathering of this.#round) gathering.close();
    this.#endWaiting?.();
  }
}

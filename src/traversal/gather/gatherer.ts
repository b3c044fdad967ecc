/**
 * Finds out under which addresses this side may be reached and how its NATs behave, and keeps looking as the
 * network changes. It sends from the endpoint's own sockets, which stay the endpoint's.
 *
 *     start(sockets) ─► onCandidate, onBehaviour as they come ─► ready: worth publishing ─► done: nothing more comes
 *
 * What is known is worth publishing after 300 ms; later finds trickle. `refresh()` begins anew, on the same
 * sockets or, for a fresh attempt, on others.
 */

import { networkInterfaces } from "node:os";
import type { DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import { addressScope } from "../../punch/address-scope.ts";
import type { Candidate } from "../../wire/candidate-codec.ts";
import { type NatBehaviour, UNKNOWN_BEHAVIOUR } from "../../wire/nat-behaviour-codec.ts";
import type { Interfaces } from "./host-candidates.ts";
import { hostCandidates } from "./host-candidates.ts";
import { PortMapper, type RouterLocations } from "./port-mapping/port-mapper.ts";
import type { PortMapping } from "./port-mapping/port-mapping.ts";
import { SocketGathering } from "./socket-gathering.ts";
import { type RouteHost, StunClient } from "./stun-client.ts";
import type { StunServer } from "./stun-server.ts";

export interface GathererOptions {
  /** Servers to ask, at most 8 of them; none: only what this machine knows by itself. */
  readonly stunServers: readonly StunServer[];
  /** No name is looked up. */
  readonly isNumeric?: boolean;
  /** Routers are asked for a public port (PCP, NAT-PMP, UPnP). Default false. */
  readonly portMapping?: boolean;
  /** Where routers are, for tests: they are asked even where this machine has no private address. */
  readonly routers?: RouterLocations;
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
  /** Outlives rounds: a router's port stays as long as its socket. */
  readonly #mappers: Map<DatagramSocket, PortMapper> = new Map();
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
    this.#mapPorts();
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

  /** Ends what is under way and gives routers their ports back, which may take a second; the sockets stay open. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#endRound();
    this.#watch.close();
    this.#client.close();
    await Promise.all([...this.#mappers.values()].map((mapper) => mapper.close()));
    this.#mappers.clear();
  }

  /** Asks routers on behalf of each socket that has a private address, and drops what other sockets had. */
  #mapPorts(): void {
    if (this.#options.portMapping !== true) return;
    for (const [socket, mapper] of this.#mappers) {
      if (this.#round.some((gathering) => gathering.socket === socket)) continue;
      this.#mappers.delete(socket);
      void mapper.close();
    }
    for (const gathering of this.#round) {
      const { socket } = gathering;
      const known = this.#mappers.get(socket);
      if (known !== undefined) {
        tellMapping(gathering, known.mapping);
        void known.refresh();
      } else if (socket.family === 4 && (this.#options.routers !== undefined || hasPrivateAddress(socket))) {
        const mapper = new PortMapper(socket.local.port, this.#options.routers);
        this.#mappers.set(socket, mapper);
        mapper.onMapped = (mapping) =>
          tellMapping(
            this.#round.find((one) => one.socket === socket),
            mapping,
          );
        void mapper.start();
      }
    }
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

function tellMapping(gathering: SocketGathering | undefined, mapping: PortMapping | undefined): void {
  if (mapping === undefined || addressScope(mapping.address) === "unusable") return;
  gathering?.add({ kind: "portMapped", address: mapping.address, port: mapping.port, family: 4 });
}

function hasPrivateAddress({ local }: DatagramSocket): boolean {
  return hostCandidates(local).some(({ address }) => addressScope(address) === "private");
}

/** Node tells nobody of such changes, so they are looked for; a look takes a tenth of a millisecond. */
const LOOK_EVERY_MS = 1000;

export class InterfaceWatch {
  readonly #timer: NodeJS.Timeout;
  #seen: string;

  /** @param onChange called after each change, never at once */
  constructor(
    onChange: () => void,
    look: () => Interfaces = networkInterfaces,
    everyMs: number = LOOK_EVERY_MS,
  ) {
    this.#seen = addressesOf(look());
    this.#timer = setInterval(() => {
      const now = addressesOf(look());
      if (now === this.#seen) return;
      this.#seen = now;
      onChange();
    }, everyMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function addressesOf(interfaces: Interfaces): string {
  return Object.entries(interfaces)
    .flatMap(([name, entries]) => (entries ?? []).map(({ address }) => `${name} ${address}`))
    .sort()
    .join("\n");
}

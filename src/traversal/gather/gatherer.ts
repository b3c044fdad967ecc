/**
 * Finds the addresses at which this side can be reached and how its NATs behave, and keeps watching
 * for network changes. It sends from the endpoint's sockets, which the endpoint owns.
 *
 *     start(sockets) ─► onCandidate, onBehaviour as found ─► ready: worth publishing ─► done: nothing more follows
 *
 * The results so far are worth publishing after 300 ms; later candidates trickle. `refresh()`
 * starts a new round, on the same sockets or, for a new attempt, on others.
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
  /** Servers to ask, at most 8; none: only local knowledge. */
  readonly stunServers: readonly StunServer[];
  /** No name is looked up. */
  readonly isNumeric?: boolean;
  /** Whether routers are asked for a public port (PCP, NAT-PMP, UPnP). Default false. */
  readonly portMapping?: boolean;
  /** Addresses of routers, for tests: asked even where this machine has no private address. */
  readonly routers?: RouterLocations;
}

/** An address that leads to one of the endpoint's sockets. */
export interface SocketCandidate {
  readonly socket: DatagramSocket;
  readonly candidate: Candidate;
}

/** When results are published. */
const PUBLISH_AFTER_MS = 300;
/** More servers would only add load. */
const SERVERS_LIMIT = 8;

export class Gatherer {
  /** Called once a round with each candidate; with host addresses during `start`. */
  onCandidate: ((found: SocketCandidate) => void) | undefined;
  /** Called whenever more is known of the NATs of a family. */
  onBehaviour: ((family: 4 | 6, behaviour: NatBehaviour) => void) | undefined;
  /** Called when this machine's addresses have changed; the caller decides when to `refresh`. */
  onNetworkChange: (() => void) | undefined;
  /**
   * Called with a server that did not answer in time or whose name is unknown, once a round for
   * each socket.
   */
  onSilentServer: ((server: StunServer, family: 4 | 6) => void) | undefined;
  /**
   * Resolves when the results are worth publishing: after 300 ms, or sooner when all servers have
   * answered.
   */
  ready: Promise<void> = Promise.resolve();
  /** Resolves when this round is complete, about 5 s after its start at the latest. */
  done: Promise<void> = Promise.resolve();

  readonly #client: StunClient;
  readonly #options: GathererOptions;
  readonly #watch: InterfaceWatch;
  #round: readonly SocketGathering[] = [];
  /** Outlives rounds: a router's port mapping lasts as long as its socket. */
  readonly #mappers: Map<DatagramSocket, PortMapper> = new Map();
  #publishTimer: NodeJS.Timeout | undefined;
  #endWaiting: (() => void) | undefined;
  #open = true;

  /** @param host passes the STUN answers of its sockets to the gatherer: the endpoint */
  constructor(host: RouteHost, options: GathererOptions) {
    this.#client = new StunClient(host);
    this.#options = options;
    this.#watch = new InterfaceWatch(() => this.onNetworkChange?.());
  }

  /**
   * Starts a round and forgets the results of the previous one. @param sockets relays among them
   * are skipped
   */
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

  /** Starts a round on the sockets of the previous one. */
  refresh(): void {
    this.start(this.#round.map(({ socket }) => socket));
  }

  /** All candidates of this round, by socket. */
  get candidates(): SocketCandidate[] {
    return this.#round.flatMap(({ socket, candidates }) =>
      candidates.map((candidate) => ({ socket, candidate })),
    );
  }

  /** The known behaviour of the NATs of a family. */
  behaviour(family: 4 | 6): NatBehaviour {
    const gathering = this.#round.find(({ socket }) => socket.family === family);
    return gathering?.behaviour ?? UNKNOWN_BEHAVIOUR;
  }

  /** Ends the round and releases port mappings, which may take a second; the sockets stay open. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#endRound();
    this.#watch.close();
    this.#client.close();
    await Promise.all([...this.#mappers.values()].map((mapper) => mapper.close()));
    this.#mappers.clear();
  }

  /** Requests port mappings for each socket with a private address, and drops those of other sockets. */
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

/** Node reports no address changes, so they are polled for; a poll takes 0.1 ms. */
const LOOK_EVERY_MS = 1000;

export class InterfaceWatch {
  readonly #timer: NodeJS.Timeout;
  #seen: string;

  /** @param onChange called after each change, never synchronously */
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

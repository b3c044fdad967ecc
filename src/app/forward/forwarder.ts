/**
 * All forwards to one peer. Local ports are opened once and stay open while links are replaced.
 * Remote ports are requested again on every link.
 */
import { SrudpError } from "../../base/errors.ts";
import { type Address, formatTarget } from "../../link/forward-records.ts";
import { CurrentPeer } from "./current-peer.ts";
import { type Connections, forwardConnection } from "./forward-connection.ts";
import type { ForwardPeer } from "./forward-peer.ts";
import { type ForwardKind, type ForwardSpec, formatDestination } from "./spec.ts";
import { resetSocket } from "./splice.ts";
import { type OpenPort, openStreamPort } from "./stream-port.ts";
import { openUdpPort } from "./udp/udp-port.ts";
import type { ForwardWatcher } from "./watcher.ts";

/** The state of a forward. */
export interface ForwardStatus {
  readonly name: string;
  readonly kind: ForwardKind;
  /**
   * The address of the listening port, here or at the peer, with the port that the system chose for
   * port 0.
   */
  readonly bind: string;
  readonly target: string;
  /** False for a remote port that the peer refused, and while there is no link. */
  readonly isOpen: boolean;
  readonly connections: number;
}

export interface ForwarderWatcher extends ForwardWatcher {
  /** A forward is open. For a remote port, called on every link. */
  forwarding(status: ForwardStatus): void;
}

interface Entry {
  readonly spec: ForwardSpec;
  /** The bound address. */
  bind: Address;
  isOpen: boolean;
  readonly connections: Connections;
  close: () => void;
  count?: () => number;
}

export class Forwarder {
  readonly #watcher: ForwarderWatcher;
  readonly #current: CurrentPeer = new CurrentPeer();
  readonly #entries: Map<string, Entry> = new Map();

  constructor(watcher: ForwarderWatcher) {
    this.#watcher = watcher;
  }

  get status(): ForwardStatus[] {
    return [...this.#entries.values()].map(statusOf);
  }

  /** The numbers of entries it holds, by name. */
  get counts(): Readonly<Record<string, number>> {
    const connections = this.status.reduce((sum, one) => sum + one.connections, 0);
    return { forwards: this.#entries.size, connections, waiting: this.#current.waitingCount };
  }

  /**
   * Adds a forward. A local forward is open when the promise resolves. A remote forward is
   * requested at once if there is a link.
   *
   * @throws SrudpError ERR_USAGE when a forward of that name exists, ERR_FORWARD_BIND,
   * ERR_TARGET_FORBIDDEN
   */
  async add(spec: ForwardSpec): Promise<ForwardStatus> {
    if (this.#entries.has(spec.name)) throw new SrudpError("ERR_USAGE", `${spec.name} is there already`);
    const { bind } = spec;
    const entry: Entry = { spec, bind, isOpen: false, connections: new Set(), close: () => undefined };
    this.#entries.set(spec.name, entry);
    try {
      if (spec.kind === "remote") {
        const { peer } = this.#current;
        if (peer !== undefined) await this.#requestForward(peer, entry);
      } else {
        const port = await this.#open(entry);
        // The forward may have been cancelled, or the forwarder closed, in the meantime.
        if (this.#entries.get(spec.name) !== entry) {
          port.close();
          throw new SrudpError("ERR_FORWARD_BIND", `${spec.name} was cancelled`);
        }
        entry.bind = port.address;
        entry.isOpen = true;
        entry.close = () => port.close();
        this.#watcher.forwarding(statusOf(entry));
      }
    } catch (error) {
      if (this.#entries.get(spec.name) === entry) this.#entries.delete(spec.name);
      throw error;
    }
    return statusOf(entry);
  }

  /**
   * Ends a forward. Existing connections continue. Returns false if there is no forward of that
   * name.
   */
  cancel(name: string): boolean {
    const entry = this.#entries.get(name);
    entry?.close();
    return this.#entries.delete(name);
  }

  /**
   * Sends connections through `peer` until its link ends. Requests that the peer refuses are
   * reported to the watcher.
   */
  use(peer: ForwardPeer): void {
    const { link } = peer;
    // The link has closed already and emits no further close event.
    if (link.closed) return;
    this.#current.set(peer);
    link.once("close", () => {
      if (this.#current.peer !== peer) return;
      this.#current.set(undefined);
      for (const entry of this.#atPeer()) entry.isOpen = false;
    });
    for (const entry of this.#atPeer()) {
      entry.isOpen = false;
      this.#requestForward(peer, entry).catch((error: unknown) => {
        if (!(error instanceof SrudpError)) link.fail(error);
        else if (!link.destroyed)
          this.#watcher.failed({ by: "own", what: "port", target: formatTarget(entry.spec.bind), error });
      });
    }
  }

  /** The forwards whose port the peer opens. */
  #atPeer(): Entry[] {
    return [...this.#entries.values()].filter(({ spec }) => spec.kind === "remote");
  }

  /**
   * Closes all ports. Resets the clients that wait for a link and the SOCKS clients that have not
   * sent a request yet.
   */
  close(): void {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    this.#current.close();
    for (const { close, connections } of entries) {
      close();
      for (const socket of connections) resetSocket(socket);
    }
  }

  #open(entry: Entry): Promise<OpenPort> {
    const { bind, destination } = entry.spec;
    if (bind.kind === "udp" && destination.kind === "udp") {
      return openUdpPort(bind, destination, this.#current, this.#watcher).then((port) => {
        entry.count = () => port.flowCount;
        return port;
      });
    }
    return openStreamPort(
      bind,
      (socket) =>
        void forwardConnection(socket, destination, this.#current, entry.connections, this.#watcher),
    );
  }

  async #requestForward(peer: ForwardPeer, entry: Entry): Promise<void> {
    const { bind, destination } = entry.spec;
    const wanted = [entry.bind];
    // The port that was assigned for port 0 is requested again. If it is taken, any other port is
    // requested.
    if (entry.bind !== bind) wanted.push(bind);
    for (const address of wanted) {
      try {
        const { port, cancel } = await peer.requestForward(address, destination);
        // The forward may have been cancelled in the meantime.
        if (this.#entries.get(entry.spec.name) !== entry) return cancel();
        entry.isOpen = true;
        entry.bind = address.kind === "unix" ? address : { ...address, port };
        entry.close = cancel;
        this.#watcher.forwarding(statusOf(entry));
        return;
      } catch (error) {
        if (address === wanted.at(-1)) throw error;
      }
    }
  }
}

function statusOf({ spec, bind, isOpen, connections, count }: Entry): ForwardStatus {
  return {
    name: spec.name,
    kind: spec.kind,
    bind: formatTarget(bind),
    target: formatDestination(spec.destination),
    isOpen,
    connections: count?.() ?? connections.size,
  };
}

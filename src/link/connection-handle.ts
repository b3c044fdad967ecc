/**
 * A connection's handle at its endpoint. It holds the endpoint's state for the connection and
 * notifies the endpoint of commands to the connection.
 */
import type { Path } from "../base/path.ts";
import type { Transmit } from "../engine/connection/connection.ts";
import type { ConnectionEvent } from "../engine/connection/events.ts";
import { guarded } from "./fault.ts";

/** The connection that the endpoint drives: the engine's `Connection`, or a test fake. */
export interface Drivable {
  readonly state: string;
  /** The destination connection ID of the peer's packets, 8 bytes. */
  readonly connectionId: Uint8Array;
  /** All connection IDs, if there are several. */
  readonly connectionIds?: readonly Uint8Array[];
  /** The path in use. */
  readonly path?: Path | undefined;
  handleDatagram(now: number, path: Path, bytes: Uint8Array): void;
  /** Reports that the machine has slept, so that the state of the path may be stale. */
  handleWake?(now: number): void;
  handleTimeout(now: number): void;
  pollTransmit(now: number, into: Transmit): boolean;
  pollTimeout(): number;
  pollEvent(into: ConnectionEvent): boolean;
}

/** Receives a connection's events: a link, or an attempt to open one. */
export interface ConnectionOwner {
  /** `event` is reused for the next event. The owner may issue commands from this method. */
  handleEvent(event: ConnectionEvent): void;
  /** The endpoint has detached the connection. */
  handleDetached(): void;
  /**
   * Reports a fault that occurred while the connection was served. The fault ends the connection.
   */
  handleFault(fault: unknown): void;
  /** If present, receives datagrams instead of the connection. */
  handleDatagram?(now: number, path: Path, bytes: Uint8Array): void;
}

/** The owner of a new connection, or a function that creates it from the connection's handle. */
export type OwnerOf = ConnectionOwner | ((connectionHandle: ConnectionHandle) => ConnectionOwner);

/** The endpoint, as seen by its handles. */
export interface ConnectionHandleHost {
  now(): number;
  touch(connectionHandle: ConnectionHandle): void;
  flush(): void;
  detach(connectionHandle: ConnectionHandle): void;
  fail(connectionHandle: ConnectionHandle, fault: unknown): void;
  failByListener(connectionHandle: ConnectionHandle, thrown: unknown): void;
}

/**
 * Maximum number of paths kept per connection. Replayed packets from other addresses cannot grow
 * the list beyond it.
 */
const PATHS_LIMIT = 16;

export class ConnectionHandle {
  readonly connection: Drivable;
  owner: ConnectionOwner;
  /** Connection IDs that route to this connection. */
  ids: readonly Uint8Array[];
  /** When `handleTimeout` is due, monotonic milliseconds. */
  deadlineMs: number = Number.POSITIVE_INFINITY;
  /** Queued for draining. */
  dirty = false;
  /** The connection waits until its socket has sent the queued datagrams. */
  blocked = false;
  detached = false;
  /** Called once after the owner, when the endpoint has detached the connection. */
  readonly onDetached: (() => void) | undefined;
  /** The peer has closed the connection, which therefore no longer keeps the process running. */
  ending = false;
  /** A fault has ended the connection. */
  hasFailed = false;

  readonly #host: ConnectionHandleHost;
  readonly #paths: Path[];
  #lastPath: Path | undefined;

  constructor(
    host: ConnectionHandleHost,
    connection: Drivable,
    owner: OwnerOf,
    paths: readonly Path[],
    onDetached?: () => void,
  ) {
    this.onDetached = onDetached;
    this.#host = host;
    this.connection = connection;
    this.ids = [connection.connectionId];
    this.#paths = [...paths];
    this.owner = typeof owner === "function" ? owner(this) : owner;
  }

  /** The endpoint's clock in monotonic milliseconds. It does not advance within a batch. */
  now(): number {
    return this.#host.now();
  }

  /**
   * Must be called after every command to the connection. The endpoint drains the connection soon,
   * once for many commands.
   */
  touch(): void {
    this.#host.touch(this);
  }

  /** Drains the connection now, so that its packets are sent before the process may exit. */
  flush(): void {
    this.#host.flush();
  }

  /** Detaches the connection. It sends nothing more. */
  detach(): void {
    this.#host.detach(this);
  }

  /**
   * Reports a fault that occurred while this connection was served. It ends this connection only
   * (`fault.ts`).
   */
  fail(fault: unknown): void {
    this.#host.fail(this, fault);
  }

  /** Reports an exception of an event listener, which may be the user's. */
  failByListener(thrown: unknown): void {
    this.#host.failByListener(this, thrown);
  }

  /**
   * Wraps `work` for timers and callbacks that serve this connection: its exceptions become faults
   * of the connection.
   */
  guard<Values extends unknown[]>(work: (...values: Values) => void): (...values: Values) => void {
    return guarded(work, (error) => this.fail(error));
  }

  /** The path of the last datagram received. */
  get latestPath(): Path | undefined {
    return this.#lastPath;
  }

  /** The path of a received datagram. Engines compare paths by identity, so each is created once. */
  pathOf(socket: number, address: string, port: number): Path {
    const last = this.#lastPath;
    if (last !== undefined && last.port === port && last.socket === socket && last.address === address)
      return last;
    const paths = this.#paths;
    let path = paths.find(
      (known) => known.port === port && known.address === address && known.socket === socket,
    );
    if (path === undefined) {
      path = { address, port, socket };
      // The path in use is never evicted. Otherwise its next packet would appear to arrive on
      // another path.
      const inUse = this.connection.path;
      if (paths.length >= PATHS_LIMIT) {
        paths.splice(
          paths.findIndex((known) => known !== last && known !== inUse),
          1,
        );
      }
      paths.push(path);
    }
    this.#lastPath = path;
    return path;
  }
}

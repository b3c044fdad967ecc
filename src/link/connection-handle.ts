/**
 * A connection's handle at its endpoint: the endpoint's state for the connection, and how it is notified of commands to
 * the connection.
 */
import type { Path } from "../base/path.ts";
import type { Transmit } from "../engine/connection/connection.ts";
import type { ConnectionEvent } from "../engine/connection/events.ts";
import { guarded } from "./fault.ts";

/** The connection that the endpoint drives: the engine's `Connection`, or a fake of a test. */
export interface Drivable {
  readonly state: string;
  /** The destination connection ID of the peer's packets, 8 bytes. */
  readonly connectionId: Uint8Array;
  /** All connection IDs, if there are more than the first. */
  readonly connectionIds?: readonly Uint8Array[];
  /** The path in use. */
  readonly path?: Path | undefined;
  handleDatagram(now: number, path: Path, bytes: Uint8Array): void;
  /** The machine has slept: the state of the path may be stale. */
  handleWake?(now: number): void;
  handleTimeout(now: number): void;
  pollTransmit(now: number, into: Transmit): boolean;
  pollTimeout(): number;
  pollEvent(into: ConnectionEvent): boolean;
}

/** Receives a connection's events: a link, or an attempt to get one. */
export interface ConnectionOwner {
  /** `event` is reused for the next one. Commands may be given from in here. */
  handleEvent(event: ConnectionEvent): void;
  /** The endpoint has detached the connection. */
  handleDetached(): void;
  /** A fault occurred while the connection was served: ends the connection and reports the fault. */
  handleFault(fault: unknown): void;
  /** If present, receives datagrams instead of the connection. */
  handleDatagram?(now: number, path: Path, bytes: Uint8Array): void;
}

/** The owner of a new connection, or a function that makes it from the connection's handle. */
export type OwnerOf = ConnectionOwner | ((connectionHandle: ConnectionHandle) => ConnectionOwner);

/** The endpoint, as its handles use it. */
export interface ConnectionHandleHost {
  now(): number;
  touch(connectionHandle: ConnectionHandle): void;
  flush(): void;
  detach(connectionHandle: ConnectionHandle): void;
  fail(connectionHandle: ConnectionHandle, fault: unknown): void;
  failByListener(connectionHandle: ConnectionHandle, thrown: unknown): void;
}

/** Paths kept per connection; replayed packets from other addresses cannot grow the list. */
const PATHS_LIMIT = 16;

export class ConnectionHandle {
  readonly connection: Drivable;
  owner: ConnectionOwner;
  /** Connection IDs that route to this connection. */
  ids: readonly Uint8Array[];
  /** When `handleTimeout` is due, monotonic milliseconds. */
  deadlineMs: number = Number.POSITIVE_INFINITY;
  /** Queued to be drained. */
  dirty = false;
  /** Waits until its socket has sent queued datagrams. */
  blocked = false;
  detached = false;
  /** Called once after the owner, when the endpoint has detached the connection. */
  readonly onDetached: (() => void) | undefined;
  /** The peer has closed it; it does not keep the process running any more. */
  ending = false;
  /** A fault has ended it. */
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

  /** The endpoint's clock: monotonic milliseconds, standing still within a batch. */
  now(): number {
    return this.#host.now();
  }

  /** Must be called after every command to the connection. The endpoint drains it soon, once for many commands. */
  touch(): void {
    this.#host.touch(this);
  }

  /** Drains the connection now, so that its packets are sent before the process may exit. */
  flush(): void {
    this.#host.flush();
  }

  /** Detaches the connection; nothing more is sent for it. */
  detach(): void {
    this.#host.detach(this);
  }

  /** A fault occurred while this connection was served: this connection ends, and no other (`fault.ts`). */
  fail(fault: unknown): void {
    this.#host.fail(this, fault);
  }

  /** An event listener threw, perhaps one of the user's. */
  failByListener(thrown: unknown): void {
    this.#host.failByListener(this, thrown);
  }

  /** `work` with its exceptions made faults of this connection: for timers and callbacks that serve it. */
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
      // The path in use is never evicted: its next packet would seem to arrive on another path.
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

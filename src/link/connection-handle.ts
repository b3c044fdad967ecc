/**
 * A connection's place at its endpoint: what the endpoint knows of it, and how commands to the connection
 * are made known to the endpoint.
 */
import type { Path } from "../base/path.ts";
import type { Transmit } from "../engine/connection/connection.ts";
import type { ConnectionEvent } from "../engine/connection/events.ts";
import { guarded } from "./fault.ts";

/** What the endpoint drives: the engine's `Connection`, or a stand-in of a test. */
export interface Drivable {
  readonly state: string;
  /** Eight bytes that the peer puts on its packets. */
  readonly connectionId: Uint8Array;
  /** All such IDs, where there are more than the first. */
  readonly connectionIds?: readonly Uint8Array[];
  /** The path in use. */
  readonly path?: Path | undefined;
  handleDatagram(now: number, path: Path, bytes: Uint8Array): void;
  /** The machine has slept: what was known of the path may be void. */
  handleWake?(now: number): void;
  handleTimeout(now: number): void;
  pollTransmit(now: number, into: Transmit): boolean;
  pollTimeout(): number;
  pollEvent(into: ConnectionEvent): boolean;
}

/** Whoever a connection's events are for at the moment: a link, or who waits for one. */
export interface ConnectionOwner {
  /** `event` is reused for the next one. Commands may be given from in here. */
  handleEvent(event: ConnectionEvent): void;
  /** The connection is over for good and the endpoint has let go of it. */
  handleDetached(): void;
  /** A fault showed while the connection was served: ends it, and tells whoever waits for it. */
  handleFault(fault: unknown): void;
  /** Where it exists, datagrams come here instead of to the connection. */
  handleDatagram?(now: number, path: Path, bytes: Uint8Array): void;
}

/** The owner of a new connection, or a function that makes it from the connection's handle. */
export type OwnerOf = ConnectionOwner | ((connectionHandle: ConnectionHandle) => ConnectionOwner);

/** What an attachment asks of its endpoint. */
export interface ConnectionHandleHost {
  now(): number;
  touch(connectionHandle: ConnectionHandle): void;
  flush(): void;
  detach(connectionHandle: ConnectionHandle): void;
  fail(connectionHandle: ConnectionHandle, fault: unknown): void;
  failByListener(connectionHandle: ConnectionHandle, thrown: unknown): void;
}

/** Paths that one connection is remembered on; someone who replays its packets cannot grow the list. */
const PATHS_LIMIT = 16;

export class ConnectionHandle {
  readonly connection: Drivable;
  owner: ConnectionOwner;
  /** IDs that the endpoint finds this connection by. */
  ids: readonly Uint8Array[];
  /** When the connection wants `handleTimeout`, monotonic milliseconds. */
  deadlineMs: number = Number.POSITIVE_INFINITY;
  /** Touched, and waiting for its turn. */
  dirty = false;
  /** Waits until its socket has passed queued datagrams on. */
  blocked = false;
  detached = false;
  /** Called once after the owner, when the endpoint has detached the connection. */
  readonly onDetached: (() => void) | undefined;
  /** The peer ended it: no reason any more to keep the process running. */
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

  /** After every command to the connection: what follows from it is done soon, and once for many. */
  touch(): void {
    this.#host.touch(this);
  }

  /** Does at once what is due, so that it has left before the process may end. */
  flush(): void {
    this.#host.flush();
  }

  /** Lets the connection go as it is; nothing further is sent for it. */
  detach(): void {
    this.#host.detach(this);
  }

  /** A fault showed while this connection was served: it ends, and no other (`fault.ts`). */
  fail(fault: unknown): void {
    this.#host.fail(this, fault);
  }

  /** A listener threw, perhaps one of the user's. */
  failByListener(thrown: unknown): void {
    this.#host.failByListener(this, thrown);
  }

  /** `work` with its exceptions made faults of this connection: for timers and callbacks that serve it. */
  guard<Values extends unknown[]>(work: (...values: Values) => void): (...values: Values) => void {
    return guarded(work, (error) => this.fail(error));
  }

  /** The path of the datagram that came last. */
  get latestPath(): Path | undefined {
    return this.#lastPath;
  }

  /** The path that a datagram came on; engines compare paths by identity, so each is made once. */
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
      // The path in use is never forgotten: its next packet would seem to come over another one.
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

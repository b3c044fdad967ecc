/**
 * The endpoint owns the UDP sockets and one timer. It dispatches datagrams to connections and
 * drives the connections. Only the endpoint performs *mutate → drain transmits → re-arm the timer →
 * drain events*.
 *
 * Work is batched. A received datagram is passed to its connection at once. The results of a whole
 * batch (acknowledgements, packets to send, the timer, events) are handled once, in the following
 * `setImmediate`, and so are commands of the application. A batch uses one reading of the clock.
 *
 * Read `connection-handle.ts` first. `batch-sender.ts` sends the packets.
 */

import { copyBytes, readU48 } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import type { Path } from "../base/path.ts";
import type { Transmit } from "../engine/connection/connection.ts";
import { type ConnectionEvent, EVENT } from "../engine/connection/events.ts";
import { DeadlineTimer } from "../platform/deadline-timer.ts";
import { SLEPT_MS, SleepWatch } from "../platform/sleep-watch.ts";
import { familyOf, type RemoteAddress } from "../platform/udp/address.ts";
import { BatchSender } from "../platform/udp/batch-sender.ts";
import type { DatagramHandler, DatagramSocket } from "../platform/udp/datagram-socket.ts";
import { destinationIdAt, strideOf } from "../wire/datagram.ts";
import {
  CONNECTION_ID_BYTES,
  DATA_DESTINATION_ID_AT,
  isDataPacket,
  isIdAt,
  kindOf,
  PACKET_DATA,
  PACKET_HANDSHAKE,
  packetBytesOf,
} from "../wire/packet.ts";
import {
  ConnectionHandle,
  type ConnectionHandleHost,
  type Drivable,
  type OwnerOf,
} from "./connection-handle.ts";
import { type FaultHandler, throwLater } from "./fault.ts";

/** The source of a datagram, and the socket that received it. */
export interface DatagramOrigin {
  readonly socket: DatagramSocket;
  readonly address: string;
  readonly port: number;
}

/**
 * Handles a datagram of another protocol on the same socket. Returns false if the datagram does not
 * belong to that protocol.
 */
export type ProtocolHandler = (now: number, from: DatagramOrigin, bytes: Uint8Array) => boolean;

interface Route {
  readonly minFirstByte: number;
  readonly maxFirstByte: number;
  readonly handle: ProtocolHandler;
}

/**
 * Receives the first message of a handshake, which does not carry a connection ID of this side yet.
 */
export type FirstMessageHandler = (now: number, from: DatagramOrigin, bytes: Uint8Array) => void;

/** Maximum number of rounds of commands and events before other I/O gets a turn. */
const ROUNDS_LIMIT = 8;

const NOWHERE: Path = { address: "", port: 0, socket: -1 };

export class Endpoint implements ConnectionHandleHost {
  /** Datagrams of unknown connections or unknown protocols. */
  strayDatagrams = 0;
  /** Number of faults, both of connections and of datagrams without a connection. */
  faults = 0;

  /** Indexed by the socket index of a path. The slot of a closed socket stays empty. */
  readonly #slots: (DatagramSocket | undefined)[] = [];
  readonly #routes: Route[] = [];
  #firstMessageHandler: FirstMessageHandler | undefined;
  readonly #whenClosed: (() => void)[] = [];
  readonly #connectionHandles: Set<ConnectionHandle> = new Set();
  /**
   * Keyed by the first 48 of the 64 bits of each connection ID, which a number represents exactly.
   */
  readonly #byId: Map<number, ConnectionHandle> = new Map();
  /**
   * The connection of the previous datagram. Most datagrams belong to the same connection as the
   * one before.
   */
  #latest: ConnectionHandle | undefined;
  #dirty: ConnectionHandle[] = [];
  #spare: ConnectionHandle[] = [];
  #scheduled = false;
  #flushing = false;
  #batchNowMs = 0;
  readonly #timer: DeadlineTimer = new DeadlineTimer(() => this.#handleDue());
  readonly #sender: BatchSender = new BatchSender();
  readonly #transmit: Transmit = { buffer: this.#sender.buffer, length: 0, segmentBytes: 0, path: NOWHERE };
  readonly #sleepWatch: SleepWatch = new SleepWatch();
  readonly #event: ConnectionEvent = { kind: 0, streamId: -1, errorCode: 0 };
  #someBlocked = false;
  #listening = false;
  /** Whether this endpoint keeps the process running. */
  #isHeld = true;
  #open = true;

  readonly #onFault: FaultHandler | undefined;

  /**
   * @param sockets bound already, at least one; the endpoint closes them
   * @param onFault called with each fault; if present, exceptions of listeners are faults too
   */
  constructor(sockets: readonly DatagramSocket[], onFault?: FaultHandler) {
    this.#onFault = onFault;
    for (const socket of sockets) this.addSocket(socket);
  }

  /** The sockets that are open. */
  get sockets(): readonly DatagramSocket[] {
    return this.#slots.filter((socket) => socket !== undefined);
  }

  /** The socket of a path's index, or undefined once it is closed. */
  socketAt(index: number): DatagramSocket | undefined {
    return this.#slots[index];
  }

  /** Takes ownership of another socket. Paths name it by its `index` from now on. */
  addSocket(socket: DatagramSocket): void {
    socket.index = this.#slots.length;
    socket.onDatagram = this.#onDatagram;
    socket.onSent = this.#onSent;
    this.#slots.push(socket);
    if (this.#open) socket.holdProcess(this.#isHeld);
    else socket.close();
  }

  /** Closes a socket. Connections that still use it send nothing. */
  removeSocket(index: number): void {
    const socket = this.#slots[index];
    if (socket === undefined) return;
    this.#slots[index] = undefined;
    socket.close();
    this.#unblock();
  }

  /**
   * Routes datagrams whose first byte is in a range to another protocol on these sockets: STUN, or
   * the connectivity checks of hole punching. Handlers are called in order, and only if no
   * connection accepted the datagram.
   *
   * @returns a function that removes the route
   */
  route(minFirstByte: number, maxFirstByte: number, handle: ProtocolHandler): () => void {
    const route = { minFirstByte, maxFirstByte, handle };
    this.#routes.push(route);
    return () => {
      const index = this.#routes.indexOf(route);
      if (index >= 0) this.#routes.splice(index, 1);
    };
  }

  /**
   * Routes the first message of each handshake to `handle`, for a listener or for a connector that
   * also accepts calls.
   *
   * @returns a function that removes the handler
   * @throws TypeError if there is a handler already
   */
  acceptFirstMessages(handle: FirstMessageHandler): () => void {
    if (this.#firstMessageHandler !== undefined) throw new TypeError("first messages have a handler already");
    this.#firstMessageHandler = handle;
    return () => {
      if (this.#firstMessageHandler === handle) this.#firstMessageHandler = undefined;
    };
  }

  /** Calls `closed` once when the endpoint has closed. */
  whenClosed(closed: () => void): void {
    this.#whenClosed.push(closed);
  }

  /** The numbers of entries it holds, by name. */
  get counts(): Readonly<Record<string, number>> {
    return {
      connectionHandles: this.#connectionHandles.size,
      connectionIds: this.#byId.size,
      routes: this.#routes.length,
      sockets: this.sockets.length,
    };
  }

  get localAddresses(): RemoteAddress[] {
    return this.sockets.map((socket) => socket.local);
  }

  /**
   * Monotonic milliseconds. Within a batch, only received datagrams and sent bursts advance the
   * clock.
   */
  now(): number {
    return this.#batchNowMs !== 0 ? this.#batchNowMs : performance.now();
  }

  /** Keeps the sockets open, and the process running, even without a connection. */
  setListening(listening: boolean): void {
    this.#listening = listening;
    this.#settle();
  }

  /**
   * Starts to drive `connection`. Returns undefined when its connection ID collides with that of
   * another connection; the caller then generates a new one.
   */
  attach(
    connection: Drivable,
    owner: OwnerOf,
    paths: readonly Path[],
    onDetached?: () => void,
  ): ConnectionHandle | undefined {
    const key = readU48(connection.connectionId, 0);
    if (this.#byId.has(key)) return undefined;
    const connectionHandle = new ConnectionHandle(this, connection, owner, paths, onDetached);
    this.#connectionHandles.add(connectionHandle);
    this.#byId.set(key, connectionHandle);
    this.#settle();
    this.touch(connectionHandle);
    return connectionHandle;
  }

  detach(connectionHandle: ConnectionHandle): void {
    if (connectionHandle.detached) return;
    connectionHandle.detached = true;
    this.#connectionHandles.delete(connectionHandle);
    for (const id of connectionHandle.ids) this.#byId.delete(readU48(id, 0));
    if (this.#latest === connectionHandle) this.#latest = undefined;
    try {
      connectionHandle.owner.handleDetached();
    } catch (fault) {
      this.recordFault(fault, connectionHandle.latestPath);
    }
    connectionHandle.onDetached?.();
    this.#settle();
  }

  /**
   * Ends the connection of `connectionHandle` because of a fault. A connection whose close fails as
   * well is detached without one.
   */
  fail(connectionHandle: ConnectionHandle, fault: unknown): void {
    // A fault that was already converted to an error may return, from a promise or from an `error`
    // event without a listener.
    if (connectionHandle.hasFailed && fault instanceof SrudpError) return;
    this.recordFault(fault, connectionHandle.latestPath);
    if (connectionHandle.detached || connectionHandle.hasFailed) return;
    connectionHandle.hasFailed = true;
    try {
      connectionHandle.owner.handleFault(fault);
    } catch (another) {
      this.recordFault(another, connectionHandle.latestPath);
      this.detach(connectionHandle);
    }
    this.touch(connectionHandle);
  }

  /**
   * Like `fail`, for a connection that threw while it was driven. After the second fault it is
   * detached.
   */
  #failDriven(connectionHandle: ConnectionHandle, fault: unknown): void {
    const isSecond = connectionHandle.hasFailed;
    this.fail(connectionHandle, fault);
    if (isSecond) this.detach(connectionHandle);
  }

  /**
   * Reports an exception of a listener of a link, or of this endpoint's listener (without
   * `connectionHandle`).
   */
  failByListener(connectionHandle: ConnectionHandle | undefined, thrown: unknown): void {
    if (this.#onFault === undefined) throwLater(thrown);
    else if (connectionHandle === undefined) this.recordFault(thrown, undefined);
    else this.fail(connectionHandle, thrown);
  }

  /** Counts and reports a fault that ends no connection. */
  recordFault(fault: unknown, from: { readonly address: string; readonly port: number } | undefined): void {
    this.faults++;
    const remote = from && { address: from.address, port: from.port, family: familyOf(from.address) };
    this.#onFault?.(fault, remote);
  }

  /** Delivers `bytes` that contain no connection ID to the connection of `connectionHandle`. */
  deliver(connectionHandle: ConnectionHandle, now: number, from: DatagramOrigin, bytes: Uint8Array): void {
    this.#dispatch(connectionHandle, now, from.socket, from.address, from.port, bytes);
  }

  touch(connectionHandle: ConnectionHandle): void {
    if (connectionHandle.dirty || connectionHandle.detached) return;
    connectionHandle.dirty = true;
    this.#dirty.push(connectionHandle);
    this.#schedule();
  }

  /** Drains all touched connections until no work is left or the limit of rounds is reached. */
  flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#batchNowMs = performance.now();
    try {
      for (let round = 0; this.#dirty.length > 0 && round < ROUNDS_LIMIT; round++) this.#drainRound();
    } finally {
      this.#flushing = false;
      this.#batchNowMs = 0;
      if (this.#dirty.length > 0) this.#schedule();
    }
  }

  /** Detaches every connection and closes the sockets. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#listening = false;
    this.#firstMessageHandler = undefined;
    this.#timer.stop();
    for (const connectionHandle of [...this.#connectionHandles]) this.detach(connectionHandle);
    for (const socket of this.sockets) socket.close();
    this.#routes.length = 0;
    for (const closed of this.#whenClosed.splice(0)) closed();
  }

  readonly #onDatagram: DatagramHandler = (socket, address, port, bytes) => {
    try {
      this.#receive(socket, address, port, bytes);
    } catch (fault) {
      // The fault comes from a first message or another protocol. It ends no link, and an
      // unauthenticated sender must not end the process.
      this.recordFault(fault, { address, port });
    }
  };
  readonly #onSent = (): void => this.#unblock();

  /**
   * Handles one buffer of a socket: usually one datagram, or several that the kernel has coalesced.
   */
  #receive(socket: DatagramSocket, address: string, port: number, bytes: Uint8Array): void {
    const stride = socket.isCoalescing === true ? strideOf(bytes) : bytes.length;
    if (stride >= bytes.length) {
      this.#receiveOne(socket, address, port, bytes);
      return;
    }
    for (let at = 0, end = 0; at < bytes.length; at = end) {
      end = Math.min(at + stride, bytes.length);
      const connectionHandle = isWhole(bytes, at, end)
        ? this.#find(bytes, at + DATA_DESTINATION_ID_AT)
        : undefined;
      if (connectionHandle === undefined) {
        this.#receiveOne(socket, address, port, bytes.subarray(at, end));
        continue;
      }
      // Consecutive packets of one connection are delivered together.
      while (end < bytes.length) {
        const next = Math.min(end + stride, bytes.length);
        if (!isWhole(bytes, end, next) || !isIdOf(connectionHandle, bytes, end + DATA_DESTINATION_ID_AT))
          break;
        end = next;
      }
      this.#dispatch(connectionHandle, this.#beginBatch(), socket, address, port, bytes.subarray(at, end));
    }
  }

  #receiveOne(socket: DatagramSocket, address: string, port: number, datagram: Uint8Array): void {
    const idAt = destinationIdAt(datagram);
    const kind = idAt < 0 ? undefined : kindOf(datagram[0]!);
    // Handlers of handshakes and other protocols may keep the bytes, but the socket reuses its
    // buffer.
    const bytes = kind === PACKET_DATA || socket.isCoalescing !== true ? datagram : copyBytes(datagram);
    const connectionHandle = idAt < 0 ? undefined : this.#find(bytes, idAt);
    if (
      connectionHandle === undefined &&
      kind === PACKET_HANDSHAKE &&
      this.#firstMessageHandler !== undefined &&
      isZero(bytes, idAt)
    ) {
      this.#firstMessageHandler(this.#beginBatch(), { socket, address, port }, bytes);
      return;
    }
    if (connectionHandle === undefined) this.#dispatchToRoutes(socket, address, port, bytes);
    else this.#dispatch(connectionHandle, this.#beginBatch(), socket, address, port, bytes);
  }

  #dispatchToRoutes(socket: DatagramSocket, address: string, port: number, bytes: Uint8Array): void {
    const first = bytes[0];
    if (first !== undefined) {
      for (const { minFirstByte, maxFirstByte, handle } of this.#routes) {
        if (first < minFirstByte || first > maxFirstByte) continue;
        if (handle(this.#beginBatch(), { socket, address, port }, bytes)) return;
      }
    }
    this.strayDatagrams++;
  }

  /**
   * Reads the clock for a received datagram. The flush that follows ends the batch. Each datagram
   * gets its own reading: on a busy machine the process may stall within a batch. A datagram that
   * arrived during the stall would then yield a round trip below the real minimum, and congestion
   * control would use that minimum for ten seconds.
   */
  #beginBatch(): number {
    if (this.#batchNowMs === 0) this.#schedule();
    this.#batchNowMs = performance.now();
    return this.#batchNowMs;
  }

  #dispatch(
    connectionHandle: ConnectionHandle,
    now: number,
    socket: DatagramSocket,
    address: string,
    port: number,
    bytes: Uint8Array,
  ): void {
    const path = connectionHandle.pathOf(socket.index, address, port);
    const { owner } = connectionHandle;
    try {
      if (owner.handleDatagram !== undefined) owner.handleDatagram(now, path, bytes);
      else connectionHandle.connection.handleDatagram(now, path, bytes);
    } catch (fault) {
      this.#failDriven(connectionHandle, fault);
    }
    this.touch(connectionHandle);
  }

  #find(bytes: Uint8Array, at: number): ConnectionHandle | undefined {
    const latest = this.#latest;
    if (latest !== undefined && isIdOf(latest, bytes, at)) return latest;
    const connectionHandle = this.#byId.get(readU48(bytes, at));
    if (connectionHandle === undefined || !isIdOf(connectionHandle, bytes, at)) return undefined;
    this.#latest = connectionHandle;
    return connectionHandle;
  }

  /** Updates the connection IDs of a connection. */
  #updateIds(connectionHandle: ConnectionHandle): void {
    for (const id of connectionHandle.ids) this.#byId.delete(readU48(id, 0));
    // An ID that collides with another connection's is left out. The peer has spare IDs.
    connectionHandle.ids = (connectionHandle.connection.connectionIds ?? connectionHandle.ids).filter(
      (id) => !this.#byId.has(readU48(id, 0)),
    );
    for (const id of connectionHandle.ids) this.#byId.set(readU48(id, 0), connectionHandle);
  }

  #schedule(): void {
    if (this.#scheduled || this.#flushing || !this.#open) return;
    this.#scheduled = true;
    setImmediate(this.#onImmediate);
  }

  readonly #onImmediate = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  #drainRound(): void {
    const round = this.#dirty;
    this.#dirty = this.#spare;
    for (const connectionHandle of round) {
      connectionHandle.dirty = false;
      if (connectionHandle.detached) continue;
      try {
        this.#drain(connectionHandle);
      } catch (fault) {
        this.#failDriven(connectionHandle, fault);
      }
    }
    round.length = 0;
    this.#spare = round;
  }

  #drain(connectionHandle: ConnectionHandle): void {
    const { connection } = connectionHandle;
    this.#sendAll(connectionHandle);
    connectionHandle.deadlineMs = connection.pollTimeout();
    this.#timer.wakeBy(connectionHandle.deadlineMs, this.#batchNowMs);
    const event = this.#event;
    // The owner may change between events: a link replaces the attempt that opened it.
    while (connection.pollEvent(event)) {
      if (event.kind === EVENT.idsChanged) this.#updateIds(connectionHandle);
      else connectionHandle.owner.handleEvent(event);
    }
    const { state } = connection;
    if (state === "closed") this.detach(connectionHandle);
    else if (!connectionHandle.ending && state === "draining") {
      connectionHandle.ending = true;
      this.#settle();
    }
  }

  #sendAll(connectionHandle: ConnectionHandle): void {
    const transmit = this.#transmit;
    while (!connectionHandle.blocked) {
      transmit.buffer = this.#sender.buffer;
      if (!connectionHandle.connection.pollTransmit(this.#batchNowMs, transmit)) return;
      const socket = this.#slots[transmit.path.socket];
      if (socket !== undefined && !this.#sender.send(socket, transmit)) {
        connectionHandle.blocked = true;
        this.#someBlocked = true;
      }
      // Sending a full window takes milliseconds. The pacer and all later steps need the new time.
      this.#batchNowMs = performance.now();
    }
  }

  /** A socket has sent its queue, so blocked connections can continue. */
  #unblock(): void {
    if (!this.#someBlocked) return;
    this.#someBlocked = false;
    for (const connectionHandle of this.#connectionHandles) {
      if (!connectionHandle.blocked) continue;
      connectionHandle.blocked = false;
      this.touch(connectionHandle);
    }
  }

  #handleDue(): void {
    const now = performance.now();
    const hasSlept = this.#sleepWatch.hasSlept(now);
    let nextMs = Infinity;
    for (const connectionHandle of this.#connectionHandles) {
      const isDue = hasSlept || connectionHandle.deadlineMs <= now;
      if (!isDue) {
        if (connectionHandle.deadlineMs < nextMs) nextMs = connectionHandle.deadlineMs;
        continue;
      }
      const wasLate = now - connectionHandle.deadlineMs > SLEPT_MS;
      connectionHandle.deadlineMs = Infinity;
      try {
        if (hasSlept || wasLate) connectionHandle.connection.handleWake?.(now);
        connectionHandle.connection.handleTimeout(now);
      } catch (fault) {
        this.#failDriven(connectionHandle, fault);
      }
      this.touch(connectionHandle);
    }
    this.#timer.wakeBy(nextMs, now);
    this.flush();
  }

  /**
   * Closes an unused endpoint. Keeps the process running only for connections that are not ending.
   */
  #settle(): void {
    if (!this.#open) return;
    if (!this.#listening && this.#connectionHandles.size === 0) {
      this.close();
      return;
    }
    let held = this.#listening;
    for (const connectionHandle of this.#connectionHandles) held ||= !connectionHandle.ending;
    this.#isHeld = held;
    for (const socket of this.sockets) socket.holdProcess(held);
    this.#timer.holdProcess(held);
  }
}

/** Whether bytes[at, end) are exactly one data packet. */
function isWhole(bytes: Uint8Array, at: number, end: number): boolean {
  return isDataPacket(bytes, at, end) && at + packetBytesOf(bytes, at) === end;
}

function isIdOf(connectionHandle: ConnectionHandle, bytes: Uint8Array, at: number): boolean {
  for (const id of connectionHandle.ids) if (isIdAt(bytes, at, id)) return true;
  return false;
}

function isZero(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < CONNECTION_ID_BYTES; i++) if (bytes[at + i] !== 0) return false;
  return true;
}

/**
 * Drives one engine Connection as an endpoint does and as the pure contract says: mutate, drain the
 * transmits, re-arm the one timer, drain the events. What the application does upon an event is a mutation
 * of its own and is drained in turn.
 *
 * The knobs stand for what real endpoints add: late timers, receives in batches, several packets in one
 * received buffer, small transmit buffers, timers that go off early.
 */

import type { Path } from "../../src/base/path.ts";
import {
  type Connection,
  type ConnectionEvent,
  EVENT,
  type Transmit,
} from "../../src/engine/connection/connection.ts";
import { HEADER_BYTES, isAddressedTo, kindOf, PACKET_DATA } from "../../src/wire/packet.ts";
import type { Invariants } from "./invariants.ts";
import type { Host, Receiver } from "./network.ts";
import type { Random } from "./random.ts";
import type { Trace } from "./trace.ts";
import type { Waker, World } from "./world.ts";

export interface PeerKnobs {
  /** Timers go off up to this much late, as Node's do. */
  timerLatenessMs: number;
  /** Received datagrams are collected for so long before the outputs are drained; 0: drained one by one. */
  batchMs: number;
  /** Equally long datagrams of one batch are handed over as one buffer, as UDP GRO does. */
  isCoalescing: boolean;
  transmitBufferBytes: number;
  /** Outputs are drained after every single command, not once after an event's reaction. */
  drainsEachCommand: boolean;
  /** Chance that a wake-up is preceded by a needless one. */
  earlyWakeRate: number;
}

const PLAIN_KNOBS: PeerKnobs = {
  timerLatenessMs: 0,
  batchMs: 0,
  isCoalescing: false,
  transmitBufferBytes: 64 * 1200,
  drainsEachCommand: false,
  earlyWakeRate: 0,
};

/** The application on top of a peer. */
export interface Application {
  /** An event was drained; commands may follow. */
  onEvent(now: number, event: ConnectionEvent): void;
  /** A time asked for with `peer.wakeAt` has come. */
  onWake(now: number, subject: unknown): void;
}

const TIMER = Symbol("timer");
const EARLY = Symbol("early timer");
const BATCH = Symbol("batch");
const WAKE = Symbol("wake");
/** Pause between looks whether a sleeping machine is awake. */
const ASLEEP_RETRY_MS = 50;
/** Largest buffer of UDP GRO. */
const MAX_COALESCED_BYTES = 65_000;

export class Peer implements Receiver, Waker {
  readonly name: string;
  readonly host: Host;
  readonly world: World;
  application!: Application;
  /** When the engine last got a datagram whose packets were intact, for judging lost links. */
  lastIntactAt: number;
  /** Stops reacting to anything: killed. */
  isGone = false;
  /** Calls of handleTimeout. */
  wakeUps = 0;
  /** Datagrams addressed to IDs that the connection never announced, or has taken back. */
  unrouted = 0;
  readonly #knobs: PeerKnobs;
  readonly #random: Random;
  readonly #trace: Trace;
  readonly #invariants: Invariants;
  readonly #makeConnection: ((now: number) => Connection) | undefined;
  #connection: Connection | undefined;
  #ids: readonly Uint8Array[] = [];
  #armedAt = Number.POSITIVE_INFINITY;
  /** The event that waits: for which time it was made, and when it comes. */
  #eventFor = Number.POSITIVE_INFINITY;
  #eventAt = Number.NaN;
  #inbox: { path: Path; bytes: Uint8Array }[] = [];
  readonly #nowhere: Path;
  readonly #transmit: Transmit;
  readonly #event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };
  #isSettling = false;
  #isAsleep = false;

  /** @param makeConnection makes the responder's connection when the first packet comes */
  constructor(
    name: string,
    host: Host,
    knobs: Partial<PeerKnobs>,
    random: Random,
    trace: Trace,
    invariants: Invariants,
    makeConnection?: (now: number) => Connection,
  ) {
    this.name = name;
    this.host = host;
    this.world = host.side.world;
    this.#knobs = { ...PLAIN_KNOBS, ...knobs };
    this.#random = random;
    this.#trace = trace;
    this.#invariants = invariants;
    this.#makeConnection = makeConnection;
    this.lastIntactAt = this.world.now;
    const buffer = new Uint8Array(this.#knobs.transmitBufferBytes);
    this.#nowhere = host.path("nowhere", 0);
    this.#transmit = { buffer, length: 0, segmentBytes: 0, path: this.#nowhere };
    host.receiver = this;
  }

  get connection(): Connection {
    if (this.#connection === undefined) throw new Error(`${this.name} has no connection yet`);
    return this.#connection;
  }

  /** Whether it waits for the other end's call. */
  get isCalled(): boolean {
    return this.#makeConnection !== undefined;
  }

  get hasConnection(): boolean {
    return this.#connection !== undefined;
  }

  get isAtRest(): boolean {
    return this.isGone || this.#connection === undefined || this.#connection.state === "closed";
  }

  start(now: number, connection: Connection): void {
    this.#connection = connection;
    this.#ids = connection.connectionIds;
    this.lastIntactAt = now;
    this.settle(now);
  }

  /** Asks for `application.onWake(at, subject)`. */
  wakeAt(at: number, subject: unknown): void {
    this.world.schedule(at, this, { subject });
  }

  /** The machine sleeps: nothing is received, no timer goes off; upon waking the engine is told. */
  sleep(forMs: number): void {
    this.#isAsleep = true;
    this.world.schedule(this.world.now + forMs, this, WAKE);
  }

  /** To be called after every command: drains the outputs where the knob says so. */
  afterCommand(now: number): void {
    if (this.#knobs.drainsEachCommand) this.#drain(now);
  }

  receive(now: number, path: Path, bytes: Uint8Array): void {
    if (this.isGone || this.#isAsleep) return;
    if (this.#knobs.batchMs > 0) {
      if (this.#inbox.length === 0) this.world.schedule(now + this.#knobs.batchMs, this, BATCH);
      this.#inbox.push({ path, bytes });
      return;
    }
    this.#handle(now, path, bytes);
    if (this.#connection !== undefined) this.settle(now);
  }

  wake(now: number, subject: unknown): void {
    if (this.isGone) return;
    if (subject === WAKE) {
      this.#isAsleep = false;
      this.#connection?.handleWake(now);
    } else if (this.#isAsleep) {
      // What was due in the sleep comes after it.
      this.world.schedule(now + ASLEEP_RETRY_MS, this, subject);
      if (subject === TIMER && now === this.#eventAt) this.#eventAt = now + ASLEEP_RETRY_MS;
      return;
    } else if (subject === BATCH) {
      const batch = this.#knobs.isCoalescing ? coalesce(this.#inbox) : this.#inbox;
      this.#inbox = [];
      for (const { path, bytes } of batch) this.#handle(now, path, bytes);
    } else if (subject === TIMER) {
      if (now !== this.#eventAt) return; // an earlier one took its place
      this.#eventFor = Number.POSITIVE_INFINITY;
      this.#eventAt = Number.NaN;
      if (now < this.#armedAt) this.#arm(now);
      else this.#timeout(now);
    } else if (subject === EARLY) this.#timeout(now);
    else this.application.onWake(now, (subject as { subject: unknown }).subject);
    if (this.#connection !== undefined) this.settle(now);
  }

  /** Drains all outputs until nothing changes any more. */
  settle(now: number): void {
    if (this.#isSettling) throw new Error("settled inside a settlement");
    this.#isSettling = true;
    for (let rounds = 0; ; rounds++) {
      if (rounds > 10_000) this.#invariants.fail(`${this.name}: events without end`);
      this.#drain(now);
      const { connection } = this;
      const event = this.#event;
      if (!connection.pollEvent(event)) break;
      if (event.kind === EVENT.idsChanged) this.#ids = connection.connectionIds;
      this.#trace.addNumbers(now, event.kind, event.streamId, event.errorCode);
      this.#invariants.onEvent(this, now, event);
      this.application.onEvent(now, event);
    }
    this.#invariants.afterStep(this, now);
    this.#isSettling = false;
  }

  #handle(now: number, path: Path, bytes: Uint8Array): void {
    if (this.#connection === undefined || (this.#makeConnection !== undefined && this.#isHalfOpenOver())) {
      if (this.#makeConnection === undefined || !isFirstMessage(bytes)) return;
      this.#connection = this.#makeConnection(now);
      this.#ids = this.#connection.connectionIds;
      this.#invariants.onNewConnection(this);
    }
    const connection = this.#connection;
    if (!this.#isRouted(bytes)) {
      this.unrouted++;
      return;
    }
    this.#invariants.onReceive(this, path, bytes);
    const before = connection.stats.receivedPackets;
    connection.handleDatagram(now, path, bytes);
    if (connection.stats.receivedPackets > before) this.lastIntactAt = now;
    this.#invariants.onHandled(bytes);
  }

  /** An endpoint finds connections by the IDs that they announced: others never see the packet. */
  #isRouted(bytes: Uint8Array): boolean {
    if (kindOf(bytes[0]!) !== PACKET_DATA || bytes.length < HEADER_BYTES) return true;
    return this.#ids.some((id) => isAddressedTo(bytes, 0, id));
  }

  /** A listener forgets a half-open connection that came to nothing, and takes the next first message anew. */
  #isHalfOpenOver(): boolean {
    return this.#connection?.state === "closed" && this.#connection.peer === undefined;
  }

  #timeout(now: number): void {
    if (this.#connection === undefined) return;
    this.wakeUps++;
    this.#invariants.onWakeUp(this, now);
    this.#connection.handleTimeout(now);
  }

  #drain(now: number): void {
    const { connection } = this;
    const transmit = this.#transmit;
    this.#invariants.beforeTransmit(this);
    for (let calls = 0; connection.pollTransmit(now, transmit); calls++) {
      if (calls > 100_000) this.#invariants.fail(`${this.name}: transmits without end`);
      const { buffer, length, segmentBytes, path } = transmit;
      if (!(length > 0 && segmentBytes > 0) || length > buffer.length || path === this.#nowhere) {
        this.#invariants.fail(`${this.name}: a transmit of ${length} bytes in segments of ${segmentBytes}`);
      }
      this.#invariants.onTransmit(this);
      for (let at = 0; at < length; at += segmentBytes) {
        const bytes = buffer.slice(at, Math.min(length, at + segmentBytes));
        this.#trace.addDatagram(now, this.host.port, path.port, bytes);
        this.#invariants.onSend(this, path, bytes);
        this.host.send(path, bytes);
      }
    }
    // What is left in the buffer is not the engine's to rely on.
    transmit.buffer.fill(0xa5, 0, 64);
    this.#armedAt = connection.pollTimeout();
    if (Number.isNaN(this.#armedAt)) this.#invariants.fail(`${this.name}: pollTimeout() is NaN`);
    this.#arm(now);
  }

  /** One event waits at most; when the timer has moved on by then, so does the event. */
  #arm(now: number): void {
    const at = Math.max(now, this.#armedAt);
    if (at === Number.POSITIVE_INFINITY || this.#eventFor <= at) return;
    const knobs = this.#knobs;
    this.#eventFor = at;
    this.#eventAt = knobs.timerLatenessMs > 0 ? at + this.#random.unit() * knobs.timerLatenessMs : at;
    this.world.schedule(this.#eventAt, this, TIMER);
    if (this.#random.chance(knobs.earlyWakeRate)) {
      this.world.schedule(now + this.#random.unit() * (at - now), this, EARLY);
    }
  }
}

/** pakeOpen or noise1: what a listener makes a connection for. */
function isFirstMessage(bytes: Uint8Array): boolean {
  return bytes[0] === 0xd0 || bytes[0] === 0xd2;
}

/** Joins runs of equally long datagrams of one path (the last may be shorter) into one buffer each. */
function coalesce(inbox: readonly { path: Path; bytes: Uint8Array }[]): { path: Path; bytes: Uint8Array }[] {
  const joined: { path: Path; bytes: Uint8Array }[] = [];
  for (let first = 0; first < inbox.length; ) {
    const { path, bytes } = inbox[first]!;
    let next = first + 1;
    let total = bytes.length;
    while (
      next < inbox.length &&
      inbox[next]!.path === path &&
      inbox[next - 1]!.bytes.length === bytes.length &&
      inbox[next]!.bytes.length <= bytes.length &&
      total + inbox[next]!.bytes.length <= MAX_COALESCED_BYTES
    ) {
      total += inbox[next++]!.bytes.length;
    }
    joined.push({
      path,
      bytes: next === first + 1 ? bytes : Buffer.concat(inbox.slice(first, next).map((d) => d.bytes)),
    });
    first = next;
  }
  return joined;
}

/**
 * One malicious peer at work: a real engine connection over a real UDP socket, without the link that would keep
 * it to the rules, driven by a script.
 *
 * What the victim sends is acknowledged and read, so that it goes on; streams that it opens are answered, more
 * or less. The last phase may be packets made by hand (`raw`), which only a closed link survives.
 */

import { createSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import { concatBytes } from "../../../src/base/bytes.ts";
import { RangeSet } from "../../../src/base/range-set.ts";
import { Reader } from "../../../src/base/reader.ts";
import { varintBytes, writeVarint } from "../../../src/base/varint.ts";
import type { AeadKey } from "../../../src/crypto/primitives.ts";
import {
  type Connection,
  type ConnectionEvent,
  EVENT,
  PRIORITY,
} from "../../../src/engine/connection/connection.ts";
import type { ConnectionHandle, ConnectionOwner } from "../../../src/link/connection-handle.ts";
import { ControlReader, STREAM_KIND } from "../../../src/link/control-records.ts";
import type { Endpoint } from "../../../src/link/endpoint.ts";
import { decodeForwardReply, encodeAnswer, FORWARD_RECORD } from "../../../src/link/forward-records.ts";
import { writeClose } from "../../../src/wire/frames.ts";
import { HEADER_BYTES, TAG_BYTES, writeHeader } from "../../../src/wire/packet.ts";
import { pause, within } from "../../lib/deadline.ts";
import { HostileScript } from "../hostile-script.ts";
import type { MaliciousPeer } from "../malicious-peer.ts";
import { Xorshift } from "../xorshift.ts";
import type { Step } from "./script.ts";
import type { ZeroPortSender } from "./zero-port-sender.ts";

/** What is used of the inside of a connection to make packets by hand. */
interface Insides {
  readonly link: {
    readonly parts: {
      readonly ids: { readonly peerId: Uint8Array };
      readonly keys: { readonly epoch: number; readonly sealKey: AeadKey };
    };
  };
  readonly recovery: { readonly sent: { readonly next: number } };
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A closed link is answered for at once; this is for a machine that stands still. */
const CLOSE_TIMEOUT_MS = 15_000;
/** An answer takes a millisecond or two, longer where nothing comes at all. */
const AWAIT_MS = 25;
const CONTROL_SLOTS: ReadonlySet<number> = new Set([900, 901]);

export class Attacker implements ConnectionOwner {
  /** Malicious inputs so far: records, stream operations, datagrams, packets, clients. */
  interactions = 0;
  readonly #random: Xorshift;
  readonly #zeroPort: ZeroPortSender | undefined;
  #engine!: Connection;
  #connectionHandle!: ConnectionHandle;
  #endpoint!: Endpoint;
  /** Stream IDs by the script's slots; −1 for one that could not be opened. */
  readonly #slots: Map<number, number> = new Map();
  /** Streams that the victim opened, oldest first, and the bytes of those whose kind is not known yet. */
  readonly #theirs: number[] = [];
  readonly #arrivals: Map<number, Uint8Array> = new Map();
  #controlId = -1;
  /** Ports that the victim has opened for us. */
  readonly #ports: number[] = [];
  #givenPorts: readonly number[] = [];
  readonly #clients: Set<{ destroy(): void }> = new Set();
  readonly #controlReader: ControlReader = new ControlReader();
  #isDeaf = false;
  #events = 0;
  /** What was counted when it was last waited for. */
  readonly #awaited: Map<string, number> = new Map();
  #isOver = false;
  #wake: () => void = () => undefined;

  constructor(random: Xorshift, zeroPort?: ZeroPortSender) {
    this.#random = random;
    this.#zeroPort = zeroPort;
  }

  /** The connection that it speaks over; events go to this attacker. */
  take(endpoint: Endpoint, connection: Connection, connectionHandle: ConnectionHandle): void {
    this.#endpoint = endpoint;
    this.#engine = connection;
    this.#connectionHandle = connectionHandle;
  }

  /** Ports of the victim that clients may go to, beside those that it opens for us; the caller may add to the list. */
  addPorts(ports: readonly number[]): void {
    this.#givenPorts = ports;
  }

  /** Waits for the link, carries the script out, and goes: nothing of it is left when this resolves. */
  async run(steps: readonly Step[]): Promise<void> {
    try {
      await within(
        this.#until(() => this.#engine.state !== "handshaking"),
        CONNECT_TIMEOUT_MS,
        () => "an attacker gets no link",
      );
      for (const step of steps) {
        if (this.#isOver || this.#engine.state !== "established") break;
        await this.#perform(step);
      }
      if (this.#engine.state === "established") this.#engine.close(this.#endpoint.now(), 0, "");
      this.#connectionHandle.touch();
      await within(
        this.#until(() => this.#connectionHandle.detached),
        CLOSE_TIMEOUT_MS,
        () => "an attacker's link does not end",
      );
    } finally {
      for (const client of this.#clients) client.destroy();
      if (!this.#connectionHandle.detached) this.#connectionHandle.detach();
    }
  }

  // ------------------------------------------------------------------ events

  handleEvent(event: ConnectionEvent): void {
    const { kind, streamId } = event;
    this.#events++;
    if (kind === EVENT.streamOpened) {
      this.#theirs.push(streamId);
      this.#arrivals.set(streamId, new Uint8Array(0));
      this.#read(streamId);
    } else if (kind === EVENT.readable) this.#read(streamId);
    else if (kind === EVENT.datagram) while (this.#engine.readDatagram() !== undefined);
    else if (kind === EVENT.closed) this.#isOver = true;
    this.#wake();
  }

  handleFault(fault: unknown): void {
    throw fault;
  }

  handleDetached(): void {
    this.#isOver = true;
    this.#wake();
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #read(streamId: number): void {
    if (this.#isDeaf) return;
    for (let bytes = this.#engine.read(streamId); bytes !== undefined; bytes = this.#engine.read(streamId)) {
      if (streamId === this.#controlId) this.#takeControl(bytes);
      else {
        const before = this.#arrivals.get(streamId);
        if (before !== undefined) this.#takeArrival(streamId, concatBytes(before, bytes));
      }
    }
    this.#connectionHandle?.touch();
  }

  #takeControl(bytes: Uint8Array): void {
    try {
      this.#controlReader.push(bytes);
      for (
        let record = this.#controlReader.next();
        record !== undefined;
        record = this.#controlReader.next()
      ) {
        if (record.kind !== "other" || record.type !== FORWARD_RECORD.reply) continue;
        const { port, failure } = decodeForwardReply(record.body);
        if (failure === undefined && port > 0) this.#ports.push(port);
      }
    } catch {
      // It certainly was nothing that an attacker would complain about.
    }
  }

  /** A stream of the victim: its control stream, or one for a client of a port that we asked for. */
  #takeArrival(streamId: number, bytes: Uint8Array): void {
    const reader = new Reader(bytes);
    const kind = reader.varint();
    if (!reader.ok) {
      this.#arrivals.set(streamId, bytes);
      return;
    }
    this.#arrivals.delete(streamId);
    const random = this.#random;
    if (kind === STREAM_KIND.control) {
      this.#controlId = streamId;
      this.#takeControl(reader.rest().slice());
    } else if (kind === STREAM_KIND.forward && !random.oneIn(4)) {
      this.#engine.write(streamId, random.oneIn(12) ? random.bytes(random.below(9)) : encodeAnswer());
      if (random.oneIn(6)) this.#engine.finish(streamId);
    } else if (random.oneIn(4)) this.#engine.reset(streamId, random.below(0x120));
  }

  // ------------------------------------------------------------------ steps

  async #perform(step: Step): Promise<void> {
    const engine = this.#engine;
    switch (step.do) {
      case "wait":
        this.#connectionHandle.touch();
        await pause(step.ms);
        return;
      case "turns":
        this.#connectionHandle.touch();
        for (let turns = 0; turns < step.turns; turns++)
          await new Promise((resolve) => setImmediate(resolve));
        return;
      case "flush":
        this.#connectionHandle.touch();
        this.#connectionHandle.flush();
        return;
      case "await":
        await this.#await(step.what);
        return;
      case "vanish":
        await this.#vanish(step.ms);
        return;
      case "deaf":
        this.#isDeaf = step.isDeaf;
        return;
      case "open":
        this.#open(step.slot, step.bytes);
        break;
      case "control":
        if (this.#controlId >= 0) engine.write(this.#controlId, step.bytes);
        break;
      case "write":
        engine.write(this.#streamOf(step.slot), step.bytes);
        break;
      case "fin":
        engine.finish(this.#streamOf(step.slot));
        break;
      case "ping":
        engine.ping();
        break;
      case "reset":
        engine.reset(this.#streamOf(step.slot), step.code);
        break;
      case "stop":
        engine.stopSending(this.#streamOf(step.slot), step.code);
        break;
      case "datagram":
        this.#sendDatagrams(step);
        return;
      case "noise":
        engine.sendDatagram(step.bytes);
        break;
      case "tcp":
        this.#visitByTcp(step);
        break;
      case "udp":
        this.#visitByUdp(step);
        break;
      case "raw":
        await this.#sendRaw(step);
        return;
      case "close":
        engine.close(this.#endpoint.now(), step.code, step.reason);
        this.#connectionHandle.touch();
        break;
    }
    this.interactions++;
    this.#connectionHandle.touch();
  }

  /** Until there is more of it than at the last time. */
  async #await(what: "anything" | "stream" | "port"): Promise<void> {
    this.#connectionHandle.touch();
    const counted = (): number => {
      if (what === "anything") return this.#events;
      return what === "stream" ? this.#theirs.length : this.#ports.length;
    };
    const untilMs = performance.now() + AWAIT_MS;
    while (counted() <= (this.#awaited.get(what) ?? 0) && !this.#isOver && performance.now() < untilMs)
      await pause(1);
    this.#awaited.set(what, counted());
  }

  #open(slot: number, bytes: Uint8Array): void {
    const isControl = CONTROL_SLOTS.has(slot);
    const streamId = this.#engine.openStream(isControl ? PRIORITY.control : PRIORITY.normal);
    this.#slots.set(slot, streamId);
    if (streamId < 0) return;
    if (isControl) this.#controlId = streamId;
    if (bytes.length > 0) this.#engine.write(streamId, bytes);
  }

  /** The stream at a slot; one that nobody knows where there is none. */
  #streamOf(slot: number): number {
    if (slot < 0) return this.#theirs.at(slot) ?? -1;
    return this.#slots.get(slot) ?? -1;
  }

  #portOf(index: number): number | undefined {
    return this.#givenPorts[index % Math.max(1, this.#givenPorts.length)] ?? this.#ports.at(-1 - index);
  }

  #sendDatagrams({ slot, payloadBytes, count }: Extract<Step, { do: "datagram" }>): void {
    const streamId = Math.max(0, this.#streamOf(slot));
    const head = varintBytes(streamId);
    const bytes = new Uint8Array(Math.min(head + payloadBytes, this.#engine.maxDatagramBytes));
    writeVarint(bytes, 0, streamId);
    for (let sent = 0; sent < count; sent++) this.#engine.sendDatagram(bytes);
    this.interactions += count;
    this.#connectionHandle.touch();
  }

  #visitByTcp({ port, payloadBytes, end }: Extract<Step, { do: "tcp" }>): void {
    const number = this.#portOf(port);
    if (number === undefined) return;
    const socket: Socket = connect({ port: number, host: "127.0.0.1", allowHalfOpen: true });
    this.#clients.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("data", () => undefined);
    socket.on("end", () => socket.end());
    socket.write(new Uint8Array(payloadBytes));
    if (end === "fin") socket.end();
    else if (end === "reset") socket.once("connect", () => socket.resetAndDestroy());
  }

  #visitByUdp({ port, payloadBytes, fromZero }: Extract<Step, { do: "udp" }>): void {
    const number = this.#portOf(port);
    if (number === undefined) return;
    if (fromZero) {
      this.#zeroPort?.send(number, payloadBytes);
      return;
    }
    const socket = createSocket("udp4");
    let isOpen = true;
    const client = {
      destroy: () => {
        if (isOpen) socket.close();
        isOpen = false;
      },
    };
    this.#clients.add(client);
    socket.on("error", () => undefined);
    socket.send(new Uint8Array(payloadBytes), number, "127.0.0.1", () => undefined);
  }

  /** As a machine that sleeps: nothing is taken, nothing leaves. */
  async #vanish(ms: number): Promise<void> {
    this.#connectionHandle.touch();
    await new Promise((resolve) => setImmediate(resolve));
    const engine = this.#engine;
    const { handleDatagram, pollTransmit } = engine;
    engine.handleDatagram = () => undefined;
    engine.pollTransmit = () => false;
    await pause(ms);
    engine.handleDatagram = handleDatagram;
    engine.pollTransmit = pollTransmit;
    this.#connectionHandle.touch();
  }

  /** Packets that no engine would send, and then the end: what it would answer is not listened to any more. */
  async #sendRaw({ seed, packets }: Extract<Step, { do: "raw" }>): Promise<void> {
    const engine = this.#engine;
    this.#connectionHandle.touch();
    await new Promise((resolve) => setImmediate(resolve));
    if (engine.state !== "established") return;
    const { link, recovery } = engine as unknown as Insides;
    const { ids, keys } = link.parts;
    const path = engine.path!;
    const socket = this.#endpoint.socketAt(path.socket)!;
    engine.handleDatagram = () => undefined;
    engine.pollTransmit = () => false;
    const random = new Xorshift(seed, "raw packets");
    const other = {
      victim: { role: engine.role === "initiator" ? "responder" : "initiator" },
      received: new RangeSet(),
      ids: new Map([[0, ids.peerId]]),
    };
    const script = new HostileScript(random, other as unknown as MaliciousPeer);
    let packetNumber = recovery.sent.next + random.below(1000);
    const send = (write: (bytes: Uint8Array, at: number) => number): void => {
      const bytes = new Uint8Array(8000);
      const end = write(bytes, HEADER_BYTES);
      writeHeader(bytes, 0, keys.epoch, ids.peerId, packetNumber, end - HEADER_BYTES + TAG_BYTES);
      keys.sealKey.seal(bytes, 0, HEADER_BYTES, end, packetNumber++);
      socket.send(bytes.subarray(0, end + TAG_BYTES), path.address, path.port);
      this.interactions++;
    };
    for (let sent = 0; sent < packets; sent++) {
      send((bytes, at) => script.write(bytes, at));
      if (random.oneIn(8)) await new Promise((resolve) => setImmediate(resolve));
    }
    const code = random.below(0x120);
    for (let tries = 0; tries < 3; tries++) {
      send((bytes, at) => writeClose(bytes, at, code, new Uint8Array(0)));
      await pause(1);
    }
    this.#connectionHandle.detach();
  }
}

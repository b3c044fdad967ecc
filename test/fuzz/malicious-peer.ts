/**
 * A peer that holds the true keys and keeps to no rule. Two real Connections make a link; then one of them is
 * put aside, and packets made by hand take its place: any frames, any packet numbers, sealed as they must be.
 * The other one, the victim, goes on as it is, without an application that reads.
 */
import type { Path } from "../../src/base/path.ts";
import { RangeSet } from "../../src/base/range-set.ts";
import type { KeyPair, Primitives } from "../../src/crypto/primitives.ts";
import {
  Connection,
  type ConnectionEvent,
  EVENT,
  type Transmit,
} from "../../src/engine/connection/connection.ts";
import {
  DEFAULT_PARAMETERS,
  encodeParameters,
  type TransportParameters,
} from "../../src/engine/connection/transport-parameters.ts";
import { Handshake, type Role } from "../../src/engine/handshake/handshake.ts";
import { KeyUpdate, REKEY_LIMITS } from "../../src/engine/handshake/key-update.ts";
import { FRAME, FrameCursor, writeAck } from "../../src/wire/frames.ts";
import {
  epochOf,
  HEADER_BYTES,
  isDataPacket,
  packetNumberOf,
  sealedBytesOf,
  TAG_BYTES,
  writeHeader,
} from "../../src/wire/packet.ts";
import { broken } from "./target.ts";
import { Xorshift } from "./xorshift.ts";

export interface PeerOptions {
  readonly primitives: Primitives;
  readonly victimRole: Role;
  readonly seed?: number;
  readonly victimParameters?: Partial<TransportParameters>;
  readonly peerParameters?: Partial<TransportParameters>;
  readonly congestion?: "cubic" | "bbr";
}

/** Writes frames from bytes[at] on and returns the index behind them. */
export type FrameWrite = (bytes: Uint8Array, at: number) => number;

/** The path that every link here takes; paths are compared by identity. */
export const PATH: Path = { address: "192.0.2.1", port: 1000, socket: 0 };
const IDLE_TIMEOUT_MS = 60_000;
const MAX_BYTES = 65_000;
/** Above what the real end may have sent before it was put aside. */
const FIRST_NUMBER = 1000;

/** One for all peers: nothing stays in them from one call to the next. */
const sharedPacket = new Uint8Array(MAX_BYTES);
const sharedBuffer = new Uint8Array(64 * 1200);

export class MaliciousPeer {
  readonly victim: Connection;
  readonly path: Path = PATH;
  /** The CLOSE that came from the victim. */
  close: { errorCode: number; reason: string } | undefined;
  nowMs = 0;
  /** Frames that came from the victim, by type, and events that it raised, by kind. */
  readonly frames: Map<number, number> = new Map();
  readonly events: Map<number, number> = new Map();
  /** Called with each frame of the victim and the number of its packet. */
  onFrame: ((packetNumber: number, frame: FrameCursor) => void) | undefined;
  /** Packet numbers that came from the victim. */
  readonly received: RangeSet = new RangeSet();
  /** Packets, bytes and number of the packet sent last. */
  sentPackets = 0;
  receivedBytes = 0;
  nextNumber: number = FIRST_NUMBER;
  /** Answers the victim's key updates as an honest end would. */
  readonly keys: KeyUpdate;
  /** Connection IDs of the victim, by the sequence that it gave them. */
  readonly ids: Map<number, Uint8Array> = new Map();
  private readonly packet: Uint8Array = sharedPacket;
  private readonly transmit: Transmit = { buffer: sharedBuffer, length: 0, segmentBytes: 0, path: PATH };
  private readonly event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };
  private readonly cursor: FrameCursor = new FrameCursor();

  constructor(options: PeerOptions) {
    const random = new Xorshift(options.seed ?? 1, "malicious peer");
    const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
    const { primitives, victimRole, congestion } = options;
    const ownRole = victimRole === "initiator" ? "responder" : "initiator";
    const victim = newConnection(primitives, victimRole, draw, options.victimParameters, congestion);
    const own = newConnection(primitives, ownRole, draw, options.peerParameters, congestion);
    this.victim = victim;
    link(victim, own, this.transmit);
    const { peer } = own;
    if (peer === undefined || victim.state !== "established") broken("the link was not made");
    this.ids.set(0, victim.connectionId);
    this.keys = new KeyUpdate(0, peer, primitives, draw, REKEY_LIMITS);
    this.drain();
  }

  /** Sends one packet of frames made by `write`; ACKs and whatever else the victim has to say is taken in. */
  send(write: FrameWrite, path: Path = PATH): void {
    this.sendAs(this.nextNumber++, write, path);
  }

  /** The same with a packet number of choice. */
  sendAs(
    packetNumber: number,
    write: FrameWrite,
    path: Path = PATH,
    toId: Uint8Array = this.ids.get(0)!,
  ): void {
    const end = write(this.packet, HEADER_BYTES);
    if (end + TAG_BYTES > this.packet.length) broken("the packet is too long");
    writeHeader(this.packet, 0, this.keys.epoch, toId, packetNumber, end - HEADER_BYTES + TAG_BYTES);
    this.keys.sealKey.seal(this.packet, 0, HEADER_BYTES, end, packetNumber);
    this.sentPackets++;
    // The victim opens in place: it gets a copy, and the copy is spoilt when it is done.
    const datagram = this.packet.slice(0, end + TAG_BYTES);
    this.victim.handleDatagram(this.nowMs, path, datagram);
    datagram.fill(0xee);
    this.drain();
  }

  /** A datagram as it is. */
  sendDatagram(datagram: Uint8Array, path: Path = PATH): void {
    this.victim.handleDatagram(this.nowMs, path, datagram);
    this.drain();
  }

  /** Acknowledges all that came from the victim, as an honest end would. */
  acknowledge(): void {
    if (this.received.count === 0) return;
    this.send((bytes, at) => writeAck(bytes, at, at + 1000, this.received, 0));
  }

  /** Lets time pass, with every timer of the victim on its way. */
  elapse(forMs: number): void {
    const untilMs = this.nowMs + forMs;
    this.drain();
    for (let wakes = 0; this.victim.pollTimeout() <= untilMs; wakes++) {
      if (wakes > 100_000) broken("the victim wakes without end");
      this.nowMs = Math.max(this.nowMs, this.victim.pollTimeout());
      this.victim.handleTimeout(this.nowMs);
      this.drain();
    }
    this.nowMs = untilMs;
  }

  /** Takes all that the victim has to send and to tell. */
  drain(): void {
    const { victim, transmit, event } = this;
    for (let calls = 0; victim.pollTransmit(this.nowMs, transmit); calls++) {
      if (calls > 10_000) broken("the victim sends without end");
      const { buffer, length, segmentBytes } = transmit;
      if (!(length > 0 && segmentBytes > 0 && length <= buffer.length))
        broken(`a transmit of ${length} bytes`);
      for (let at = 0; at < length; at += segmentBytes)
        this.receive(buffer, at, Math.min(length, at + segmentBytes));
    }
    if (Number.isNaN(victim.pollTimeout())) broken("a timer at NaN");
    for (let count = 0; victim.pollEvent(event); count++) {
      if (count > 100_000) broken("events without end");
      this.events.set(event.kind, (this.events.get(event.kind) ?? 0) + 1);
    }
  }

  private receive(bytes: Uint8Array, from: number, end: number): void {
    this.receivedBytes += end - from;
    for (let at = from; at < end && isDataPacket(bytes, at, end); ) {
      const next = at + HEADER_BYTES + sealedBytesOf(bytes, at);
      const packetNumber = packetNumberOf(bytes, at);
      const epoch = epochOf(bytes, at);
      const key = this.keys.openKeyOf(epoch);
      if (key?.open(bytes, at, at + HEADER_BYTES, next - TAG_BYTES, packetNumber) !== true) {
        broken(`packet ${packetNumber} of the victim does not open`);
      }
      this.keys.onOpened(this.nowMs, epoch, 1000);
      if (this.received.contains(packetNumber)) broken(`packet number ${packetNumber} was used twice`);
      this.received.add(packetNumber, packetNumber + 1);
      this.takeFrames(packetNumber, bytes, at + HEADER_BYTES, next - TAG_BYTES);
      at = next;
    }
  }

  private takeFrames(packetNumber: number, bytes: Uint8Array, from: number, end: number): void {
    const { cursor } = this;
    cursor.reset(bytes, from, end);
    while (cursor.next()) {
      const { type } = cursor;
      this.frames.set(type, (this.frames.get(type) ?? 0) + 1);
      this.onFrame?.(packetNumber, cursor);
      if (type === FRAME.close) {
        const reason = Buffer.from(bytes.slice(cursor.start, cursor.end)).toString();
        this.close = { errorCode: cursor.code, reason };
      } else if (type === FRAME.newConnectionId) {
        this.ids.set(cursor.offset, bytes.slice(cursor.start, cursor.end));
      }
    }
    if (!cursor.ok) broken("the victim sent a frame that cannot be read");
  }
}

/** One end of a link that both ends make with the same secret. */
export function newConnection(
  primitives: Primitives,
  role: Role,
  draw: (byteLength: number) => Uint8Array,
  changes: Partial<TransportParameters> = {},
  congestion: "cubic" | "bbr" = "cubic",
): Connection {
  const secretKey = draw(32);
  const identity: KeyPair = { secretKey, publicKey: primitives.x25519.publicKey(secretKey) };
  const connectionId = draw(8);
  const parameters = { ...DEFAULT_PARAMETERS, ...changes };
  const handshake = new Handshake({
    role,
    ...(role === "initiator" ? { mode: "secret" } : {}),
    credentials: { secret: new Uint8Array(32).fill(7) },
    primitives,
    random: draw,
    identity,
    connectionId,
    parameters: encodeParameters(parameters),
    verifyPeer: () => "accept",
  });
  return new Connection(0, {
    handshake,
    paths: role === "initiator" ? [PATH] : [],
    primitives,
    random: draw,
    parameters,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    congestion,
    connectionId,
  });
}

/** Carries packets to and fro until both ends are established; what the victim sends later is left to it. */
function link(victim: Connection, own: Connection, transmit: Transmit): void {
  for (let rounds = 0; victim.state !== "established" || own.state !== "established"; rounds++) {
    if (rounds > 10) broken("the handshake does not end");
    for (const [from, to] of [
      [own, victim],
      [victim, own],
    ] as const) {
      // The initiator is established by its last message, which is still to be sent.
      const hasMore =
        from.state === "handshaking" || (from.role === "initiator" && to.state === "handshaking");
      while (hasMore && to.state !== "closed" && from.pollTransmit(0, transmit)) {
        to.handleDatagram(0, PATH, transmit.buffer.slice(0, transmit.length));
        if (from.state === "established") break;
      }
    }
  }
}

export { EVENT };

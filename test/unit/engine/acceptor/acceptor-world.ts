/** An acceptor in virtual time, driven as a listener drives it, and peers that start handshakes with it. */
import type { Path } from "../../../../src/base/path.ts";
import { packetIntegrity } from "../../../../src/crypto/integrity.ts";
import { Acceptor, type AcceptorEvent, type HalfOpen } from "../../../../src/engine/acceptor/acceptor.ts";
import { sourceOf } from "../../../../src/engine/acceptor/guess-limits.ts";
import {
  Connection,
  type ConnectionEvent,
  type Transmit,
} from "../../../../src/engine/connection/connection.ts";
import {
  DEFAULT_PARAMETERS,
  encodeParameters,
} from "../../../../src/engine/connection/transport-parameters.ts";
import {
  type Credentials,
  Handshake,
  type HandshakeConfig,
  type Mode,
} from "../../../../src/engine/handshake/handshake.ts";
import { nodePrimitives } from "../../../../src/platform/crypto/node-provider.ts";
import { decodeNotice } from "../../../../src/wire/handshake-packet.ts";
import { Random } from "../../../sim/random.ts";
import { configOf, newInitiator, RESPONDER_KEYS } from "../handshake-sides.ts";

const PARAMETERS = encodeParameters(DEFAULT_PARAMETERS);
const PORT = 4242;

export interface WorldOptions {
  readonly credentials: Credentials;
  readonly maxLinks?: number;
  readonly isSilent?: boolean;
  readonly verifyPeer?: HandshakeConfig["verifyPeer"];
}

/** A connection of the listener. The acceptor knows it by this object. */
class Accepted {
  readonly connection: Connection;
  readonly connectionId: Uint8Array;
  halfOpen: HalfOpen<Accepted> | undefined;
  isLinked = false;

  constructor(connection: Connection) {
    this.connection = connection;
    this.connectionId = connection.connectionId;
  }
}

export type WorldEvent = AcceptorEvent<Accepted>;

export class AcceptorWorld {
  nowMs = 0;
  readonly acceptor: Acceptor<Accepted>;
  /** The acceptor's events in order. */
  readonly events: WorldEvent[] = [];
  /** The connections that the driver holds, oldest first. */
  readonly held: Set<Accepted> = new Set();
  /** Connections made since the start. */
  made = 0;
  readonly #options: WorldOptions;
  readonly #random: Random = new Random(11, "acceptor");
  readonly #paths: Map<string, Path> = new Map();
  #sent: { path: Path; bytes: Uint8Array }[] = [];
  #credentials: Credentials;
  #seed = 1000;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#credentials = options.credentials;
    this.acceptor = new Acceptor(0, {
      random: (byteLength) => this.#random.bytes(byteLength),
      publicKey: RESPONDER_KEYS.publicKey,
      isSilent: options.isSilent ?? false,
      credentials: options.credentials,
      maxLinks: options.maxLinks ?? 1,
    });
  }

  /** The kinds of the events so far, with the number of failures behind a guess. */
  get eventKinds(): string[] {
    return this.events.map((event) => (event.kind === "guess" ? `guess ${event.failures}` : event.kind));
  }

  /** A peer with its own connection ID. */
  newPeer(mode: Mode, changes: Partial<HandshakeConfig> = {}): Handshake {
    return newInitiator(mode, { parameters: PARAMETERS, ...changes }, this.#seed++);
  }

  /** Delivers a datagram and returns the datagrams that its sender receives in answer. */
  receive(address: string, bytes: Uint8Array): Uint8Array[] {
    const path = this.#pathOf(address);
    const known = this.#find(bytes);
    if (known !== undefined) this.#deliver(known, path, bytes);
    else if (bytes.subarray(3, 11).every((byte) => byte === 0)) this.#first(path, bytes);
    this.#drain();
    const replies = this.#sent.filter((one) => one.path.address === address).map((one) => one.bytes);
    this.#sent = [];
    return replies;
  }

  /** Runs the whole handshake of `peer`, whose first message is `first`, and returns the answers by kind. */
  run(peer: Handshake, address: string, first: Uint8Array = this.start(peer)): string[] {
    const answers: string[] = [];
    const outbox = [first];
    for (let packet = outbox.shift(); packet !== undefined; packet = outbox.shift()) {
      for (const reply of this.receive(address, packet)) {
        answers.push(kindOf(reply));
        peer.handlePacket(this.nowMs, reply);
        const next = peer.pollTransmit();
        if (next !== undefined) outbox.push(next);
      }
    }
    return answers;
  }

  /** The first message of `peer`. */
  start(peer: Handshake): Uint8Array {
    peer.start(this.nowMs);
    const first = peer.pollTransmit();
    if (first === undefined) throw new Error("the peer has no first message");
    return first;
  }

  /** Lets time pass; connections whose time-out is due get it. */
  advance(byMs: number): void {
    this.nowMs += byMs;
    for (const { connection } of this.held)
      if (connection.pollTimeout() <= this.nowMs) connection.handleTimeout(this.nowMs);
    this.#drain();
    this.#sent = [];
  }

  /** The link of the oldest connection ends and its connection goes away. */
  endLink(): void {
    const [oldest] = [...this.held].filter(({ isLinked }) => isLinked);
    if (oldest === undefined) throw new Error("there is no link");
    this.acceptor.handleLinkOver();
    this.#detach(oldest);
  }

  #pathOf(address: string): Path {
    const path = this.#paths.get(address) ?? { address, port: PORT, socket: 0 };
    this.#paths.set(address, path);
    return path;
  }

  #find(bytes: Uint8Array): Accepted | undefined {
    const at = (bytes[0]! & 0xf0) === 0xd0 ? 3 : 1;
    const id = bytes.subarray(at, at + 8);
    for (const accepted of this.held)
      if (accepted.connectionId.every((byte, i) => byte === id[i])) return accepted;
    return undefined;
  }

  #first(path: Path, bytes: Uint8Array): void {
    const { address } = path;
    const origin = { path, address, guessSource: sourceOf(address) };
    const outcome = this.acceptor.handleFirst(this.nowMs, origin, bytes);
    this.#drain();
    if (outcome.kind === "repeated") this.#deliver(outcome.handle, path, bytes);
    if (outcome.kind !== "incoming") return;
    const { connection, handshake } = this.#newConnection();
    const accepted = new Accepted(connection);
    accepted.halfOpen = this.acceptor.accept(outcome.incoming, connection, handshake, accepted);
    this.held.add(accepted);
    this.#deliver(accepted, path, bytes);
  }

  #deliver(accepted: Accepted, path: Path, bytes: Uint8Array): void {
    const { halfOpen, connection } = accepted;
    if (halfOpen === undefined || accepted.isLinked) connection.handleDatagram(this.nowMs, path, bytes);
    else this.acceptor.handleDatagram(this.nowMs, halfOpen, path, bytes);
    this.#drain();
  }

  #newConnection(): { connection: Connection; handshake: Handshake } {
    const { verifyPeer = () => "accept" } = this.#options;
    const config = configOf(++this.made, {
      role: "responder",
      credentials: this.#credentials,
      parameters: PARAMETERS,
      verifyPeer,
    });
    const handshake = new Handshake(config);
    const connection = new Connection(this.nowMs, {
      handshake,
      paths: [],
      primitives: nodePrimitives,
      random: (byteLength) => this.#random.bytes(byteLength),
      parameters: DEFAULT_PARAMETERS,
      idleTimeoutMs: 60_000,
      congestion: "cubic",
      connectionId: config.connectionId,
    });
    return { connection, handshake };
  }

  /** Sets a code as the listener does. */
  setCode(code: Uint8Array | undefined): void {
    const { code: _former, ...others } = this.#credentials;
    this.#credentials = code === undefined ? others : { ...others, code };
    this.acceptor.setCode(code);
    this.#drain();
  }

  close(): void {
    this.acceptor.close();
    this.#drain();
  }

  #drain(): void {
    for (;;) {
      const transmit = this.acceptor.pollTransmit();
      if (transmit === undefined) break;
      this.#sent.push(transmit);
    }
    for (;;) {
      const event = this.acceptor.pollEvent();
      if (event === undefined) break;
      this.#take(event);
    }
    for (const accepted of [...this.held]) this.#drainConnection(accepted);
  }

  #take(event: WorldEvent): void {
    this.events.push(event);
    if (event.kind === "established") event.halfOpen.handle.isLinked = true;
    else if (event.kind === "codeRetired") this.#dropCredential("code");
    else if (event.kind === "ticketSpent") this.#dropCredential("ticket");
    else if (event.kind === "discard") {
      if (event.flush) this.#send(event.handle);
      this.#detach(event.handle);
    }
  }

  #dropCredential(mode: "code" | "ticket"): void {
    const { [mode]: _dropped, ...others } = this.#credentials;
    this.#credentials = others;
  }

  #drainConnection(accepted: Accepted): void {
    const { connection, halfOpen } = accepted;
    this.#send(accepted);
    const event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };
    while (connection.pollEvent(event)) {
      if (halfOpen === undefined || accepted.isLinked) continue;
      this.acceptor.handleEvent(this.nowMs, halfOpen, event);
      for (;;) {
        const own = this.acceptor.pollEvent();
        if (own === undefined) break;
        this.#take(own);
      }
    }
    if (connection.state === "closed") this.#detach(accepted);
  }

  #send({ connection }: Accepted): void {
    const nowhere: Path = { address: "nowhere", port: 0, socket: 0 };
    const transmit: Transmit = {
      buffer: new Uint8Array(16 * 1500),
      length: 0,
      segmentBytes: 0,
      path: nowhere,
    };
    while (connection.pollTransmit(this.nowMs, transmit)) {
      this.#sent.push({ path: transmit.path, bytes: transmit.buffer.slice(0, transmit.length) });
    }
  }

  #detach(accepted: Accepted): void {
    if (!this.held.delete(accepted)) return;
    if (accepted.halfOpen !== undefined) this.acceptor.handleDetached(accepted.halfOpen);
  }
}

/** The kind of a packet from the listener; a notice by its reason. */
function kindOf(bytes: Uint8Array): string {
  switch (bytes[0]) {
    case 0xd1:
      return "pakeAnswer";
    case 0xd3:
      return "noise2";
    case 0xe0:
      return decodeNotice(bytes, packetIntegrity)?.reason ?? "damaged notice";
    case 0xe1:
      return "cookie";
    default:
      return "data";
  }
}

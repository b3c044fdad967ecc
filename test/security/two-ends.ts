/**
 * Two engines with real cryptography in virtual time, and between them a wire that the test holds in its hands:
 * it decides for each datagram what arrives, where, and from which address.
 */
import type { Path } from "../../src/base/path.ts";
import {
  Connection,
  type ConnectionEvent,
  EVENT,
  type Transmit,
} from "../../src/engine/connection/connection.ts";
import { DEFAULT_PARAMETERS, encodeParameters } from "../../src/engine/connection/transport-parameters.ts";
import { Handshake, type HandshakeConfig, type Mode } from "../../src/engine/handshake/handshake.ts";
import type { RekeyLimits } from "../../src/engine/handshake/key-update.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { NonceRecord } from "../sim/nonce-record.ts";
import { Random } from "../sim/random.ts";
import { CREDENTIALS, INITIATOR_KEYS, RESPONDER_KEYS } from "../unit/engine/handshake-sides.ts";

/** 0 is the initiator, 1 the responder. */
export type Side = 0 | 1;

/** A datagram under way. */
export interface Parcel {
  readonly to: Side;
  readonly bytes: Uint8Array;
  /** Address that it seems to come from; that of the other side when absent. */
  readonly from?: Path;
  /** Default: 10. */
  readonly delayMs?: number;
}

export interface TwoEndsOptions {
  readonly mode?: Mode;
  readonly seed?: number;
  /** Changes of the handshakes' configuration, by side. */
  readonly changes?: readonly [Partial<HandshakeConfig>, Partial<HandshakeConfig>];
  readonly rekey?: RekeyLimits;
  readonly firstPacketNumber?: number;
  readonly idleTimeoutMs?: number;
}

/** Addresses of initiator and responder, and of somebody else. */
export const HOME: readonly [Path, Path] = [
  { address: "192.0.2.1", port: 1111, socket: 0 },
  { address: "192.0.2.2", port: 4242, socket: 0 },
];
export const STRANGER: Path = { address: "203.0.113.66", port: 6666, socket: 0 };

const DELAY_MS = 10;

export class TwoEnds {
  now = 1000;
  readonly ends: readonly [End, End];
  readonly nonces = new NonceRecord();
  /** Every datagram that either side has sent, in order. */
  readonly sent: { readonly from: Side; readonly bytes: Uint8Array; readonly path: Path }[] = [];
  /** What arrives in place of a datagram; without an attacker, itself. */
  onWire: (parcel: Parcel, path: Path) => readonly Parcel[] = (parcel) => [parcel];
  #arrivals: { at: number; order: number; parcel: Parcel }[] = [];
  #order = 0;

  constructor(options: TwoEndsOptions = {}) {
    const { mode = "secret", seed = 1, changes = [{}, {}] } = options;
    this.ends = ([0, 1] as const).map((side) => {
      const random = new Random(seed, `end ${side}`);
      const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
      const connectionId = draw(8);
      const primitives = this.nonces.watch(nodePrimitives, `end ${side}`);
      const handshake = new Handshake({
        role: side === 0 ? "initiator" : "responder",
        ...(side === 0 && { mode }),
        credentials: CREDENTIALS,
        primitives,
        random: draw,
        identity: side === 0 ? INITIATOR_KEYS : RESPONDER_KEYS,
        connectionId,
        parameters: encodeParameters(DEFAULT_PARAMETERS),
        verifyPeer: () => "accept",
        ...changes[side],
      });
      const connection = new Connection(this.now, {
        handshake,
        paths: side === 0 ? [HOME[1]] : [],
        primitives,
        random: draw,
        parameters: DEFAULT_PARAMETERS,
        idleTimeoutMs: options.idleTimeoutMs ?? 60_000,
        congestion: "cubic",
        connectionId,
        ...(options.rekey !== undefined && { rekey: options.rekey }),
        ...(options.firstPacketNumber !== undefined && { firstPacketNumber: options.firstPacketNumber }),
      });
      return new End(side, connection, handshake);
    }) as unknown as [End, End];
  }

  /** Puts a datagram on the wire from outside. */
  inject(parcel: Parcel): void {
    this.#schedule(parcel);
  }

  /** Lets time run until `isDone`, or for so long. */
  run(forMs: number, isDone: () => boolean = () => false): void {
    const untilMs = this.now + forMs;
    this.drain();
    while (!isDone()) {
      this.#arrivals.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#arrivals[0]?.at ?? Infinity;
      const timers = this.ends.map(({ connection }) => connection.pollTimeout());
      const at = Math.max(this.now, Math.min(next, ...timers));
      if (at > untilMs) break;
      this.now = at;
      if (next <= at) {
        const { parcel } = this.#arrivals.shift()!;
        const path = parcel.from ?? HOME[(1 - parcel.to) as Side];
        // Packets are opened in place, so each arrival has bytes of its own.
        this.ends[parcel.to].connection.handleDatagram(at, path, Uint8Array.from(parcel.bytes));
      } else {
        for (const end of this.ends) {
          if (end.connection.pollTimeout() <= at) end.connection.handleTimeout(at);
        }
      }
      this.drain();
    }
    this.now = isDone() ? this.now : untilMs;
  }

  /** Runs until both sides have confirmed the link. */
  link(): this {
    this.run(30_000, () => this.isLinked);
    if (!this.isLinked) throw new Error(`no link: ${this.ends.map((end) => end.outcome).join(", ")}`);
    return this;
  }

  get isLinked(): boolean {
    return this.ends[0].isConfirmed && this.ends[1].isEstablished;
  }

  /** Does what an input or a command asks for, on both sides. */
  drain(): void {
    for (const end of this.ends) {
      end.drainInto(this.now, (bytes, path) => {
        this.sent.push({ from: end.side, bytes, path });
        const parcel: Parcel = { to: (1 - end.side) as Side, bytes };
        for (const one of this.onWire(parcel, path)) this.#schedule(one);
      });
    }
  }

  #schedule(parcel: Parcel): void {
    const at = this.now + (parcel.delayMs ?? DELAY_MS);
    this.#arrivals.push({ at, order: this.#order++, parcel });
  }
}

/** One side: its connection, and what came of it. */
export class End {
  readonly side: Side;
  readonly connection: Connection;
  readonly handshake: Handshake;
  isEstablished = false;
  isConfirmed = false;
  isClosed = false;
  /** What came on the peer's stream, in order. */
  received: Uint8Array[] = [];
  isFinished = false;
  readonly #event: ConnectionEvent = { kind: 0, streamId: -1, errorCode: 0 };
  readonly #transmit: Transmit = {
    buffer: new Uint8Array(65_536),
    length: 0,
    segmentBytes: 0,
    path: HOME[0],
  };

  constructor(side: Side, connection: Connection, handshake: Handshake) {
    this.side = side;
    this.connection = connection;
    this.handshake = handshake;
  }

  get text(): Buffer {
    return Buffer.concat(this.received);
  }

  get outcome(): string {
    const { state, closeCause } = this.connection;
    return `${state} ${closeCause?.code ?? ""} ${closeCause?.reason ?? ""}`.trim();
  }

  /** Writes all of it on a stream of its own, and ends the stream. */
  say(bytes: Uint8Array): void {
    const stream = this.connection.openStream();
    this.connection.write(stream, bytes);
    this.connection.finish(stream);
  }

  drainInto(now: number, send: (bytes: Uint8Array, path: Path) => void): void {
    const { connection } = this;
    const transmit = this.#transmit;
    for (;;) {
      while (connection.pollTransmit(now, transmit)) {
        for (let at = 0; at < transmit.length; at += transmit.segmentBytes) {
          const end = Math.min(transmit.length, at + transmit.segmentBytes);
          send(transmit.buffer.slice(at, end), transmit.path);
        }
      }
      if (!connection.pollEvent(this.#event)) return;
      this.#handle(this.#event);
    }
  }

  #handle({ kind, streamId }: ConnectionEvent): void {
    if (kind === EVENT.established) this.isEstablished = true;
    else if (kind === EVENT.confirmed) this.isConfirmed = true;
    else if (kind === EVENT.closed) this.isClosed = true;
    else if (kind === EVENT.readable || kind === EVENT.streamOpened) {
      for (let bytes = this.connection.read(streamId); bytes; bytes = this.connection.read(streamId)) {
        this.received.push(Uint8Array.from(bytes));
      }
      this.isFinished ||= this.connection.readFinished(streamId);
    }
  }
}

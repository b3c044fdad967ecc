/**
 * Two ends with two paths between them, as a relay and a direct one are: each is a socket of its own at both
 * ends, with its own delay, and can be cut. What the ends do with them is for the test to say.
 */
import type { Path } from "../../src/base/path.ts";
import { Connection, type ConnectionEvent, EVENT } from "../../src/engine/connection/connection.ts";
import {
  DEFAULT_PARAMETERS,
  encodeParameters,
  type TransportParameters,
} from "../../src/engine/connection/transport-parameters.ts";
import { Handshake, type Role } from "../../src/engine/handshake/handshake.ts";
import { contentOf, isContent } from "./content.ts";
import { DrivenConnection } from "./driven-connection.ts";
import { toyPrimitives } from "./primitives.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

const CHUNK_BYTES = 16_384;
const CONTENT_KEY = 7;
const EVENT_NAMES = new Map<number, string>(Object.entries(EVENT).map(([name, kind]) => [kind, name]));
/** Events that tell of paths, which is what these tests are about. */
const PATH_EVENTS: readonly number[] = [
  EVENT.pathChanged,
  EVENT.pathValidated,
  EVENT.pathFailed,
  EVENT.pathSuspect,
  EVENT.pathDead,
  EVENT.pathAlive,
];

export interface Wire {
  isUp: boolean;
  delayMs: number;
}

export interface TwoPathsOptions {
  readonly delaysMs: readonly [number, number];
  readonly idleTimeoutMs?: number;
  readonly congestion?: "cubic" | "bbr";
}

export class TwoPathsEnd extends DrivenConnection {
  /** The two ways to the peer, by socket. */
  readonly paths: readonly [Path, Path];
  /** Path events with their time and the socket of the path that they name. */
  readonly log: { atMs: number; event: string; socket: number | undefined }[] = [];
  peer!: TwoPathsEnd;
  readBytes = 0;
  /** Datagrams sent, by socket. */
  readonly sent: [number, number] = [0, 0];
  readonly #wires: readonly [Wire, Wire];
  #streamId = -1;
  #toWrite = 0;
  #written = 0;

  constructor(world: World, wires: readonly [Wire, Wire], role: Role, options: TwoPathsOptions) {
    const other = role === "initiator" ? 2 : 1;
    const paths = [
      { address: `192.0.2.${other}`, port: 1000, socket: 0 },
      { address: `198.51.100.${other}`, port: 2000, socket: 1 },
    ] as const;
    super(world, newConnection(world.now, paths[0], role, options));
    this.#wires = wires;
    this.paths = paths;
  }

  /** Sends `bytes` more on a stream of its own, opened at the first call. */
  send(bytes: number): void {
    if (this.#streamId < 0) this.#streamId = this.connection.openStream();
    this.#toWrite += bytes;
    this.#write();
    this.settle();
  }

  probe(socket: 0 | 1): void {
    this.connection.probePath(this.world.now, this.paths[socket]);
    this.settle();
  }

  use(socket: 0 | 1): boolean {
    const isUsed = this.connection.usePath(this.world.now, this.paths[socket]);
    this.settle();
    return isUsed;
  }

  /** Names of the path events so far, each with the socket of its path. */
  get story(): string[] {
    return this.log.map(({ event, socket }) => `${event} ${socket}`);
  }

  at(event: string): number {
    const entry = this.log.find((one) => one.event === event);
    if (entry === undefined) throw new Error(`no ${event} in ${this.story.join(", ")}`);
    return entry.atMs;
  }

  protected override onDatagram(path: Path, bytes: Uint8Array): void {
    const socket = path.socket as 0 | 1;
    const { isUp, delayMs } = this.#wires[socket];
    this.sent[socket]++;
    if (!isUp) return;
    const { world, peer } = this;
    world.at(world.now + delayMs, () => peer.receive(peer.paths[socket], bytes));
  }

  protected override onEvent({ kind, streamId, path }: ConnectionEvent): void {
    if (kind === EVENT.readable) this.#read(streamId);
    else if (kind === EVENT.writable) this.#write();
    else if (PATH_EVENTS.includes(kind)) {
      this.log.push({ atMs: this.world.now, event: EVENT_NAMES.get(kind)!, socket: path?.socket });
    }
  }

  #read(streamId: number): void {
    for (;;) {
      const bytes = this.connection.read(streamId);
      if (bytes === undefined) return;
      if (!isContent(bytes, CONTENT_KEY, this.readBytes))
        throw new Error(`wrong bytes from ${this.readBytes} on`);
      this.readBytes += bytes.length;
    }
  }

  #write(): void {
    while (this.#written < this.#toWrite) {
      const length = Math.min(CHUNK_BYTES, this.#toWrite - this.#written);
      const bytes = contentOf(CONTENT_KEY, this.#written, length);
      this.#written += length;
      if (!this.connection.write(this.#streamId, bytes)) return;
    }
  }
}

function newConnection(nowMs: number, path: Path, role: Role, options: TwoPathsOptions): Connection {
  const { idleTimeoutMs = Number.POSITIVE_INFINITY, congestion = "bbr" } = options;
  const random = new Random(1, role);
  const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
  const secretKey = draw(32);
  const connectionId = draw(8);
  const parameters: TransportParameters = {
    ...DEFAULT_PARAMETERS,
    idleTimeoutMs: Number.isFinite(idleTimeoutMs) ? idleTimeoutMs : 0,
  };
  const handshake = new Handshake({
    role,
    ...(role === "initiator" ? { mode: "key" as const } : {}),
    credentials: { key: true },
    primitives: toyPrimitives,
    random: draw,
    identity: { secretKey, publicKey: toyPrimitives.x25519.publicKey(secretKey) },
    connectionId,
    parameters: encodeParameters(parameters),
    verifyPeer: () => "accept",
  });
  return new Connection(nowMs, {
    handshake,
    paths: role === "initiator" ? [path] : [],
    primitives: toyPrimitives,
    random: draw,
    parameters,
    idleTimeoutMs,
    congestion,
    connectionId,
  });
}

/** An established link over the first path. */
export class TwoPaths {
  readonly world: World = new World();
  readonly wires: readonly [Wire, Wire];
  readonly initiator: TwoPathsEnd;
  readonly responder: TwoPathsEnd;

  constructor(options: TwoPathsOptions) {
    const [first, second] = options.delaysMs;
    this.wires = [
      { isUp: true, delayMs: first },
      { isUp: true, delayMs: second },
    ];
    this.initiator = new TwoPathsEnd(this.world, this.wires, "initiator", options);
    this.responder = new TwoPathsEnd(this.world, this.wires, "responder", options);
    this.initiator.peer = this.responder;
    this.responder.peer = this.initiator;
    this.initiator.settle();
    this.run(1000);
    if (this.responder.connection.state !== "established") throw new Error("no link");
  }

  /** Lets so much time pass. */
  run(forMs: number): void {
    const untilMs = this.world.now + forMs;
    this.world.at(untilMs, () => {});
    this.world.run(untilMs);
  }
}

/**
 * What the net layer does for an agent, in the simulated internet: sockets, candidates by STUN, signals that are really
 * sealed and take their time, and the drive loop.
 */
import { PunchAgent } from "../../../src/punch/agent.ts";
import type {
  PunchEvent,
  PunchOptions,
  PunchTransmit,
  SocketPurpose,
  WorkingPair,
} from "../../../src/punch/punch-events.ts";
import { openSignal, sealSignal } from "../../../src/punch/sealed-signal.ts";
import type { Candidate } from "../../../src/wire/candidate-codec.ts";
import type { Random } from "../random.ts";
import type { World } from "../world.ts";
import type { Site } from "./internet.ts";
import { behaviourOf } from "./kinds.ts";

const KEY = new Uint8Array(32).fill(7);
const NONCE = new Uint8Array(16).fill(1);
const STUN_SERVERS = [
  { address: "198.51.100.1", port: 3478 },
  { address: "198.51.100.2", port: 3478 },
];
const PREDICTED_PORTS = 16;
const STUN_MS = 40;
const OPEN_MS = 3;

export interface PunchHostOptions extends Partial<PunchOptions> {
  readonly role: "initiator" | "responder";
  /** From the publishing of a signal to its arrival. */
  readonly signalMs: number;
}

export class PunchHost {
  readonly agent: PunchAgent;
  readonly site: Site;
  /** Every event with its time. */
  readonly log: { atMs: number; event: PunchEvent }[] = [];
  /** When each packet left, for the limits of rate. */
  readonly sentAtMs: number[] = [];
  readonly sent: PunchTransmit[] = [];
  peer: PunchHost | undefined;
  private readonly world: World;
  private readonly options: PunchHostOptions;
  private readonly random: Random;
  private readonly portOf = new Map<number, number>();
  private readonly socketOf = new Map<number, number>();
  private nextSocket = 0;
  private nextPort: number;
  private timer = 0;

  constructor(world: World, random: Random, site: Site, options: PunchHostOptions) {
    this.world = world;
    this.random = random;
    this.site = site;
    this.options = options;
    this.nextPort = 30_000 + random.below(20_000);
    this.agent = new PunchAgent({
      checkKey: KEY,
      random: (byteLength) => random.bytes(byteLength),
      local: behaviourOf(site.nats.map((nat) => nat.kind)),
      allowSpray: true,
      ...options,
    });
    site.arrival = (nowMs, from, toPort, bytes) => {
      const socket = this.socketOf.get(toPort);
      if (socket === undefined) return;
      this.agent.handleDatagram(nowMs, socket, from.address, from.port, bytes);
      this.drain();
    };
  }

  /** Opens the first socket and, where there is signalling, publishes what is known of it. */
  start(): void {
    this.open("main");
  }

  get path(): WorkingPair["path"] | undefined {
    return this.best?.path;
  }

  get best(): WorkingPair | undefined {
    return this.log.findLast(({ event }) => event.kind === "best")?.event as WorkingPair | undefined;
  }

  /** When the first pair without a relay worked. */
  get directAtMs(): number {
    const found = this.log.find(({ event }) => event.kind === "pair" && event.path !== "relay");
    return found?.atMs ?? Number.POSITIVE_INFINITY;
  }

  get sockets(): number {
    return this.portOf.size;
  }

  private open(purpose: SocketPurpose): void {
    const socket = this.nextSocket++;
    const port = this.nextPort++;
    this.portOf.set(socket, port);
    this.socketOf.set(port, socket);
    const host: Candidate = { kind: "host", address: this.site.hostAddress, port, family: 4 };
    const add = (candidates: readonly Candidate[]): void => {
      if (!this.portOf.has(socket)) return;
      this.agent.addLocal(this.world.now, { socket, family: 4, kind: "udp", candidates, purpose });
      this.drain();
    };
    if (purpose === "birthday") {
      add([]);
      return;
    }
    add([host]);
    this.world.at(this.world.now + STUN_MS, () => {
      const reflexive = this.reflexive(port);
      add([host, ...reflexive]);
      this.publish([host, ...reflexive]);
    });
  }

  private reflexive(port: number): Candidate[] {
    const seen = STUN_SERVERS.map((server) => this.site.reflect(port, server)).filter(
      (one) => one !== undefined,
    );
    const last = seen.at(-1);
    if (last === undefined) return [];
    const candidates: Candidate[] = [{ kind: "serverReflexive", ...last, family: 4 }];
    if (this.site.nats.at(-1)?.kind.ports !== "sequential") return candidates;
    for (let step = 1; step <= PREDICTED_PORTS; step++)
      candidates.push({ kind: "predicted", address: last.address, port: last.port + step, family: 4 });
    return candidates;
  }

  private published: readonly Candidate[] = [];

  private publish(candidates: readonly Candidate[]): void {
    const { peer, options, agent } = this;
    this.published = candidates;
    if (peer === undefined) return;
    const blob = sealSignal(KEY, (byteLength) => this.random.bytes(byteLength), {
      role: options.role,
      generation: agent.generation,
      attempt: agent.attempt,
      sessionNonce: NONCE,
      sentAtS: 0,
      nat: behaviourOf(this.site.nats.map((nat) => nat.kind)),
      candidates,
      hasOpened: agent.hasOpened,
    });
    this.world.at(this.world.now + options.signalMs, () => {
      const signal = openSignal(KEY, options.role, blob);
      if (signal === undefined) throw new Error("a signal does not open");
      peer.agent.setRemote(this.world.now, signal);
      peer.drain();
    });
  }

  private drain(): void {
    const nowMs = this.world.now;
    const into: PunchTransmit = { socket: 0, address: "", port: 0, ttl: 0, bytes: new Uint8Array(0) };
    while (this.agent.pollTransmit(into)) {
      const port = this.portOf.get(into.socket);
      if (port === undefined) continue;
      this.sentAtMs.push(nowMs);
      this.sent.push({ ...into });
      this.site.send(port, { address: into.address, port: into.port }, into.ttl, into.bytes);
    }
    for (let event = this.agent.pollEvent(); event !== undefined; event = this.agent.pollEvent()) {
      this.log.push({ atMs: nowMs, event });
      this.act(event);
    }
    const timer = ++this.timer;
    const wakeAtMs = this.agent.pollTimeout();
    if (wakeAtMs === Number.POSITIVE_INFINITY) return;
    // As real timers: whole milliseconds, and never early.
    this.world.at(Math.max(nowMs + 1, Math.ceil(wakeAtMs)), () => {
      if (timer !== this.timer) return;
      this.agent.handleTimeout(this.world.now);
      this.drain();
    });
  }

  private act(event: PunchEvent): void {
    if (event.kind === "needSockets") {
      const { count, purpose } = event;
      this.world.at(this.world.now + OPEN_MS, () => {
        for (let i = 0; i < count; i++) this.open(purpose);
      });
    } else if (event.kind === "dropSockets") {
      for (const socket of event.sockets) {
        this.socketOf.delete(this.portOf.get(socket)!);
        this.portOf.delete(socket);
      }
    } else if (event.kind === "answerReady") this.publish(this.published);
  }
}

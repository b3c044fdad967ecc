/**
 * A UDP link emulator: stands between two real processes on one machine and gives them a path.
 *
 *     connecting side  ──►  front socket ──[ up ]──►  back socket (one a client)  ──►  target
 *                      ◄──               ◄─[down]──                              ◄──
 *
 * The path is the simulator's own (`test/sim/link.ts`), its virtual clock led along the real one: a
 * scenario means the same in both. All clients share one `up` and one `down`, so that two transfers compete
 * for the same bottleneck. Run it as a process of its own (`emulator-main.ts`), where the work of a test
 * cannot delay it.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import { type Datagram, Link, type LinkOptions } from "../sim/link.ts";
import { Random } from "../sim/random.ts";
import { World } from "../sim/world.ts";

export interface EmulatorOptions {
  /** Where datagrams of the connecting side arrive; port 0 takes a free one. */
  readonly listenPort: number;
  /** Where they go: an IP address of this machine, which also decides the family. */
  readonly targetAddress: string;
  readonly targetPort: number;
  readonly seed: number;
  /** From the connecting side to the target. */
  readonly up: Partial<LinkOptions>;
  readonly down: Partial<LinkOptions>;
}

/** Who sees the other end move, as behind a NAT that rebinds. */
export type RebindSide = "target" | "client" | "both";

export interface EmulatorReport {
  readonly up: Link["counts"];
  readonly down: Link["counts"];
  readonly clients: number;
  /** Share of the datagrams that left more than 1 ms after they were due, and the latest of all, ms. */
  readonly late1msShare: number;
  readonly latestMs: number;
  /** Processor time of this process so far. */
  readonly cpuMs: number;
}

interface Client {
  readonly address: string;
  readonly port: number;
  back: Socket;
}

/** A datagram on its way, with the client that it comes from or goes to. */
interface Carried extends Datagram {
  readonly client: Client;
}

/** Below this the loop naps and polls instead of trusting a timer, which fires 1.1–1.3 ms late. */
const TIMER_SLACK_MS = 2;
/** The longest nap between two looks at the sockets: bounds the error of an arrival's time. */
const NAP_MS = 0.2;
/** The shortest: on a fast link something is always due, and a spinning loop would eat a core for nothing. */
const NAP_FLOOR_MS = 0.1;
const SOCKET_BUFFER_BYTES = 4 << 20;

export class Emulator {
  readonly #options: EmulatorOptions;
  readonly #family: "udp4" | "udp6";
  readonly #loopback: string;
  readonly #world: World;
  readonly #up: Link;
  readonly #down: Link;
  readonly #clients = new Map<string, Client>();
  #front: Socket;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #polling = false;
  #closed = false;
  #passed = 0;
  #passedLate = 0;
  #latestMs = 0;

  private constructor(options: EmulatorOptions, front: Socket) {
    this.#options = options;
    this.#family = familyOf(options.targetAddress);
    this.#loopback = loopbackOf(this.#family);
    this.#world = new World(performance.now());
    const overheadBytes = this.#family === "udp6" ? 48 : 28;
    const link = (label: "up" | "down", receive: (datagram: Carried) => void): Link =>
      new Link(
        this.#world,
        new Random(options.seed, label),
        { overheadBytes, ...options[label] },
        (dueMs, datagram) => {
          this.#noteLateness(performance.now() - dueMs);
          receive(datagram as Carried);
        },
      );
    this.#up = link("up", ({ bytes, client }) => {
      client.back.send(bytes, options.targetPort, options.targetAddress, ignoreSendError);
    });
    this.#down = link("down", ({ bytes, client }) => {
      this.#front.send(bytes, client.port, client.address, ignoreSendError);
    });
    this.#front = front;
    this.#attachFront(front);
  }

  /** Opens the front socket; rejects with the system's error when the port is taken. */
  static async open(options: EmulatorOptions): Promise<Emulator> {
    const family = familyOf(options.targetAddress);
    return new Emulator(options, await openSocket(family, loopbackOf(family), options.listenPort));
  }

  /** Port that the connecting side is to be pointed at. */
  get port(): number {
    return this.#front.address().port;
  }

  /** Turns knobs from now on; what is under way keeps its times. */
  change(up: Partial<LinkOptions>, down: Partial<LinkOptions>): void {
    this.#up.set(up);
    this.#down.set(down);
  }

  /** Nothing arrives between these times (ms from now) in either direction, again every `everyMs` if given. */
  scheduleBlackHole(fromMs: number, untilMs: number, everyMs?: number): void {
    const turn = (isDown: boolean) => (): void => this.change({ isDown }, { isDown });
    this.#follow();
    const now = this.#world.now;
    this.#world.at(now + fromMs, turn(true));
    this.#world.at(now + untilMs, turn(false));
    if (everyMs !== undefined) {
      this.#world.at(now + everyMs, () => this.scheduleBlackHole(fromMs, untilMs, everyMs));
    }
    this.#arm();
  }

  /** What became of the datagrams so far. */
  report(): EmulatorReport {
    const { user, system } = process.cpuUsage();
    return {
      up: this.#up.counts,
      down: this.#down.counts,
      clients: this.#clients.size,
      late1msShare: this.#passed === 0 ? 0 : this.#passedLate / this.#passed,
      latestMs: this.#latestMs,
      cpuMs: (user + system) / 1000,
    };
  }

  /**
   * Gives one or both ends another address to the other: the target sees its clients come from new ports
   * (and from `address`, any of 127.0.0.0/8, if given); the clients see the target answer from a new port.
   * The old ports are dead from then on.
   */
  async rebind(side: RebindSide, address: string = this.#loopback): Promise<void> {
    if (side !== "client") {
      for (const client of this.#clients.values()) {
        const old = client.back;
        client.back = await this.#openBack(client, address);
        old.close();
      }
    }
    if (side !== "target") {
      const old = this.#front;
      this.#front = await openSocket(this.#family, address, 0);
      this.#attachFront(this.#front);
      old.close();
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#front.close();
    for (const { back } of this.#clients.values()) back.close();
  }

  #noteLateness(lateMs: number): void {
    this.#passed++;
    if (lateMs > 1) this.#passedLate++;
    this.#latestMs = Math.max(this.#latestMs, lateMs);
  }

  #attachFront(front: Socket): void {
    // Datagrams of a new client wait here while its back socket opens.
    const opening = new Map<string, Buffer[]>();
    front.on("message", (bytes, remote) => {
      const name = `${remote.address} ${remote.port}`;
      const client = this.#clients.get(name);
      if (client !== undefined) {
        this.#carry(this.#up, bytes, client);
        return;
      }
      const waiting = opening.get(name);
      if (waiting !== undefined) {
        waiting.push(bytes);
        return;
      }
      opening.set(name, [bytes]);
      void this.#admit(remote, name).then((admitted) => {
        for (const early of opening.get(name) ?? []) this.#carry(this.#up, early, admitted);
        opening.delete(name);
      });
    });
  }

  async #admit({ address, port }: RemoteInfo, name: string): Promise<Client> {
    const client: Client = { address, port, back: undefined as unknown as Socket };
    client.back = await this.#openBack(client, this.#loopback);
    this.#clients.set(name, client);
    return client;
  }

  async #openBack(client: Client, address: string): Promise<Socket> {
    const back = await openSocket(this.#family, address, 0);
    back.on("message", (bytes) => this.#carry(this.#down, bytes, client));
    return back;
  }

  #carry(link: Link, bytes: Uint8Array, client: Client): void {
    this.#follow();
    const { targetAddress, targetPort } = this.#options;
    const carried: Carried = {
      bytes,
      lengthBytes: bytes.length,
      fromAddress: client.address,
      fromPort: client.port,
      toAddress: targetAddress,
      toPort: targetPort,
      client,
    };
    link.send(carried);
    this.#arm();
  }

  /** Leads the virtual clock up to the real one and runs what has come due. */
  #follow(): void {
    const now = performance.now();
    this.#world.run(now);
    this.#world.now = now;
  }

  /** Sees to it that the loop looks again when the next event is due: by polling if soon, else by a timer. */
  #arm(): void {
    if (this.#polling || this.#closed) return;
    const { nextAt } = this.#world;
    if (nextAt === Number.POSITIVE_INFINITY || nextAt >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const waitMs = nextAt - performance.now();
    if (waitMs <= TIMER_SLACK_MS) {
      this.#polling = true;
      setImmediate(this.#poll);
    } else {
      this.#timerAtMs = nextAt;
      this.#timer = setTimeout(this.#wake, Math.floor(waitMs - TIMER_SLACK_MS) + 1);
    }
  }

  readonly #wake = (): void => {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#arm();
  };

  readonly #poll = (): void => {
    this.#polling = false;
    if (this.#closed) return;
    this.#follow();
    const waitMs = this.#world.nextAt - performance.now();
    if (waitMs <= TIMER_SLACK_MS) nap(Math.min(Math.max(waitMs, NAP_FLOOR_MS), NAP_MS));
    this.#arm();
  };
}

const NAP_CELL = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread with a precision that timers lack; the sockets' buffers hold what arrives meanwhile. */
function nap(forMs: number): void {
  Atomics.wait(NAP_CELL, 0, 0, forMs);
}

/** A full buffer or an absent target loses the datagram, as a network does. */
function ignoreSendError(): void {}

function familyOf(address: string): "udp4" | "udp6" {
  return isIPv6(address) ? "udp6" : "udp4";
}

function loopbackOf(family: "udp4" | "udp6"): string {
  return family === "udp6" ? "::1" : "127.0.0.1";
}

async function openSocket(family: "udp4" | "udp6", address: string, port: number): Promise<Socket> {
  const socket = createSocket({
    type: family,
    // Only addresses come here; the default look-up would cost each send a turn of the event loop.
    lookup: (host, _options, done) => done(null, host, family === "udp6" ? 6 : 4),
  });
  // First the ear, then the call: with a synchronous look-up the event comes before `bind` returns.
  const listening = once(socket, "listening");
  socket.bind(port, address);
  await listening;
  // ICMP errors surface here on some systems; the peers find out by themselves.
  socket.on("error", () => {});
  try {
    socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
  } catch {
    // The system's limit is lower and stays in force.
  }
  return socket;
}

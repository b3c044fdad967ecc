/**
 * `rendezvous` under attack by clients that are nobody: UDP from several addresses, WebSockets, TCP connections
 * that never become one. Two honest clients meet beside them, one by UDP, one by WebSocket.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { equalBytes } from "../../../src/base/bytes.ts";
import {
  decodeReply,
  encodeRequest,
  type MailboxReply,
  type MailboxRequest,
  writeRelayHead,
} from "../../../src/wire/mailbox-messages.ts";
import { pause, within } from "../../lib/deadline.ts";
import { broken } from "../target.ts";
import type { Xorshift } from "../xorshift.ts";
import { type Counts, heapBytes } from "./inventory.ts";
import type { StartVictim, Victim } from "./victim.ts";
import type { World } from "./world.ts";

const KINDS = ["meet", "leave", "relayOpen", "relayClose", "hello"] as const;
/** Small limits, so that what a server may hold is small against what it is sent. */
const LIMITS: Readonly<Record<string, string>> = {
  "--max-places": "400",
  "--max-per-address": "40",
  "--max-websockets": "60",
  "--max-relays": "30",
  "--max-message-rate": "20000",
};
/** All that one address may have at a server with these limits, and what is on its way to ten sockets. */
const HELD_BYTES = 700_000;
/** What a single message may leave behind beyond that. */
const HEAP_BYTES_PER_MESSAGE = 20;
/** What is on its way gets so long to arrive. */
const QUIET_MS = 2000;
/** What the first attacks leave is code that was compiled, and tables that have grown. */
const WARM_UP_ATTACKS = 3;
const BUFFERED_MOST_BYTES = 8192;
const HONEST_TIMEOUT_MS = 5000;
const NO_COOKIE: Uint8Array = new Uint8Array(16);
const HONEST_HOST = "127.0.0.9";

/** An attack, whole: who there is, and what is sent in which order. */
interface Plan {
  readonly webSockets: number;
  readonly udpSockets: number;
  /** TCP connections that say this and then wait. */
  readonly greetings: readonly string[];
  readonly messages: number;
  readonly placesAreFresh: boolean;
  readonly kinds: readonly (typeof KINDS)[number][];
  readonly host: string;
}

export class RendezvousWorld implements World {
  readonly #startVictim: StartVictim;
  readonly #folder: string = mkdtempSync(join(tmpdir(), "srudp-fuzz-"));
  #victim!: Victim;
  #port = 0;
  #honest!: HonestClient;
  #attacks = 0;

  constructor(startVictim: StartVictim) {
    this.#startVictim = startVictim;
  }

  async start(): Promise<void> {
    const environment = { XDG_CONFIG_HOME: this.#folder, XDG_RUNTIME_DIR: this.#folder };
    // Most messages are to get past the limit of their rate, which has tests of its own.
    const words = ["--port", "0", "--host", "127.0.0.1", ...Object.entries(LIMITS).flat()];
    this.#victim = this.#startVictim("rendezvous", words, environment);
    const { udp } = await this.#victim.event("rendezvous");
    this.#port = Number(/:(\d+)$/.exec(udp[0])?.[1]);
    this.#honest = await HonestClient.open(this.#port);
    await this.#honest.exchange();
  }

  async attack(random: Xorshift): Promise<number> {
    const plan = planOf(random);
    const url = `ws://127.0.0.1:${this.#port}`;
    const webSockets = Array.from({ length: plan.webSockets }, () => {
      const webSocket = new WebSocket(url, { localAddress: plan.host });
      webSocket.on("error", () => undefined);
      return webSocket;
    });
    const clients = plan.greetings.map((greeting) => {
      const socket = connect({ port: this.#port, host: "127.0.0.1", localAddress: plan.host });
      socket.on("error", () => undefined);
      socket.write(greeting, "latin1");
      return socket;
    });
    const udpSockets = await Promise.all(
      Array.from({ length: plan.udpSockets }, () => UdpClient.open(plan.host, this.#port)),
    );
    await Promise.all(
      webSockets.map((one) =>
        Promise.race([once(one, "open"), once(one, "close"), pause(2000)]).catch(() => undefined),
      ),
    );
    await Promise.all(udpSockets.map((one) => one.greet()));
    // The server has heard of all of them by then, and holds what they began with.
    await Promise.all([this.#honest.exchange(), pause(50)]);
    const beforeBytes = heapBytes();
    let taken = 0;
    for (let sent = 0; sent < plan.messages; sent++) {
      const by = random.below(webSockets.length + udpSockets.length);
      const webSocket = webSockets[by];
      if (webSocket !== undefined) {
        // What waits here is held by the attacker, who shares the heap that is looked at.
        if (webSocket.readyState !== webSocket.OPEN || webSocket.bufferedAmount > BUFFERED_MOST_BYTES)
          continue;
        if (random.oneIn(300)) webSocket.send("text");
        else webSocket.send(messageOf(random, plan, NO_COOKIE));
      } else {
        const client = udpSockets[by - webSockets.length]!;
        client.send(messageOf(random, plan, random.oneIn(12) ? NO_COOKIE : client.cookie));
      }
      taken++;
      // The server takes what is there before more is sent: UDP has no other brake.
      if (sent % 40 === 39) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([this.#honest.exchange(), pause(20)]);
    if (this.#victim.residentBytes === undefined && ++this.#attacks > WARM_UP_ATTACKS)
      await this.#checkHeap(beforeBytes, taken);
    for (const webSocket of webSockets) {
      if (random.oneIn(2)) webSocket.close();
      else webSocket.terminate();
    }
    for (const client of clients) client.destroy();
    for (const client of udpSockets) client.close();
    await this.#honest.exchange();
    return taken + plan.webSockets + plan.greetings.length;
  }

  /** What the server holds while its clients are there is bounded, however much they send. */
  async #checkHeap(beforeBytes: number, messages: number): Promise<void> {
    const allowed = HELD_BYTES + messages * HEAP_BYTES_PER_MESSAGE;
    const untilMs = performance.now() + QUIET_MS;
    for (;;) {
      const more = heapBytes() - beforeBytes;
      if (more <= allowed) return;
      if (performance.now() > untilMs)
        broken(`${messages} messages took ${(more / 1e6).toFixed(1)} MB while their senders stay`);
      // Answers that are on their way, to attackers in the same heap, will have arrived.
      await pause(100);
    }
  }

  get residentBytes(): number | undefined {
    return this.#victim.residentBytes;
  }

  check(): void {
    const { end, internal } = this.#victim;
    if (internal !== undefined) broken(`a fault of its own: ${internal}`);
    if (end !== undefined) broken(`the server has ended: ${end}`);
  }

  held(): Counts {
    return this.#victim.held();
  }

  async stop(): Promise<void> {
    this.#honest.close();
    await this.#victim.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  print(random: Xorshift): string {
    return JSON.stringify(planOf(random));
  }
}

function planOf(random: Xorshift): Plan {
  const greetings = [
    "",
    "GET / HTTP/1.1\r\n",
    "\u0016\u0003\u0001\u0002\u0000\u0001",
    "\u0000".repeat(40),
    `GET /${"a".repeat(20_000)}`,
  ];
  // One in four presses one WebSocket with one kind of message; the others are of everything.
  const presses = random.oneIn(4);
  return {
    webSockets: presses ? 1 : 1 + random.below(6),
    udpSockets: presses ? 0 : 1 + random.below(4),
    greetings: Array.from({ length: random.below(random.oneIn(5) ? 100 : 8) }, () => random.pick(greetings)),
    messages: presses ? 15_000 + random.below(15_000) : 500 + random.below(random.oneIn(6) ? 20_000 : 4000),
    placesAreFresh: presses || random.oneIn(2),
    kinds: presses || random.oneIn(4) ? [random.pick(KINDS)] : KINDS,
    host: `127.0.0.${20 + random.below(4)}`,
  };
}

function messageOf(random: Xorshift, plan: Plan, cookie: Uint8Array): Uint8Array {
  const point = plan.placesAreFresh ? random.bytes(32) : new Uint8Array(32).fill(random.below(50));
  const head = { transaction: random.bytes(8), cookie, point, side: random.below(2) as 0 | 1 };
  // A message that is too long ends a WebSocket, so it is rare.
  if (random.oneIn(20)) return random.bytes(random.below(random.oneIn(500) ? 3000 : 1400));
  if (random.oneIn(20)) {
    const relayed = random.bytes(9 + random.below(1200));
    writeRelayHead(relayed, random.bytes(8));
    return relayed;
  }
  const kind = random.pick(plan.kinds);
  let request: MailboxRequest;
  if (kind === "hello") request = { kind, transaction: head.transaction };
  else if (kind === "meet") {
    const blobs = {
      localDigest: random.bytes(8),
      peerDigest: random.bytes(8),
      blob: random.bytes(random.below(300)),
    };
    request = { kind, ...head, ...blobs };
  } else request = { kind, ...head };
  const bytes = encodeRequest(request);
  return random.oneIn(20) ? bytes.subarray(0, random.mutate(bytes, bytes.length)) : bytes;
}

/** A UDP socket that has a cookie. */
class UdpClient {
  cookie: Uint8Array = NO_COOKIE;
  readonly #socket: UdpSocket = createSocket("udp4");
  readonly #port: number;
  onReply: (reply: MailboxReply) => void = () => undefined;

  private constructor(port: number) {
    this.#port = port;
    this.#socket.on("error", () => undefined);
    this.#socket.on("message", (bytes) => {
      const reply = decodeReply(bytes);
      if (reply?.kind === "cookie") this.cookie = reply.cookie.slice();
      if (reply !== undefined) this.onReply(reply);
    });
  }

  static async open(host: string, port: number): Promise<UdpClient> {
    const client = new UdpClient(port);
    client.#socket.bind(0, host);
    await once(client.#socket, "listening");
    return client;
  }

  send(bytes: Uint8Array): void {
    this.#socket.send(bytes, this.#port, "127.0.0.1");
  }

  /** Asks for a cookie until it is there; a server under attack may drop a datagram. */
  async greet(): Promise<void> {
    for (let tries = 0; tries < 40 && this.cookie === NO_COOKIE; tries++) {
      this.send(encodeRequest({ kind: "hello", transaction: new Uint8Array(8).fill(1) }));
      await pause(5);
    }
  }

  close(): void {
    this.#socket.close();
  }
}

/** Two who meet at a place again and again: one by UDP, one by WebSocket. */
class HonestClient {
  readonly #udp: UdpClient;
  readonly #webSocket: WebSocket;
  #round = 0;

  private constructor(udp: UdpClient, webSocket: WebSocket) {
    this.#udp = udp;
    this.#webSocket = webSocket;
  }

  static async open(port: number): Promise<HonestClient> {
    const udp = await UdpClient.open(HONEST_HOST, port);
    await udp.greet();
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}`, { localAddress: HONEST_HOST });
    await once(webSocket, "open");
    return new HonestClient(udp, webSocket);
  }

  /** A new blob by UDP reaches the one who waits by WebSocket. */
  async exchange(): Promise<void> {
    const point = new Uint8Array(32).fill(201);
    const blob = new Uint8Array(100).fill(++this.#round & 0xff);
    const meet = (side: 0 | 1, cookie: Uint8Array, own: Uint8Array): Uint8Array =>
      encodeRequest({
        kind: "meet",
        transaction: new Uint8Array(8).fill(2),
        cookie,
        point,
        side,
        localDigest: new Uint8Array(8),
        peerDigest: new Uint8Array(8),
        blob: own,
      });
    const arrived = new Promise<void>((resolve) => {
      const take = (message: Buffer): void => {
        const reply = decodeReply(message);
        if (reply?.kind !== "state" || !equalBytes(reply.blob, blob)) return;
        this.#webSocket.off("message", take);
        resolve();
      };
      this.#webSocket.on("message", take);
    });
    this.#webSocket.send(meet(0, NO_COOKIE, new Uint8Array(0)));
    const again = setInterval(() => {
      void this.#udp.greet();
      this.#udp.send(meet(1, this.#udp.cookie, blob));
    }, 50);
    this.#udp.send(meet(1, this.#udp.cookie, blob));
    try {
      await within(arrived, HONEST_TIMEOUT_MS, () => "two honest clients do not meet");
    } finally {
      clearInterval(again);
    }
  }

  close(): void {
    this.#udp.close();
    this.#webSocket.terminate();
  }
}

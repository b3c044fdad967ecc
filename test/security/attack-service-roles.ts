/** What the processes of `attack-service-main.ts` do, each in its namespace, until they are killed. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { WebSocket } from "ws";
import { connect } from "../../src/index.ts";
import { Endpoint } from "../../src/link/endpoint.ts";
import { newConnection } from "../../src/link/new-connection.ts";
import { Trust } from "../../src/link/trust.ts";
import { UdpSocket } from "../../src/platform/udp/udp-socket.ts";
import { encodeRequest } from "../../src/wire/mailbox-messages.ts";
import { Attacker } from "../fuzz/stack/attacker.ts";
import { scriptOf } from "../fuzz/stack/script.ts";
import { Xorshift } from "../fuzz/xorshift.ts";
import { pause } from "../lib/deadline.ts";
import { forgedFirst } from "../lib/first-message.ts";

/** The ports of the attacked machine. */
export const PORTS = { listener: 4242, rendezvous: 3478, sink: 7000, echo: 7001, udpEcho: 7002 } as const;
/** Where the client's forwards begin: the transfer, and behind it the others. */
export const FIRST_FORWARD_PORT = 9000;
export const FORWARDS = 20;
export const SECRET: Uint8Array = new Uint8Array(32).fill(55);

export const ROLES: Readonly<Record<string, (words: RoleWords) => Promise<void>>> = {
  targets: serveTargets,
  transfer,
  forwards: useForwards,
  newcomers,
  insider,
  outsider,
};

export interface RoleWords {
  /** The attacked machine as this process sees it. */
  readonly server: string;
  /** Own address. */
  readonly address: string;
  readonly number: number;
  readonly packetsPerSecond: number;
  readonly mbit: number;
}

export type RoleReport =
  | { readonly kind: "ready" }
  | { readonly kind: "received"; readonly bytes: number; readonly atMs: number }
  | { readonly kind: "linked"; readonly tookMs: number }
  | { readonly kind: "echoed"; readonly tookMs: number }
  | { readonly kind: "broken"; readonly what: string }
  | { readonly kind: "sent"; readonly perSecond: number };

const report = (message: RoleReport): void => void process.send?.(message);
const REPORT_EVERY_MS = 200;

/** A sink that counts, and echoes by TCP and UDP. */
async function serveTargets(): Promise<void> {
  let bytes = 0;
  const serve = (port: number, take: (socket: Socket) => void): Promise<unknown> => {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      take(socket);
    });
    server.listen(port, "127.0.0.1", 1024);
    return once(server, "listening");
  };
  const udp = createSocket("udp4");
  udp.on("message", (message, from) => udp.send(message, from.port, from.address));
  udp.bind(PORTS.udpEcho, "127.0.0.1");
  await Promise.all([
    serve(PORTS.sink, (socket) => socket.on("data", (chunk) => (bytes += chunk.length))),
    serve(PORTS.echo, (socket) => socket.pipe(socket)),
    once(udp, "listening"),
  ]);
  report({ kind: "ready" });
  setInterval(() => report({ kind: "received", bytes, atMs: performance.now() }), REPORT_EVERY_MS);
}

/** Sends at the rate that it is held to, through the first forward. */
async function transfer({ mbit }: RoleWords): Promise<void> {
  const tickMs = 10;
  const socket = connectTcp({ port: FIRST_FORWARD_PORT, host: "127.0.0.1", noDelay: true });
  socket.on("close", () => report({ kind: "broken", what: "the transfer has ended" }));
  socket.on("error", () => undefined);
  await once(socket, "connect");
  report({ kind: "ready" });
  const chunk = new Uint8Array((mbit * 1e6 * tickMs) / 8000);
  let dueMs = performance.now();
  while (!socket.destroyed) {
    if (!socket.write(chunk)) await Promise.race([once(socket, "drain"), once(socket, "close")]);
    dueMs = Math.max(dueMs + tickMs, performance.now() - 200);
    await pause(Math.max(0, dueMs - performance.now()));
  }
}

/** A connection through each of the other forwards, all of them in use. */
async function useForwards(): Promise<void> {
  const sockets = Array.from({ length: FORWARDS - 1 }, (_, n) =>
    connectTcp({ port: FIRST_FORWARD_PORT + 1 + n, host: "127.0.0.1", noDelay: true }),
  );
  for (const [n, socket] of sockets.entries()) {
    socket.on("error", () => undefined);
    socket.on("close", () => report({ kind: "broken", what: `forward ${n + 1} has ended` }));
  }
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  report({ kind: "ready" });
  for (let round = 0; ; round++) {
    const socket = sockets[round % sockets.length]!;
    const startMs = performance.now();
    socket.write(String(round).padEnd(100));
    const [echoed] = (await once(socket, "data")) as [Buffer];
    if (Number(echoed.toString()) !== round) report({ kind: "broken", what: "an echo is not what was sent" });
    report({ kind: "echoed", tookMs: performance.now() - startMs });
    await pause(20);
  }
}

/** One link after another, made and ended. */
async function newcomers({ server }: RoleWords): Promise<void> {
  report({ kind: "ready" });
  for (;;) {
    const startMs = performance.now();
    try {
      const link = await connect({
        ...{ host: server, port: PORTS.listener, localPort: 0, secret: SECRET, timeoutMs: 20_000 },
        pipe: false,
      });
      report({ kind: "linked", tookMs: performance.now() - startMs });
      link.on("error", () => undefined);
      void link.close();
    } catch (error) {
      report({ kind: "linked", tookMs: performance.now() - startMs });
      report({ kind: "broken", what: `a newcomer: ${(error as Error).message}` });
    }
    await pause(500);
  }
}

/** Counts packets against a rate. */
class Allowance {
  readonly #perSecond: number;
  readonly #startMs: number = performance.now();
  sent = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    setInterval(() => {
      report({ kind: "sent", perSecond: (1000 * this.sent) / (performance.now() - this.#startMs) });
    }, 1000);
  }

  /** What may be sent now. */
  get left(): number {
    const due = ((performance.now() - this.#startMs) * this.#perSecond) / 1000;
    return Math.min(Math.floor(due) - this.sent, this.#perSecond / 5);
  }
}

/** Holds the secret: script after script on links of its own, and what is left of its rate as small packets. */
async function insider({ server, address, number, packetsPerSecond }: RoleWords): Promise<void> {
  const allowance = new Allowance(packetsPerSecond);
  const socket = await UdpSocket.bind({ family: 4, address, port: 0 });
  for (const name of ["send", "sendLast"] as const) {
    const send = socket[name].bind(socket);
    socket[name] = (bytes, to, port) => {
      allowance.sent++;
      send(bytes, to, port);
    };
  }
  // Bursts by one system call would go uncounted.
  Object.defineProperty(socket, "sendBurst", { value: () => 0 });
  const endpoint = new Endpoint([socket]);
  endpoint.setListening(true);
  const trust = new Trust({ secret: SECRET });
  const common = { secret: SECRET, idleTimeoutMs: 60_000 };
  const path = { address: server, port: PORTS.listener, socket: 0 };
  const open = (attacker: Attacker): ReturnType<typeof newConnection> => {
    const parts = newConnection(endpoint, () => attacker, {
      role: "initiator",
      trust,
      paths: [path],
      common,
    });
    attacker.take(endpoint, parts.connection, parts.connectionHandle);
    return parts;
  };
  report({ kind: "ready" });
  void floodFrom(endpoint, () => open(new Attacker(new Xorshift(number))), allowance);
  const echoes = { host: "127.0.0.1", port: PORTS.echo };
  for (let seed = number * 1_000_000; ; seed++) {
    const random = new Xorshift(seed, "attack on a service");
    const steps = scriptOf(random, {
      targets: [
        { kind: "tcp", ...echoes },
        { kind: "tcp", host: "127.0.0.1", port: PORTS.sink },
        { kind: "tcp", host: "127.0.0.1", port: 22 },
        { kind: "udp", host: "127.0.0.1", port: PORTS.udpEcho },
        { kind: "first" },
      ],
      binds: [
        { kind: "tcp", host: "", port: 0 },
        { kind: "udp", host: "", port: 0 },
        { kind: "tcp", host: "192.0.2.1", port: 80 },
      ],
      isInitiator: true,
      mostPhrases: 20,
    });
    const attacker = new Attacker(random);
    open(attacker);
    await attacker.run(steps).catch(() => undefined);
    while (allowance.left <= 0) await pause(5);
  }
}

/** Small datagrams of no flow, a packet each, on a link that is made again whenever it ends. */
async function floodFrom(
  endpoint: Endpoint,
  open: () => ReturnType<typeof newConnection>,
  allowance: Allowance,
): Promise<void> {
  let parts = open();
  const noise = Uint8Array.of(0x40, 0xff, 1);
  for (;;) {
    await pause(5);
    if (parts.connectionHandle.detached) parts = open();
    if (parts.connection.state !== "established") continue;
    for (let left = allowance.left; left > 0; left--) {
      parts.connection.sendDatagram(noise);
      parts.connectionHandle.touch();
      endpoint.flush();
    }
  }
}

/** Holds nothing: half of them call the listener, half of them the rendezvous server, by UDP, TCP and WebSocket. */
async function outsider({ server, address, number, packetsPerSecond }: RoleWords): Promise<void> {
  const allowance = new Allowance(packetsPerSecond);
  const random = new Xorshift(number, "outsider");
  const socket = createSocket("udp4");
  socket.on("error", () => undefined);
  socket.bind(0, address);
  await once(socket, "listening");
  report({ kind: "ready" });
  const isAtListener = number % 2 === 0;
  const firsts = Array.from({ length: 500 }, () => forgedFirst({ mode: random.oneIn(2) ? "secret" : "key" }));
  const webSockets: WebSocket[] = [];
  for (;;) {
    await pause(4);
    for (let left = allowance.left; left > 0; left--) {
      allowance.sent++;
      if (isAtListener) {
        const first = random.pick(firsts).slice();
        // A new caller each time, or one that is damaged on the way, or noise.
        if (random.oneIn(8)) first[random.below(first.length)]! ^= 1 << random.below(8);
        socket.send(random.oneIn(6) ? random.bytes(random.below(1400)) : first, PORTS.listener, server);
      } else if (random.oneIn(200)) openTcp(random, server, address, webSockets);
      else {
        const head = {
          transaction: random.bytes(8),
          cookie: random.bytes(16),
          point: random.bytes(32),
          side: 0 as const,
        };
        const message = encodeRequest(
          random.oneIn(4)
            ? { kind: "hello", transaction: head.transaction }
            : { kind: "relayClose", ...head },
        );
        const webSocket = random.oneIn(2) ? webSockets[random.below(webSockets.length + 1)] : undefined;
        if (webSocket?.readyState === WebSocket.OPEN && webSocket.bufferedAmount < 10_000)
          webSocket.send(message);
        else socket.send(message, PORTS.rendezvous, server);
      }
    }
  }
}

/** A TCP connection that waits for nothing, or a WebSocket that stays. */
function openTcp(random: Xorshift, server: string, localAddress: string, webSockets: WebSocket[]): void {
  if (random.oneIn(4) && webSockets.length < 20) {
    const webSocket = new WebSocket(`ws://${server}:${PORTS.rendezvous}`, { localAddress });
    webSocket.on("error", () => undefined);
    webSocket.once("close", () => webSockets.splice(webSockets.indexOf(webSocket), 1));
    webSockets.push(webSocket);
    return;
  }
  const socket = connectTcp({ port: PORTS.rendezvous, host: server, localAddress });
  socket.on("error", () => undefined);
  socket.write("GET / HT");
}

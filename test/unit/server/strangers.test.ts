/** What one source may take of a rendezvous server, and that it is never what others need. */
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket as TcpSocket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { UNVALIDATED_RATE, USUAL_LIMITS } from "../../../src/server/limits.ts";
import type { RendezvousServer } from "../../../src/server/rendezvous-server.ts";
import { RequestHandler } from "../../../src/server/request-handler.ts";
import {
  decodeReply,
  encodeRequest,
  type MailboxRequest,
  REFUSAL,
  writeRelayHead,
} from "../../../src/wire/mailbox-messages.ts";
import { STUN_CLASS, STUN_METHOD, StunWriter } from "../../../src/wire/stun.ts";
import { pause, within } from "../../lib/deadline.ts";
import { openUdp } from "../../lib/udp.ts";
import { closing, startServer } from "./points.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const POLL = { timeout: 10_000 };
const NO_COOKIE = new Uint8Array(16);
const transaction = new Uint8Array(8);
const HELLO = encodeRequest({ kind: "hello", transaction });
/** No rate that a test could reach. */
const UNLIMITED = 1e9;

function placeNumber(number: number): Uint8Array {
  const point = new Uint8Array(32);
  new DataView(point.buffer).setUint32(0, number);
  return point;
}

function request(kind: "leave" | "relayClose" | "relayOpen", number: number, cookie = NO_COOKIE): Uint8Array {
  return encodeRequest({ kind, transaction, cookie, point: placeNumber(number), side: 0 });
}

function meetAt(number: number, cookie = NO_COOKIE): Uint8Array {
  const blobs = {
    localDigest: new Uint8Array(8),
    peerDigest: new Uint8Array(8),
    blob: new Uint8Array([1, 2, 3]),
  };
  return encodeRequest({ kind: "meet", transaction, cookie, point: placeNumber(number), side: 0, ...blobs });
}

async function webSocketTo(server: RendezvousServer, forwardedFor?: string): Promise<WebSocket> {
  const headers = forwardedFor === undefined ? {} : { "X-Forwarded-For": forwardedFor };
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, { headers, perMessageDeflate: false });
  closing({ close: () => socket.terminate() });
  await within(once(socket, "open"), 5000, () => "no WebSocket");
  return socket;
}

/** Sends `bytes` and waits for a message back. */
async function answerTo(socket: WebSocket, bytes: Uint8Array): Promise<Uint8Array> {
  const answered = once(socket, "message");
  socket.send(bytes);
  return ((await within(answered, 5000, () => "no answer")) as [Buffer])[0];
}

async function udpFrom(address: string): Promise<Socket> {
  const socket = closing(await openUdp(address));
  return socket;
}

/** How many of `count` copies of `bytes` are answered, sent a few at a time so that no buffer overflows. */
async function answered(socket: Socket, port: number, bytes: Uint8Array, count: number): Promise<number> {
  let answers = 0;
  const count1 = (): void => void answers++;
  socket.on("message", count1);
  for (let i = 0; i < count; i++) {
    socket.send(bytes, port, "127.0.0.1");
    if (i % 20 === 19) await pause(1);
  }
  await pause(100);
  socket.off("message", count1);
  return answers;
}

describe("one WebSocket", () => {
  it("takes no memory by leaving places that it never had", async () => {
    const server = await startServer({ limits: { messagesPerAddress: UNLIMITED } });
    const socket = await webSocketTo(server);
    const send = async (from: number, count: number): Promise<void> => {
      for (let i = from; i < from + count; i++) {
        socket.send(request(i % 2 === 0 ? "leave" : "relayClose", i));
        if (i % 3 === 0) socket.send(meetAt(i));
        if (i % 3 === 0) socket.send(request("leave", i));
        if (i % 500 === 0) await answerTo(socket, HELLO);
      }
    };
    await send(0, 5000);
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    await send(5000, 60_000);
    collectGarbage();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(3_000_000);
    expect(server.statistics).toMatchObject({ points: 0, waiting: 0, malformed: 0 });
  }, 60_000);

  it("gives back what it has when it ends, and nothing that somebody else has taken over", async () => {
    const server = await startServer();
    const first = await webSocketTo(server);
    const second = await webSocketTo(server);
    for (const number of [1, 2, 3]) await answerTo(first, meetAt(number));
    await answerTo(first, request("relayOpen", 9));
    first.send(request("leave", 3));
    await answerTo(second, meetAt(2));
    await expect.poll(() => server.statistics.waiting, POLL).toBe(2);
    first.terminate();
    await expect.poll(() => server.statistics.waiting, POLL).toBe(1);
    expect(server.statistics).toMatchObject({ points: 1, relays: 0 });
    second.terminate();
    await expect.poll(() => server.statistics.waiting, POLL).toBe(0);
  });

  it.each(["messages", "text", "pings", "relayed datagrams"])(
    "that sends %s too fast is read more slowly, and others are served",
    async (what) => {
      const server = await startServer({ limits: { messagesPerAddress: 20 } });
      const fast = await webSocketTo(server, "192.0.2.1");
      const stray = Buffer.alloc(40);
      writeRelayHead(stray, new Uint8Array(8));
      for (let i = 0; i < 20_000; i++) {
        if (what === "messages") fast.send(meetAt(i % 10));
        else if (what === "text") fast.send("a line of text");
        else if (what === "pings") fast.ping(Buffer.alloc(100));
        else fast.send(stray);
      }
      await expect.poll(() => server.statistics.overRate, POLL).toBeGreaterThan(0);
      const other = await webSocketTo(server, "192.0.2.2");
      for (let i = 0; i < 5; i++) await answerTo(other, meetAt(100 + i));
      // What had been read before the pause is dropped; the rest waits in TCP.
      const { malformed, relayDropped, waiting } = server.statistics;
      expect(server.statistics.overRate + malformed + relayDropped).toBeLessThan(10_000);
      expect(waiting).toBeLessThanOrEqual(15);
    },
    20_000,
  );

  it("that is within its rate has its pings answered", async () => {
    const socket = await webSocketTo(await startServer());
    const answeredPing = once(socket, "pong");
    socket.ping();
    await within(answeredPing, 5000, () => "no pong");
  });
});

describe("TCP connections that never become a WebSocket", () => {
  it("of one address leave room for others", async () => {
    const server = await startServer({ limits: { webSockets: 40, webSocketsPerAddress: 4 } });
    const idle: TcpSocket[] = [];
    let refused = 0;
    for (let i = 0; i < 60; i++) {
      const socket = connect({ port: server.port, host: "127.0.0.1", localAddress: "127.0.0.2" });
      closing({ close: () => socket.destroy() });
      socket.on("error", () => undefined);
      socket.on("close", () => void refused++);
      idle.push(socket);
      await once(socket, "connect");
    }
    await expect.poll(() => refused, POLL).toBe(50);
    const genuine = await Promise.all([0, 1, 2, 3].map((i) => webSocketTo(server, `192.0.2.${i}`)));
    for (const socket of genuine) expect(socket.readyState).toBe(WebSocket.OPEN);
    // Those that become a WebSocket make room for more that do not.
    for (const socket of idle) socket.destroy();
    await expect.poll(() => refused, POLL).toBe(60);
    for (let i = 0; i < 12; i++) await webSocketTo(server, `198.51.100.${i}`);
  });
});

describe("one source of datagrams", () => {
  it("gets a bounded number of answers without a proof of its address, by STUN and for cookies alike", async () => {
    const { port, statistics } = await startServer({ hosts: ["127.0.0.1"] });
    const question = new StunWriter(STUN_METHOD.binding, STUN_CLASS.request, new Uint8Array(12));
    const stun = question.finish();
    const flood = await udpFrom("127.0.0.2");
    const before = performance.now();
    const answers = (await answered(flood, port + 1, stun, 400)) + (await answered(flood, port, HELLO, 400));
    const allowed =
      UNVALIDATED_RATE.burst + (UNVALIDATED_RATE.perSecond * (performance.now() - before)) / 1000;
    expect(answers).toBeGreaterThan(0.5 * UNVALIDATED_RATE.burst);
    expect(answers).toBeLessThanOrEqual(allowed + 1);
    expect(statistics.overRate).toBeGreaterThan(0);
    const other = await udpFrom("127.0.0.3");
    expect(await answered(other, port, HELLO, 1)).toBe(1);
    expect(await answered(other, port, stun, 1)).toBe(1);
  });

  it("is served at its rate once it has a cookie, which a flood in its name does not use up", async () => {
    const { port } = await startServer({ limits: { messagesPerAddress: 20 } });
    const client = await udpFrom("127.0.0.2");
    const hello = once(client, "message");
    client.send(HELLO, port, "127.0.0.1");
    const reply = decodeReply(((await hello) as [Buffer])[0]);
    if (reply?.kind !== "cookie") throw new Error("no cookie");
    const cookie = Uint8Array.from(reply.cookie);
    // Another port of the same address has no cookie.
    const forger = await udpFrom("127.0.0.2");
    await answered(forger, port, meetAt(1), 500);
    expect(await answered(forger, port, HELLO, 20)).toBeLessThan(20);
    const before = performance.now();
    const answers = await answered(client, port, meetAt(1, cookie), 400);
    expect(answers).toBeGreaterThanOrEqual(100);
    expect(answers).toBeLessThanOrEqual(101 + (20 * (performance.now() - before)) / 1000);
  });
});

describe("a relay's quota", () => {
  const owner = (address: string) => {
    const sent: Uint8Array[] = [];
    return {
      address,
      isReliable: true,
      sent,
      send: (bytes: Uint8Array) => void sent.push(Uint8Array.from(bytes)),
      equals: (other: unknown) => other === self(address),
    };
  };
  const owners = new Map<string, ReturnType<typeof owner>>();
  const self = (address: string) => {
    if (!owners.has(address)) owners.set(address, owner(address));
    return owners.get(address)!;
  };
  const ask = (kind: "relayOpen" | "relayClose", side: 0 | 1): MailboxRequest => ({
    kind,
    transaction,
    cookie: NO_COOKIE,
    point: placeNumber(7),
    side,
  });

  it("is not renewed by leaving and coming back, and asking in vain counts for nothing", () => {
    const handler = new RequestHandler(0, { ...USUAL_LIMITS, relayQuotaBytes: 5000, relaysPerAddress: 1 });
    const [near, far] = [self("192.0.2.1"), self("192.0.2.2")];
    const send = (from: typeof near, message: MailboxRequest) =>
      handler.handleMessage(0, from, encodeRequest(message));
    send(near, ask("relayOpen", 0));
    send(far, ask("relayOpen", 1));
    const state = decodeReply(near.sent[0]!);
    if (state?.kind !== "relayState") throw new Error("no end");
    for (let i = 0; i < 6; i++) {
      const datagram = new Uint8Array(1000);
      writeRelayHead(datagram, state.session);
      handler.handleMessage(0, near, datagram);
    }
    send(near, ask("relayClose", 0));
    send(far, ask("relayClose", 1));
    expect(handler.statistics.relays).toBe(0);
    for (let i = 0; i < 3; i++) {
      send(near, ask("relayOpen", 0));
      expect(decodeReply(near.sent.at(-1)!)).toMatchObject({ kind: "refused", reason: REFUSAL.quota });
    }
    const elsewhere = { ...ask("relayOpen", 0), point: placeNumber(8) };
    send(near, elsewhere);
    expect(decodeReply(near.sent.at(-1)!)).toMatchObject({ kind: "relayState" });
    handler.sweep(4_000_000);
    handler.handleMessage(4_000_000, far, encodeRequest(ask("relayOpen", 1)));
    expect(decodeReply(far.sent.at(-1)!)).toMatchObject({ kind: "relayState" });
  });

  it("limits small datagrams by their number", () => {
    const handler = new RequestHandler(0, USUAL_LIMITS);
    const [near, far] = [self("192.0.2.3"), self("192.0.2.4")];
    handler.handleMessage(0, near, encodeRequest(ask("relayOpen", 0)));
    handler.handleMessage(0, far, encodeRequest(ask("relayOpen", 1)));
    const state = decodeReply(near.sent[0]!);
    if (state?.kind !== "relayState") throw new Error("no end");
    for (let ms = 0; ms < 1000; ms++) {
      for (let i = 0; i < 20; i++) {
        const datagram = new Uint8Array(10);
        writeRelayHead(datagram, state.session);
        handler.handleMessage(ms, near, datagram);
      }
    }
    expect(handler.statistics.relayedDatagrams).toBeGreaterThan(2500);
    expect(handler.statistics.relayedDatagrams).toBeLessThanOrEqual(3130);
  });
});

/**
 * `npm run bench:rendezvous-inputs`: what one message of a stranger costs a rendezvous server, and what it leaves there.
 *
 * By UDP without its system calls: the desk and the STUN responder are the real ones, their sockets write nothing. By TCP
 * with everything: the CPU time of a real server's process. Prints tables for `docs/threat-model.md`.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { WebSocket } from "ws";
import type { UdpSocket } from "../../src/platform/udp/udp-socket.ts";
import type { Client as ServerClient } from "../../src/server/client.ts";
import { USUAL_LIMITS } from "../../src/server/limits.ts";
import { RequestHandler } from "../../src/server/request-handler.ts";
import { StunResponder } from "../../src/server/stun-responder.ts";
import {
  BLOB_LIMIT_BYTES,
  decodeReply,
  encodeRequest,
  type MailboxRequest,
  writeRelayHead,
} from "../../src/wire/mailbox-messages.ts";
import { STUN_ATTRIBUTE, STUN_CLASS, STUN_METHOD, StunWriter } from "../../src/wire/stun.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const INPUTS = 50_000;
const HELD = 5000;
const CONNECTIONS = 2000;
const UNLIMITED = { ...USUAL_LIMITS, messagesPerAddress: 1e9, entriesPerAddress: 1e9 };
const transaction = new Uint8Array(8);

class Client implements ServerClient {
  readonly address = "192.0.2.7";
  readonly port = 5;
  readonly isReliable = false;
  answer: Uint8Array = new Uint8Array(0);

  send(bytes: Uint8Array): void {
    this.answer = bytes;
  }

  equals(other: ServerClient): boolean {
    return other === this;
  }
}

function row(
  what: string,
  handle: (i: number, nowMs: number) => void,
  answerBytes: () => number | string,
): void {
  for (let i = 0; i < INPUTS / 10; i++) handle(i, 0);
  collectGarbage();
  const before = process.cpuUsage();
  for (let i = 0; i < INPUTS; i++) handle(i, 0);
  const { user, system } = process.cpuUsage(before);
  console.log(`| ${what} | ${((user + system) / INPUTS).toFixed(1)} | ${answerBytes()} |`);
}

function point(number: number): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

function byUdp(): void {
  console.log("| datagram | CPU, µs | answer, bytes |\n|---|---|---|");
  const client = new Client();
  const handler = new RequestHandler(0, UNLIMITED, Date.now);
  const take = (request: MailboxRequest, to = handler) => {
    client.answer = new Uint8Array(0);
    to.handleDatagram(0, client, encodeRequest(request));
  };
  // A desk for each cookie that is asked for without a limit: the limit is what the next row shows.
  const fresh = new RequestHandler(0, UNLIMITED, Date.now);
  fresh.admitUnvalidated = () => true;
  const hello = { kind: "hello", transaction, wantsTime: true } as const;
  take(hello);
  const reply = decodeReply(client.answer);
  if (reply?.kind !== "cookie") throw new Error("no cookie");
  const cookie = Uint8Array.from(reply.cookie);
  const blob = new Uint8Array(BLOB_LIMIT_BYTES);
  const digests = { localDigest: transaction, peerDigest: transaction };
  const answered = () => client.answer.length;
  const junk = new Uint8Array(randomBytes(1200));
  junk[0] = 0xf2;
  row(
    "random bytes",
    () => handler.handleDatagram(0, client, junk),
    () => 0,
  );
  row("hello: a cookie", () => take(hello, fresh), answered);
  const spent = new RequestHandler(0, USUAL_LIMITS, Date.now);
  row("hello beyond the rate of its address", () => take(hello, spent), answered);
  const forged = { kind: "meet", transaction, cookie: transaction, side: 0, ...digests } as const;
  const forgedMeet = { ...forged, cookie: new Uint8Array(16), point: point(1), blob };
  row("meet with a wrong cookie", () => take(forgedMeet, fresh), answered);
  const meet = { ...forgedMeet, cookie, blob: new Uint8Array(0) };
  row("meet again, nothing new", () => take(meet), answered);
  row(
    "meet with another blob of 1 KiB each time",
    (i) => {
      new DataView(blob.buffer).setUint32(0, i);
      take({ ...meet, blob });
    },
    answered,
  );
  row(
    "meet and leave, a new place each time (2 messages)",
    (i) => {
      take({ ...meet, point: point(i + 10) });
      take({ kind: "leave", transaction, cookie, point: point(i + 10), side: 0 });
    },
    () => "61, 0",
  );
  row(
    "leave of nothing",
    (i) => take({ kind: "leave", transaction, cookie, point: point(i + 1e6), side: 0 }),
    answered,
  );
  const slow = new RequestHandler(0, USUAL_LIMITS, Date.now);
  const otherCookie = (() => {
    slow.handleDatagram(0, client, encodeRequest(hello));
    const given = decodeReply(client.answer);
    return given?.kind === "cookie" ? Uint8Array.from(given.cookie) : cookie;
  })();
  row("meet beyond the rate of its address", () => take({ ...meet, cookie: otherCookie }, slow), answered);
  const datagram = new Uint8Array(1200);
  row(
    "relayed datagram, no such end",
    () => {
      writeRelayHead(datagram, transaction);
      handler.handleDatagram(0, client, datagram);
    },
    () => 0,
  );

  const socket = {
    family: 4,
    local: { address: "192.0.2.1", port: 3478, family: 4 },
    send: (bytes: Uint8Array) => {
      client.answer = bytes;
    },
  } as unknown as UdpSocket;
  const other = { ...socket, local: { ...socket.local, port: 3479 } } as unknown as UdpSocket;
  const stun = new StunResponder([socket, other], 3478);
  const question = new StunWriter(STUN_METHOD.binding, STUN_CLASS.request, new Uint8Array(12)).finish();
  const marked = new StunWriter(STUN_METHOD.binding, STUN_CLASS.request, new Uint8Array(12))
    .u32(STUN_ATTRIBUTE.changeRequest, 0)
    .fingerprint()
    .finish();
  row("STUN binding request", () => stun.handle(socket, "192.0.2.7", 5, question), answered);
  row("STUN binding request with a fingerprint", () => stun.handle(socket, "192.0.2.7", 5, marked), answered);
  row(
    "STUN beyond the rate of its address",
    () => void spent.admitUnvalidated(0, "192.0.2.7"),
    () => 0,
  );

  collectGarbage();
  const before = process.memoryUsage();
  for (let i = 0; i < HELD; i++)
    take({ ...meet, point: point(i + 2e6), blob: randomBytes(BLOB_LIMIT_BYTES) });
  collectGarbage();
  const after = process.memoryUsage();
  const bytes = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  console.log(`\nan entry with a blob of 1 KiB holds ${Math.round(bytes / HELD)} bytes`);
  collectGarbage();
  const sources = process.memoryUsage().heapUsed;
  for (let i = 0; i < 16_384; i++) handler.admitValidated(0, `198.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  collectGarbage();
  console.log(
    `a source in a table of rates holds ${Math.round((process.memoryUsage().heapUsed - sources) / 16_384)} bytes`,
  );
}

async function byTcp(): Promise<void> {
  const words = ["rendezvous", "--port", "0", "--host", "127.0.0.1", "--max-message-rate", "99999999"];
  const limits = ["--max-websockets", "20000", "--max-per-address", "20000"];
  const server = SrudpProcess.start([...words, ...limits], { stdin: "nothing" });
  const port = Number(/:(\d+)$/.exec((await server.event("rendezvous")).ws)![1]);
  const resident = async (): Promise<number> => {
    server.kill("SIGUSR1");
    return (await server.event("statistics")).memoryBytes;
  };
  const cpuOf = async (count: number, act: () => Promise<void>): Promise<string> => {
    server.meter.sample();
    const before = server.meter.cpuMs;
    await act();
    server.meter.sample();
    return (((server.meter.cpuMs - before) * 1000) / count).toFixed(0);
  };
  const open = async (): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
    await once(socket, "open");
    return socket;
  };
  console.log("\n| by TCP, the whole process | CPU, µs |\n|---|---|");
  const idle: Socket[] = [];
  const knock = async (): Promise<void> => {
    for (let i = 0; i < CONNECTIONS; i++) {
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      idle.push(socket);
    }
    for (const socket of idle.splice(0)) socket.destroy();
  };
  console.log(`| connection that becomes nothing | ${await cpuOf(CONNECTIONS, knock)} |`);
  const sockets: WebSocket[] = [];
  const before = await resident();
  const upgrades = await cpuOf(CONNECTIONS, async () => {
    for (let i = 0; i < CONNECTIONS; i++) sockets.push(await open());
  });
  console.log(`| connection that becomes a WebSocket | ${upgrades} |`);
  const held = Math.round(((await resident()) - before) / CONNECTIONS);
  const [talker] = sockets;
  const cookie = new Uint8Array(16);
  const digests = { localDigest: transaction, peerDigest: transaction, blob: new Uint8Array(0) };
  const meet = encodeRequest({ kind: "meet", transaction, cookie, point: point(1), side: 0, ...digests });
  const messages = await cpuOf(INPUTS, async () => {
    let answers = 0;
    const done = new Promise<void>((resolve) => {
      talker!.on("message", () => ++answers === INPUTS && resolve());
    });
    for (let i = 0; i < INPUTS; i++) {
      talker!.send(meet);
      if (i % 500 === 499) await new Promise((resolve) => setImmediate(resolve));
    }
    await done;
  });
  console.log(`| meet by WebSocket | ${messages} |`);
  console.log(`\nan idle WebSocket holds ${held} bytes of resident memory`);
  for (const socket of sockets) socket.terminate();
}

try {
  byUdp();
  await byTcp();
} finally {
  await endAll();
}

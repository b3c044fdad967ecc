/**
 * `npm run flood -- [--mode secret|silent|key] [--rate 20000] [--seconds 20] [--addresses 1000] [--json]`
 *
 * A listener carries a transfer that is held to 100 Mbit/s. Then forged first messages come, so many a second, from
 * so many addresses (of 127.0.0.0/8, so no root is needed). Told are: the transfer's rate before and during, the
 * listener's memory, and how long genuine new peers took to get in. Each part is a process of its own.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { connect, type Link, listen, type TrustOptions } from "../../src/index.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { forgedFirst } from "../lib/first-message.ts";

type FloodMode = "secret" | "silent" | "key";

export interface FloodResult {
  readonly mode: FloodMode;
  /** Mbit/s of the transfer before and during. */
  readonly before: number;
  readonly during: number;
  /** First messages sent in a second, really. */
  readonly perSecond: number;
  /** Growth of the listener's resident memory, MB: most above what it was before. */
  readonly grownMb: number;
  /** Times that new peers took, ms. */
  readonly newcomersMs: readonly number[];
  /** Share of a core that the listener took, before and during. */
  readonly cpuPercent: readonly [number, number];
}

interface Sample {
  readonly bytes: number;
  readonly rss: number;
  readonly at: number;
  readonly cpuMs: number;
}

interface FloodPlan {
  readonly mode: FloodMode;
  readonly rate: number;
  readonly seconds: number;
  readonly addresses: number;
}

const SECRET = new Uint8Array(32).fill(42);
const LISTENER_KEYS = keyPair(7);
const PEER_KEYS = keyPair(8);
const TRANSFER_MBIT = 100;
const TICK_MS = 10;
const CALM_SECONDS = 8;

function keyPair(fill: number): { secretKey: Uint8Array; publicKey: Uint8Array } {
  const secretKey = new Uint8Array(32).fill(fill);
  return { secretKey, publicKey: nodePrimitives.x25519.publicKey(secretKey) };
}

function trustOf(mode: FloodMode, isListener: boolean): TrustOptions {
  if (mode === "secret") return { secret: SECRET };
  return isListener
    ? { identity: LISTENER_KEYS, peer: [PEER_KEYS.publicKey] }
    : { identity: PEER_KEYS, peer: [LISTENER_KEYS.publicKey] };
}

/** Takes links and swallows what comes; tells bytes and memory ten times a second. */
async function runListener(mode: FloodMode): Promise<void> {
  const listener = await listen({
    localAddress: "127.0.0.1",
    maxLinks: 64,
    silent: mode === "silent",
    ...trustOf(mode, true),
  });
  let bytes = 0;
  listener.on("link", (link: Link) => {
    link.on("error", () => undefined);
    link.on("data", (chunk: Uint8Array) => {
      bytes += chunk.length;
    });
  });
  process.send!({ port: listener.port });
  setInterval(() => {
    const { user, system } = process.cpuUsage();
    process.send!({
      bytes,
      rss: process.memoryUsage().rss,
      at: performance.now(),
      cpuMs: (user + system) / 1000,
    });
  }, 100);
}

/** Sends at the rate that the transfer is held to, for ever. */
async function runSender(mode: FloodMode, port: number): Promise<void> {
  const link = await connect({ host: "127.0.0.1", port, ...trustOf(mode, false) });
  link.on("error", () => process.exit(1));
  process.send!({ connected: true });
  const chunk = new Uint8Array((TRANSFER_MBIT * 1e6 * TICK_MS) / 8000);
  let due = performance.now();
  for (;;) {
    if (!link.write(chunk)) await once(link, "drain");
    due = Math.max(due + TICK_MS, performance.now() - 200);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
  }
}

/** One link, made and ended. */
async function runNewcomer(mode: FloodMode, port: number): Promise<void> {
  const startMs = performance.now();
  const link = await connect({ host: "127.0.0.1", port, timeoutMs: 20_000, ...trustOf(mode, false) });
  process.send!({ tookMs: performance.now() - startMs });
  link.on("error", () => undefined);
  link.destroy();
  setTimeout(() => process.exit(0), 200);
}

/** Sends forged first messages from all addresses in turn. */
async function runFlooder({ mode, rate, seconds, addresses }: FloodPlan, port: number): Promise<void> {
  const sockets: Socket[] = [];
  for (let i = 0; i < addresses; i++) {
    const socket = createSocket("udp4");
    socket.bind(0, `127.77.${i >> 8}.${i & 255}`);
    socket.on("error", () => undefined);
    sockets.push(socket);
  }
  await Promise.all(sockets.map((socket) => once(socket, "listening")));
  const wireMode = mode === "secret" ? "secret" : "key";
  const messages = Array.from({ length: 2000 }, () => forgedFirst({ mode: wireMode }));
  process.send!({ ready: true });
  const startMs = performance.now();
  let sent = 0;
  while (performance.now() - startMs < seconds * 1000) {
    const due = Math.min(((performance.now() - startMs) / 1000) * rate, sent + rate / 10);
    for (; sent < due; sent++)
      sockets[sent % addresses]!.send(messages[sent % messages.length]!, port, "127.0.0.1");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  process.send!({ perSecond: sent / ((performance.now() - startMs) / 1000) });
  setTimeout(() => process.exit(0), 100);
}

// biome-ignore lint/suspicious/noExplicitAny: each part says what it has to say
type Said = any;

/** Runs the whole of it. */
async function runFlood(plan: FloodPlan): Promise<FloodResult> {
  const children: ChildProcess[] = [];
  const start = (role: string, port = 0): ChildProcess => {
    const child = fork(fileURLToPath(import.meta.url), [
      "--role",
      role,
      "--port",
      `${port}`,
      ...wordsOf(plan),
    ]);
    children.push(child);
    return child;
  };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  try {
    const listener = start("listener");
    const [{ port }] = (await once(listener, "message")) as [Said];
    const samples: Sample[] = [];
    listener.on("message", (said: Said) => samples.push(said));
    await once(start("sender", port), "message");
    await pause(3000);
    const calmFrom = samples.length - 1;
    await pause(CALM_SECONDS * 1000);
    const calmTo = samples.length - 1;
    const flooder = start("flooder", port);
    await once(flooder, "message");
    const rate = once(flooder, "message") as Promise<[Said]>;
    await pause(1000);
    const floodFrom = samples.length - 1;
    const newcomersMs: number[] = [];
    for (let n = 0; n < Math.max(1, Math.floor(plan.seconds / 5)); n++) {
      const [{ tookMs }] = (await once(start("newcomer", port), "message")) as [Said];
      newcomersMs.push(tookMs);
      await pause(Math.max(0, 4000 - tookMs));
    }
    const [{ perSecond }] = await rate;
    const floodTo = samples.length - 1;
    const rateOf = (from: number, to: number): number => {
      const [a, b] = [samples[from]!, samples[to]!];
      return ((b.bytes - a.bytes) * 8) / 1000 / (b.at - a.at);
    };
    const cpuOf = (from: number, to: number): number => {
      const [a, b] = [samples[from]!, samples[to]!];
      return (100 * (b.cpuMs - a.cpuMs)) / (b.at - a.at);
    };
    const most = (from: number, to: number): number =>
      Math.max(...samples.slice(from, to).map(({ rss }) => rss)) / 1e6;
    return {
      mode: plan.mode,
      before: rateOf(calmFrom, calmTo),
      during: rateOf(floodFrom, floodTo),
      perSecond,
      grownMb: most(floodFrom, floodTo) - most(calmFrom, calmTo),
      newcomersMs,
      cpuPercent: [cpuOf(calmFrom, calmTo), cpuOf(floodFrom, floodTo)],
    };
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}

function wordsOf({ mode, rate, seconds, addresses }: FloodPlan): string[] {
  return ["--mode", mode, "--rate", `${rate}`, "--seconds", `${seconds}`, "--addresses", `${addresses}`];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      role: { type: "string", default: "all" },
      port: { type: "string", default: "0" },
      mode: { type: "string", default: "secret" },
      rate: { type: "string", default: "20000" },
      seconds: { type: "string", default: "20" },
      addresses: { type: "string", default: "1000" },
      json: { type: "boolean", default: false },
    },
  });
  const plan = {
    mode: values.mode as FloodMode,
    rate: Number(values.rate),
    seconds: Number(values.seconds),
    addresses: Number(values.addresses),
  };
  const port = Number(values.port);
  switch (values.role) {
    case "listener":
      return runListener(plan.mode);
    case "sender":
      return runSender(plan.mode, port);
    case "newcomer":
      return runNewcomer(plan.mode, port);
    case "flooder":
      return runFlooder(plan, port);
    default: {
      const result = await runFlood(plan);
      if (values.json) {
        process.stdout.write(`${JSON.stringify(result)}\n`);
        return;
      }
      const { before, during, perSecond, grownMb, newcomersMs, mode, cpuPercent } = result;
      process.stdout.write(
        `${mode}: ${Math.round(perSecond)} first messages/s from ${plan.addresses} addresses for ${plan.seconds} s; ` +
          `transfer ${before.toFixed(1)} → ${during.toFixed(1)} Mbit/s (${((100 * during) / before).toFixed(0)} %), ` +
          `memory ${grownMb >= 0 ? "+" : ""}${grownMb.toFixed(1)} MB, ` +
          `listener at ${cpuPercent.map((share) => share.toFixed(0)).join(" → ")} % of a core, ` +
          `new peers in after ${newcomersMs.map((ms) => ms.toFixed(0)).join(", ")} ms\n`,
      );
    }
  }
}

await main();

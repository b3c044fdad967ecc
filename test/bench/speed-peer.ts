/**
 * One end of a measurement, in a process of its own; `speed/peer-process.ts` starts it with its task as JSON. It
 * speaks one JSON object a line on stdout and stays until it is ended, or has nothing more to do.
 */
import { readSync, writeSync } from "node:fs";
import { Arrivals, WARM_UP_MS } from "./speed/arrivals.ts";
import { CHUNK } from "./speed/channel.ts";
import { carrierNamed, transportNamed } from "./speed/contenders.ts";
import type { PeerTask, Role, Said } from "./speed/peer-process.ts";

/** A little longer than the receiver measures, so that its end is not the sender's. */
const BEYOND_MS = 500;
/** Round trips before those that count: until then V8 compiles what it has seen to be hot, beside them. */
const WARM_UP_TRIPS = 3000;

type Task = Required<PeerTask>;

function say(what: Said): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

async function roundTrips({ contender, address, port, amount }: Task): Promise<number[]> {
  const [channel] = await transportNamed(contender).connect(address, port);
  const ping = Uint8Array.of(1);
  const tookMs: number[] = [];
  let sentAtMs = 0;
  await new Promise<void>((resolve) => {
    const send = (): void => {
      sentAtMs = performance.now();
      channel!.write(ping);
    };
    channel!.on("data", () => {
      tookMs.push(performance.now() - sentAtMs);
      if (tookMs.length === WARM_UP_TRIPS + amount) resolve();
      // In a turn of its own: a ping is written by an application that has seen the answer before.
      else setImmediate(send);
    });
    send();
  });
  return tookMs.slice(WARM_UP_TRIPS);
}

async function firstBytes({ contender, address, port, amount }: Task): Promise<number[]> {
  const transport = transportNamed(contender);
  const tookMs: number[] = [];
  for (let i = 0; i < amount; i++) {
    const startMs = performance.now();
    const [channel] = await transport.connect(address, port);
    await new Promise<void>((resolve) => channel!.on("data", () => resolve()));
    tookMs.push(performance.now() - startMs);
    channel!.destroy();
  }
  return tookMs;
}

const ROLES: Readonly<Record<Role, (task: Task) => Promise<void> | void>> = {
  /** Counts what is sent to it. */
  receive: async ({ contender, address, amount }) => {
    const arrivals = new Arrivals(amount, say);
    const port = await carrierNamed(contender).receive(address, (byteLength) => arrivals.count(byteLength));
    say({ kind: "ready", port });
  },
  send: async ({ contender, address, port, amount }) => {
    await carrierNamed(contender).send(address, port, WARM_UP_MS + amount + BEYOND_MS);
    process.exit();
  },
  /** Sends back whatever comes. */
  echo: async ({ contender, address }) => {
    const port = await transportNamed(contender).accept(address, (channel) =>
      channel.on("data", (bytes) => channel.write(bytes)),
    );
    say({ kind: "ready", port });
  },
  /** Times single bytes there and back. */
  ping: async (task) => {
    say({ kind: "timed", tookMs: await roundTrips(task) });
    process.exit();
  },
  /** Sends a byte to whoever comes. */
  greet: async ({ contender, address }) => {
    const port = await transportNamed(contender).accept(address, (channel) =>
      channel.write(Uint8Array.of(1)),
    );
    say({ kind: "ready", port });
  },
  /** Times connections up to their first byte, one after the other. */
  meet: async (task) => {
    say({ kind: "timed", tookMs: await firstBytes(task) });
    process.exit();
  },
  /** Counts what comes on stdin, as cheaply as a process can. */
  drain: ({ amount }) => {
    const arrivals = new Arrivals(amount, say);
    const buffer = Buffer.allocUnsafe(CHUNK.length);
    for (;;) {
      const byteLength = readSync(0, buffer);
      if (byteLength === 0) return;
      arrivals.count(byteLength);
    }
  },
  /** Writes to stdout what `drain` is to count. */
  pour: ({ amount }) => {
    const endsAtMs = performance.now() + WARM_UP_MS + amount + BEYOND_MS;
    while (performance.now() < endsAtMs) writeSync(1, CHUNK);
    // Its end is the end of the pipe.
    process.exit();
  },
};

const task: Task = {
  contender: "",
  address: "",
  port: 0,
  amount: 0,
  ...(JSON.parse(process.argv[2] ?? "{}") as PeerTask),
};
// Whoever started it is gone then. What `drain` reads is another matter.
if (task.role !== "drain") process.stdin.on("end", () => process.exit()).resume();
await ROLES[task.role](task);

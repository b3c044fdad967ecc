/**
 * Many connections through one forward: `npm run bench:forward`, or one of the rows by its name.
 *
 *     node dist/test/bench/forward.js [thousand] [stalled]
 *
 * thousand: as many connections at once, a megabyte each way in each. stalled: single bytes there and back on as
 * many connections, beside one whose reader has stopped and without it. Prints one line of JSON a row; both ends share the
 * machine's cores. What one connection carries, beside others: `speed.ts`.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { pause } from "../lib/deadline.ts";
import { endServers, serve, startForwarding } from "../lib/forwarding.ts";
import { endAll } from "../lib/srudp-process.ts";

const CONNECTIONS = 1000;
const MEGABYTE = 1_000_000;
/** Of one byte on each connection. */
const TRIPS = 10;

async function measureThousand(): Promise<object> {
  const echo = await serve((socket) => socket.pipe(socket));
  const link = await startForwarding({
    listen: ["--expose", `127.0.0.1:${echo}`],
    forward: ["-L", `0:127.0.0.1:${echo}`],
  });
  await link.forwarder.event("connected");
  const startedMs = performance.now();
  const intact = await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, i) => sendAndCompare(link.ports[0]!, Buffer.alloc(MEGABYTE, i))),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  link.listener.meter.sample();
  link.forwarder.meter.sample();
  return {
    row: "thousand",
    connections: CONNECTIONS,
    intact: intact.filter((one) => one).length,
    seconds: round(seconds, 10),
    megabitsPerSecondEachWay: round((8 * CONNECTIONS * MEGABYTE) / 1e6 / seconds, 1),
    listenerMegabytes: round(link.listener.meter.peakResidentBytes / 1e6, 1),
    forwarderMegabytes: round(link.forwarder.meter.peakResidentBytes / 1e6, 1),
  };
}

async function measureStalled(): Promise<object> {
  const echo = await serve((socket) => socket.pipe(socket));
  const flood = await serve((socket) => socket.end(Buffer.alloc(20 * MEGABYTE)));
  const link = await startForwarding({
    listen: ["--expose", `127.0.0.1:${echo}`, "--expose", `127.0.0.1:${flood}`],
    forward: ["-L", `0:127.0.0.1:${echo}`, "-L", `0:127.0.0.1:${flood}`],
  });
  await link.forwarder.event("connected");
  const many = async (): Promise<number[]> =>
    (
      await Promise.all(Array.from({ length: CONNECTIONS - 1 }, () => roundTrips(link.ports[0]!, TRIPS)))
    ).flat();
  await many();
  const without = quantiles(await many());
  const stalled = connect(link.ports[1]!, "127.0.0.1").pause();
  await pause(1000);
  const beside = quantiles(await many());
  stalled.destroy();
  return { row: "stalled", without, beside };
}

/** Milliseconds for one byte there and back, one after the other on one connection. */
async function roundTrips(port: number, count: number): Promise<number[]> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  const trips: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now();
    socket.write("x");
    await once(socket, "data");
    trips.push(performance.now() - startedMs);
  }
  socket.destroy();
  return trips;
}

async function sendAndCompare(port: number, sent: Buffer): Promise<boolean> {
  const socket: Socket = connect({ port, host: "127.0.0.1" });
  socket.end(sent);
  let bytes = 0;
  let isSame = true;
  for await (const piece of socket) {
    isSame &&= (piece as Buffer).equals(sent.subarray(bytes, bytes + (piece as Buffer).length));
    bytes += (piece as Buffer).length;
  }
  return isSame && bytes === sent.length;
}

function quantiles(trips: readonly number[]): { medianUs: number; p99Us: number } {
  const sorted = [...trips].sort((one, other) => one - other);
  const at = (share: number): number => Math.round(1000 * sorted[Math.floor(share * sorted.length)]!);
  return { medianUs: at(0.5), p99Us: at(0.99) };
}

function round(value: number, parts: number): number {
  return Math.round(value * parts) / parts;
}

const chosen = process.argv.slice(2);
const rows: Readonly<Record<string, () => Promise<object>>> = {
  thousand: measureThousand,
  stalled: measureStalled,
};
try {
  for (const [name, measure] of Object.entries(rows)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    console.log(JSON.stringify(await measure()));
    endServers();
    await endAll();
  }
} finally {
  endServers();
  await endAll();
}
process.exit(0);

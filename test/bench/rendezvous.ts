/**
 * What a rendezvous server takes: `npm run bench:rendezvous`. The memory of 10,000 peers that wait with full
 * blobs, by UDP and by WebSocket, and what its relay passes on without limits, with both ends in this process.
 * Prints a table for `docs/benchmarks.md`.
 */
import { setImmediate as turn } from "node:timers/promises";
import { openRelay } from "../../src/traversal/relay/relay-socket.ts";
import { pointOfTicket } from "../../src/traversal/signalling/rendezvous-point.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";
import { type EndWaiting, waitByUdp, waitByWebSocket } from "../lib/waiting-peers.ts";

const PEERS = 10_000;
const RELAY_MS = 4000;
const RELAY_RUNS = 3;
const DATAGRAM_BYTES = 1200;
/** Datagrams on their way: as many as a socket's buffer takes. */
const WINDOW = 128;

interface Server {
  readonly process: SrudpProcess;
  readonly port: number;
}

async function start(...words: string[]): Promise<Server> {
  const process = SrudpProcess.start(["rendezvous", "--port", "0", "--host", "127.0.0.1", ...words], {
    stdin: "nothing",
  });
  const { ws } = await process.event("rendezvous");
  return { process, port: Number(/:(\d+)$/.exec(ws)![1]) };
}

async function memoryOf(wait: (port: number, count: number) => Promise<EndWaiting>): Promise<string> {
  const limits = ["--max-per-address", String(2 * PEERS), "--max-websockets", String(2 * PEERS)];
  const { process, port } = await start(...limits);
  const end = await wait(port, PEERS);
  process.kill("SIGUSR1");
  const { waiting, memoryBytes } = await process.event("statistics");
  end();
  process.kill("SIGTERM");
  await process.exit();
  return `${waiting} waiting, ${(memoryBytes / 1e6).toFixed(0)} MB resident`;
}

async function relayRate(scheme: "udp" | "ws"): Promise<string> {
  const { process, port } = await start("--relay-rate", "100000", "--relay-total-rate", "100000");
  const point = pointOfTicket(new Uint8Array(32), Infinity);
  const url = `${scheme}://127.0.0.1:${port}`;
  const near = await openRelay(url, point, "initiator");
  const far = await openRelay(url, point, "responder");
  const rates: number[] = [];
  for (let run = 0; run < RELAY_RUNS; run++) {
    let arrived = 0;
    let sent = 0;
    far.onDatagram = () => {
      arrived++;
    };
    const begin = performance.now();
    let heardAtMs = begin;
    let lost = 0;
    while (performance.now() - begin < RELAY_MS) {
      const before = arrived;
      for (; sent - arrived - lost < WINDOW; sent++) near.send(new Uint8Array(DATAGRAM_BYTES));
      await turn();
      const now = performance.now();
      if (arrived > before) heardAtMs = now;
      // What has not come by now was dropped somewhere.
      else if (now - heardAtMs > 50) lost = sent - arrived;
    }
    const seconds = (performance.now() - begin) / 1000;
    rates.push((arrived * DATAGRAM_BYTES * 8) / 1e6 / seconds);
  }
  near.close();
  far.close();
  process.kill("SIGTERM");
  await process.exit();
  return `${rates.map((rate) => rate.toFixed(0)).join(", ")} Mbit/s passed on`;
}

console.log("| what | figure |\n|---|---|");
try {
  console.log(`| 10,000 peers, 1 KiB blobs, UDP | ${await memoryOf(waitByUdp)} |`);
  console.log(`| 10,000 peers, 1 KiB blobs, a WebSocket each | ${await memoryOf(waitByWebSocket)} |`);
  console.log(`| relay, datagrams of 1200 bytes, UDP | ${await relayRate("udp")} |`);
  console.log(`| relay, datagrams of 1200 bytes, WebSocket | ${await relayRate("ws")} |`);
} finally {
  await endAll();
}

/**
 * A bare UDP socket under the command of its stdin, run inside a namespace: it knows nothing of srudp, so that
 * what the lab's NATs do can be seen without it. Commands and events are JSON lines, see `raw-peer.ts`.
 */
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { createInterface } from "node:readline";
import type { RawCommand, RawEvent, RawTarget } from "./raw-peer.ts";

const NORMAL_TTL = 64;

const address = process.argv[2] ?? "0.0.0.0";
const family = isIPv6(address) ? 6 : 4;
const socket = createSocket({
  type: family === 6 ? "udp6" : "udp4",
  ipv6Only: family === 6,
  // Without a look-up that takes a turn, a packet leaves before the next statement: a TTL set around it holds.
  lookup: (host, _, done) => done(null, host, family),
});
let startedAtMs = 0;
let isLinked = false;

function report(event: RawEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function send(text: string, { address, port }: RawTarget): void {
  socket.send(text, port, address, () => undefined);
}

socket.on("message", (bytes, { address, port }) => {
  const source = { address, port };
  const [word, ...rest] = bytes.toString().split(" ");
  if (word === "where") send(`here ${address} ${port}`, source);
  if (word === "here") report({ event: "mapped", address: rest[0]!, port: Number(rest[1]) });
  if (word === "probe") {
    // Whoever asked stands behind this very address, which a NAT may have chosen for the two of us alone.
    send("answer", source);
    if (!isLinked) send("probe", source);
  }
  if (word === "answer" && !isLinked) {
    isLinked = true;
    report({ event: "linked", ...source, afterMs: performance.now() - startedAtMs });
  }
});

function obey(command: RawCommand): void {
  if (command.do === "ask") {
    send("where", command.server);
    return;
  }
  const { targets, ttl = NORMAL_TTL, count, everyMs } = command;
  startedAtMs = performance.now();
  let left = count;
  const volley = (): void => {
    socket.setTTL(ttl);
    for (const target of targets) send("probe", target);
    socket.setTTL(NORMAL_TTL);
    if (--left > 0) setTimeout(volley, everyMs);
    else report({ event: "sent" });
  };
  volley();
}

socket.bind(Number(process.argv[3] ?? 0), address, () => {
  report({ event: "bound", port: socket.address().port });
  createInterface({ input: process.stdin })
    .on("line", (line) => obey(JSON.parse(line) as RawCommand))
    .once("close", () => process.exit(0));
});

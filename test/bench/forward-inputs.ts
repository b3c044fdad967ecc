/**
 * `npm run bench:forward-inputs`: what one request of an authenticated peer costs a listener that exposes targets, and
 * what each thing that the peer keeps open holds there.
 *
 * The listener is the real command; its CPU time and resident memory are read from the system, so the figures include
 * packets, system calls and garbage collection. Prints tables for `docs/threat-model.md`.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { ForwardPeer } from "../../src/app/forward/forward-peer.ts";
import { Permissions } from "../../src/app/forward/permissions/permissions.ts";
import { RemotePortRegistry } from "../../src/app/forward/remote-port-registry.ts";
import type { UdpAssociation } from "../../src/app/forward/udp/udp-association.ts";
import type { Target } from "../../src/link/forward-records.ts";
import type { Link } from "../../src/link/link.ts";
import type { Stream } from "../../src/link/stream.ts";
import { connect } from "../../src/open/connect.ts";
import { decodeSecret, encodeSecret } from "../../src/wire/key-text.ts";
import { pause } from "../lib/deadline.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

const INPUTS = 4000;
/** As many as one peer may have open, with room for what else is open. */
const HELD = 800;
const AT_A_TIME = 16;
/** Of a process's times in `/proc`; the same on all systems with that folder. */
const TICK_US = 10_000;
const SECRET = new Uint8Array(32).fill(3);
const nothing = (): void => undefined;

interface Bench {
  readonly listener: SrudpProcess;
  readonly link: Link;
  readonly peer: ForwardPeer;
  readonly tcp: (port: number) => Target;
  readonly udp: (port: number) => Target;
  readonly ports: { readonly echo: number; readonly closed: number; readonly udpEcho: number };
}

/** User and system time of a process, µs. */
function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

function residentBytes(pid: number): number {
  return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))![1]);
}

async function row({ listener }: Bench, what: string, input: () => Promise<unknown>): Promise<void> {
  const run = async (inputs: number): Promise<void> => {
    let left = inputs;
    const worker = async (): Promise<void> => {
      while (left-- > 0) await input();
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  };
  await run(INPUTS / 10);
  const before = cpuUs(listener.pid);
  await run(INPUTS);
  console.log(`| ${what} | ${Math.round((cpuUs(listener.pid) - before) / INPUTS)} |`);
}

/** Memory by the growth between a few and many of a kind, at a listener of its own that keeps little garbage. */
async function held(what: string, open: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = await startBench({ NODE_OPTIONS: "--max-semi-space-size=1" });
  const sizes: number[] = [];
  for (let count = 1; count <= HELD; count++) {
    await open(bench);
    if (count !== HELD / 10 && count !== HELD) continue;
    await pause(1000);
    sizes.push(residentBytes(bench.listener.pid));
  }
  console.log(`| ${what} | ${((sizes[1]! - sizes[0]!) / (0.9 * HELD) / 1000).toFixed(1)} |`);
  await end(bench);
}

async function end({ link }: Bench): Promise<void> {
  link.on("error", nothing);
  await endAll();
}

async function closeStream(stream: Stream): Promise<void> {
  stream.destroy();
  if (!stream.closed) await once(stream, "close");
}

async function dial({ peer }: Bench, target: Target): Promise<void> {
  const { stream, answered } = await peer.reach(target);
  await answered.catch(nothing);
  await closeStream(stream);
}

async function requests(bench: Bench): Promise<void> {
  const { link, peer, ports, tcp, udp } = bench;
  console.log("| request | CPU, µs |\n|---|---|");
  await row(bench, "a stream opened and reset, no head", async () =>
    closeStream(await link.openStream("forward")),
  );
  const junk = new Uint8Array(600).fill(0x41);
  await row(bench, "a head of random bytes", async () => {
    const stream = await link.openStream("forward");
    stream.on("error", nothing);
    stream.write(junk);
    await Promise.race([once(stream, "close"), once(stream.resume(), "end")]);
    await closeStream(stream);
  });
  await row(bench, "a target that is not exposed", () => dial(bench, tcp(9)));
  await row(bench, "a name under a pattern, in the hosts file", () =>
    dial(bench, { kind: "tcp", host: "localhost", port: 443 }),
  );
  await row(bench, "an exposed target that refuses", () => dial(bench, tcp(ports.closed)));
  await row(bench, "an exposed target, connected and reset", () => dial(bench, tcp(ports.echo)));
  await row(bench, "a UDP association, one datagram answered, closed", () => {
    let channel: UdpAssociation | undefined;
    const flow = { deliver: () => channel?.close(), onClose: nothing };
    const over = peer.reachFlow(udp(ports.udpEcho), flow, (opened) => {
      channel = opened;
      opened.send(new Uint8Array(100));
    });
    // The datagram's answer may come before that to the request.
    return over.catch(nothing);
  });
  await row(bench, "a port to open, not permitted", () =>
    peer.requestForward({ kind: "tcp", host: "127.0.0.1", port: 80 }, { kind: "first" }).catch(nothing),
  );
  await row(bench, "a port to open, permitted, and its cancellation", async () => {
    (await peer.requestForward({ kind: "tcp", host: "127.0.0.1", port: 0 }, { kind: "first" })).cancel();
  });
  await row(bench, "a datagram for no association", async () => {
    link.send(new Uint8Array(100));
    await pause(0);
  });
  let received = nothing;
  let channel: UdpAssociation | undefined;
  const flow = { deliver: () => received(), onClose: nothing };
  void peer.reachFlow(udp(ports.udpEcho), flow, (opened) => {
    channel = opened;
  });
  await pause(500);
  await row(bench, "a datagram to a UDP target, and its answer", () => {
    const answer = new Promise<void>((resolve) => {
      received = resolve;
      setTimeout(resolve, 100);
    });
    channel?.send(new Uint8Array(100));
    return answer;
  });
  channel?.close();
}

async function holdings(): Promise<void> {
  console.log("\n| kept open | kB of resident memory |\n|---|---|");
  await held("a stream without a head", async ({ link }) => {
    const stream = await link.openStream("forward");
    stream.on("error", nothing).write(new Uint8Array(1));
  });
  await held("a forwarded TCP connection", async ({ peer, tcp, ports }) => {
    const { answered } = await peer.reach(tcp(ports.echo));
    await answered;
  });
  await held("a UDP association", async ({ peer, udp, ports }) => {
    const flow = { deliver: nothing, onClose: nothing };
    await new Promise((resolve) => {
      peer.reachFlow(udp(ports.udpEcho), flow, resolve).catch(nothing);
    });
  });
}

async function startBench(env: Record<string, string> = {}): Promise<Bench> {
  const echo = createServer((socket) => socket.on("error", nothing).pipe(socket)).listen(0, "127.0.0.1");
  await once(echo, "listening");
  const udpEcho = createSocket("udp4", (bytes, { port }) => udpEcho.send(bytes, port, "127.0.0.1"));
  udpEcho.bind(0, "127.0.0.1");
  await once(udpEcho, "listening");
  const ports = {
    echo: (echo.address() as { port: number }).port,
    closed: await unusedPort(),
    udpEcho: udpEcho.address().port,
  };
  const file = join(temporaryFolder(), "secret");
  writeFileSync(file, `${encodeSecret(SECRET)}\n`, { mode: 0o600 });
  const exposed = [
    `127.0.0.1:${ports.echo}`,
    `127.0.0.1:${ports.closed}`,
    `127.0.0.1:${ports.udpEcho}/udp`,
    "*:443",
  ];
  const listener = SrudpProcess.start(
    [
      ...["listen", "0", "-k", "--no-lan", "--secret-file", file, "--permit-listen", "0"],
      ...exposed.flatMap((target) => ["--expose", target]),
    ],
    { stdin: "nothing", stdout: "nothing", env },
  );
  const { port } = await listener.event("listening");
  const link = await connect({ host: "127.0.0.1", port, secret: decodeSecret(encodeSecret(SECRET)) });
  const peer = new ForwardPeer(link, {
    permissions: new Permissions(),
    remotePorts: new RemotePortRegistry(),
    watcher: { failed: nothing },
  });
  const at = (kind: "tcp" | "udp") => (to: number) => ({ kind, host: "127.0.0.1", port: to });
  return { listener, link, peer, tcp: at("tcp"), udp: at("udp"), ports };
}

const bench = await startBench();
await requests(bench);
await end(bench);
await holdings();
process.exit();

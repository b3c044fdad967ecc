/**
 * Links one after the other to one `srudp listen -k`: after each, the process must hold what it held before. Measured
 * are its heap after a full collection, its descriptors and its children, against a baseline behind some first links.
 */
import { once } from "node:events";
import { openSync, readdirSync, readFileSync } from "node:fs";
import { connect as connectTo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { ForwardPeer } from "../../src/app/forward/forward-peer.ts";
import { Permissions } from "../../src/app/forward/permissions/permissions.ts";
import { RemotePortRegistry } from "../../src/app/forward/remote-port-registry.ts";
import { bridge } from "../../src/app/pipe.ts";
import { connect, type Link } from "../../src/index.ts";
import { within } from "./deadline.ts";
import type { MemoryReport } from "./memory-report.ts";
import { startListener } from "./pair.ts";
import { builtFile } from "./paths.ts";
import { newSecret } from "./shared-secret.ts";
import { type SrudpProcess, temporaryFolder } from "./srudp-process.ts";

/** What the listener does with each link: a program, one output for all, or forwarded connections. */
export type SoakKind = "exec" | "file" | "expose";
export const SOAK_KINDS: readonly SoakKind[] = ["exec", "file", "expose"];

export interface OwnedItems {
  readonly heapBytes: number;
  readonly descriptors: number;
  readonly children: number;
}

export interface SoakResult {
  readonly links: number;
  readonly before: OwnedItems;
  readonly after: OwnedItems;
}

const GREETING = "what each link carries\n";
/** A closing link says goodbye for a few seconds at most. */
const SETTLE_MS = 15_000;
const LOOK_MS = 100;

/**
 * Makes `links` links to a new listener, one after the other. The caller ends the process (`endAll`).
 *
 * @param warmUpLinks links before the baseline, in which code is compiled and pools are filled
 */
export async function soakListener(kind: SoakKind, links: number, warmUpLinks: number): Promise<SoakResult> {
  const { secret, words } = newSecret();
  const memorySocket = join(temporaryFolder(), "memory.sock");
  const echo = kind === "expose" ? await startEcho() : undefined;
  const { listener, port } = await startListener(["-k", ...words, ...wordsFor(kind, echo?.port)], {
    stdin: "nothing",
    ...(kind === "file" && { stdout: openSync(join(temporaryFolder(), "output"), "w") }),
    env: {
      NODE_OPTIONS: `--import ${builtFile("test/lib/memory-report.js").href}`,
      SRUDP_TEST_MEMORY_SOCKET: memorySocket,
    },
  });
  try {
    const useOnce = async (): Promise<void> => {
      const link = await connect({ host: "127.0.0.1", port, localPort: 0, secret, timeoutMs: 10_000 });
      await use(kind, link, echo?.port);
    };
    for (let i = 0; i < warmUpLinks; i++) await useOnce();
    const before = await settled(listener, memorySocket);
    for (let i = 0; i < links; i++) await useOnce();
    const after = await settled(listener, memorySocket, before);
    return { links, before, after };
  } finally {
    echo?.server.close();
  }
}

function wordsFor(kind: SoakKind, echoPort: number | undefined): string[] {
  switch (kind) {
    case "exec":
      return ["-e", "--", "cat"];
    case "file":
      return [];
    case "expose":
      return ["--expose", `127.0.0.1:${echoPort}`];
  }
}

/** Does over one link what its kind is for, and ends it in order. */
async function use(kind: SoakKind, link: Link, echoPort: number | undefined): Promise<void> {
  if (kind !== "expose") {
    const output = new PassThrough();
    const [said] = await Promise.all([
      text(output),
      bridge(link, { input: Readable.from([Buffer.from(GREETING)]), output }).done,
    ]);
    if (said !== (kind === "exec" ? GREETING : ""))
      throw new Error(`the listener sent ${JSON.stringify(said)}`);
    return;
  }
  link.resume();
  const peer = new ForwardPeer(link, {
    permissions: new Permissions(),
    remotePorts: new RemotePortRegistry(),
    watcher: { failed: ({ error }) => link.fail(error) },
  });
  const { stream, answered } = await peer.reach({ kind: "tcp", host: "127.0.0.1", port: echoPort! });
  stream.end(GREETING);
  await answered;
  const said = await text(stream);
  if (said !== GREETING) throw new Error(`the target sent ${JSON.stringify(said)}`);
  await link.close();
}

async function startEcho(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as { port: number }).port };
}

/** What the process holds once its links are gone: no more than `before`, or what is left after SETTLE_MS. */
async function settled(listener: SrudpProcess, socket: string, before?: OwnedItems): Promise<OwnedItems> {
  const endsAtMs = performance.now() + SETTLE_MS;
  for (;;) {
    const ownerships = await holdingsOf(listener, socket);
    const isLevel =
      ownerships.children <= (before?.children ?? 0) &&
      ownerships.descriptors <= (before?.descriptors ?? Number.POSITIVE_INFINITY);
    if ((before !== undefined && isLevel) || performance.now() > endsAtMs) return ownerships;
    if (before === undefined && isLevel && (await isQuiet(listener, ownerships))) return ownerships;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Whether the descriptors stay what they are for longer than a goodbye takes. */
async function isQuiet(listener: SrudpProcess, { descriptors }: OwnedItems): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve, 10 * LOOK_MS));
  return countOf(listener, "fd") === descriptors;
}

async function holdingsOf(listener: SrudpProcess, socket: string): Promise<OwnedItems> {
  const { heapBytes } = await memoryOf(socket);
  const children = readFileSync(`/proc/${listener.pid}/task/${listener.pid}/children`, "utf8");
  return {
    heapBytes,
    descriptors: countOf(listener, "fd"),
    children: children.split(" ").filter((word) => word !== "").length,
  };
}

function countOf({ pid }: SrudpProcess, what: string): number {
  return readdirSync(`/proc/${pid}/${what}`).length;
}

async function memoryOf(path: string): Promise<MemoryReport> {
  const socket = connectTo({ path });
  const answer = await within(text(socket), SETTLE_MS, () => "the listener does not tell its memory");
  return JSON.parse(answer) as MemoryReport;
}

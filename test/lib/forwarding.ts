/** A listener that exposes and a forwarder that reaches: the start of the tests of forwarding. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { LinkOptions } from "../sim/link.ts";
import { type EmulatedLink, startEmulator } from "./emulator-process.ts";
import { loopback } from "./pair.ts";
import { SrudpProcess, temporaryFolder } from "./srudp-process.ts";

export interface Forwarding {
  readonly listener: SrudpProcess;
  readonly forwarder: SrudpProcess;
  /** Of the link. */
  readonly port: number;
  readonly trust: readonly string[];
  /** What stands between the two, where something does. */
  readonly line: EmulatedLink | undefined;
  /** The ports of the forwarder's -L, -R and -D, in the order in which they were given. */
  readonly ports: readonly number[];
}

export interface ForwardingOptions {
  /** Behind `listen PORT -k`. */
  readonly listen?: readonly string[];
  /** Behind `forward PEER`. */
  readonly forward: readonly string[];
  /** Of both processes. */
  readonly env?: Readonly<Record<string, string>>;
  /** What stands between the two, where it is not the loopback itself. */
  readonly between?: Partial<LinkOptions> | undefined;
  /** Words before both command lines, as `ip netns exec NAME`. */
  readonly launcher?: readonly string[];
}

/** A secret that both sides have, as options. */
export function secretWords(): string[] {
  const file = join(temporaryFolder(), "secret");
  const made = spawnSync(process.execPath, ["bin/srudp.js", "key", "secret"], { encoding: "utf8" });
  writeFileSync(file, made.stdout, { mode: 0o600 });
  return ["--secret-file", file];
}

/** Both sides, once the link stands and every forward does. */
export async function startForwarding(options: ForwardingOptions): Promise<Forwarding> {
  const { env = {}, launcher = [] } = options;
  const trust = secretWords();
  const listener = SrudpProcess.start(["listen", "0", "-k", ...trust, ...(options.listen ?? [])], {
    stdin: "nothing",
    env,
    launcher,
  });
  const { port } = await listener.event("listening");
  const { between } = options;
  const line = between === undefined ? undefined : await startEmulator({ targetPort: port, both: between });
  if (line !== undefined) emulators.add(line);
  const peer = line?.peer ?? loopback(port);
  const forwarder = SrudpProcess.start(["forward", peer, ...trust, ...options.forward], { env, launcher });
  const wanted = options.forward.filter((word) => /^-[LRD]$/.test(word));
  const ports = new Map<string, number[]>();
  for (const _ of wanted) {
    const { kind, bind } = await forwarder.event("forwarding");
    const port = Number(/:(\d+)(?:\/udp)?$/.exec(bind)?.[1] ?? 0);
    ports.set(kind, [...(ports.get(kind) ?? []), port]);
  }
  const kinds = { "-L": "local", "-R": "remote", "-D": "dynamic" } as const;
  return {
    listener,
    forwarder,
    port,
    trust,
    line,
    ports: wanted.map((word) => ports.get(kinds[word as keyof typeof kinds])!.shift()!),
  };
}

const servers = new Set<Server>();
const emulators = new Set<EmulatedLink>();

/** A TCP server on a free port of the loopback. */
export function serve(onConnection: (socket: Socket) => void, allowHalfOpen = true): Promise<number> {
  const server = createServer({ allowHalfOpen, noDelay: true }, (socket) => {
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  servers.add(server);
  return new Promise((resolve) => {
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () =>
      resolve((server.address() as { port: number }).port),
    );
  });
}

/** A port that is free now, for programs that cannot find one themselves. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** Ends what `serve` and the lines in between began; to be called behind every test. */
export function endServers(): void {
  for (const emulator of emulators) emulator.stop();
  emulators.clear();
  for (const server of servers) server.close();
  servers.clear();
}

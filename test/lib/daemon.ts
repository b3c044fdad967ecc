/** Other people's programs that tests and measurements serve with: whether they are here, and their start. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { pause, within } from "./deadline.ts";

/** Whether the programs are here; says so where they are not. */
export function has(...programs: string[]): boolean {
  const missing = missingOf(programs);
  if (missing.length > 0) console.log(`skipped: ${missing.join(", ")} not installed`);
  return missing.length === 0;
}

/** Those of the programs that are not here. */
export function missingOf(programs: readonly string[]): string[] {
  return programs.filter((program) => spawnSync("which", [program]).status !== 0);
}

export interface DaemonOptions extends Pick<SpawnOptions, "uid" | "gid" | "cwd"> {
  /** Of `port`; TCP by default. */
  readonly protocol?: "tcp" | "udp";
  /** Words before the command line, as `ip netns exec NAME`; the program they start must become the command. */
  readonly launcher?: readonly string[];
}

const TIMEOUT_MS = 10_000;
const LOOK_AGAIN_MS = 20;

/** Starts a program and waits until its system listens on `port`. */
export async function startDaemon(
  command: string,
  words: readonly string[],
  port: number,
  { protocol = "tcp", launcher = [], ...options }: DaemonOptions = {},
): Promise<ChildProcess> {
  const line = [...launcher, command, ...words];
  const child = spawn(line[0]!, line.slice(1), { ...options, stdio: "ignore" });
  const failure = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("exit", (status) => reject(new Error(`${line.join(" ")}: ended with ${status}`)));
  });
  // It ends in any case, mostly when nobody waits any more.
  failure.catch(() => undefined);
  const isUp = async (): Promise<void> => {
    while (!(await listens(child.pid!, protocol, port))) await pause(LOOK_AGAIN_MS);
  };
  try {
    await within(Promise.race([isUp(), failure]), TIMEOUT_MS, () => `${command} does not listen on ${port}`);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return child;
}

/** Seen in the network namespace of process `pid` without a connection to it, which some servers take for a client. */
async function listens(pid: number, protocol: "tcp" | "udp", port: number): Promise<boolean> {
  const tables: string[] = [];
  for (const name of [protocol, `${protocol}6`]) {
    try {
      tables.push(readFileSync(`/proc/${pid}/net/${name}`, "utf8"));
    } catch {
      // No such table here.
    }
  }
  if (tables.length === 0) return accepts(port);
  const LISTENS = "0A";
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return tables
    .join("\n")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .some(([, local, , state]) => local?.endsWith(`:${wanted}`) && (protocol === "udp" || state === LISTENS));
}

function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  }).then((isThere) => {
    socket.destroy();
    return isThere as boolean;
  });
}

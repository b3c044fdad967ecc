/** Other people's programs that tests serve with, and whether they are here. */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { connect } from "node:net";
import { within } from "./deadline.ts";

/** Whether the programs are here; says so where they are not. */
export function has(...programs: string[]): boolean {
  const missing = programs.filter((program) => spawnSync("which", [program]).status !== 0);
  if (missing.length > 0) console.log(`skipped: ${missing.join(", ")} not installed`);
  return missing.length === 0;
}

/** Starts a server and waits until it takes connections on `port`. */
export async function startDaemon(
  command: string,
  words: readonly string[],
  port: number,
  options: Pick<SpawnOptions, "uid" | "gid" | "cwd"> = {},
): Promise<ChildProcess> {
  const child = spawn(command, words, { ...options, stdio: "ignore" });
  const isUp = async (): Promise<void> => {
    for (;;) {
      const socket = connect(port, "127.0.0.1");
      const isThere = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true));
        socket.once("error", () => resolve(false));
      });
      socket.destroy();
      if (isThere) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await within(isUp(), 10_000, () => `${command} does not listen on ${port}`);
  return child;
}

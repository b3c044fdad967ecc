/** How long a command takes from its start to its end. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { commandFile } from "../../lib/paths.ts";

export interface Startup {
  readonly tookMs: number;
}

/** @param words of `srudp`, or of node where they are no words of it */
export function startup(words: readonly string[], isOurs = true): Startup {
  const all = isOurs ? [fileURLToPath(commandFile), ...words] : words;
  const startedMs = performance.now();
  const { status } = spawnSync(process.execPath, all, { stdio: "ignore" });
  const tookMs = performance.now() - startedMs;
  if (status !== 0) throw new Error(`${words.join(" ")} ended with ${status}`);
  return { tookMs };
}

/**
 * Processes that tests start, and all that those start in turn, known by a variable in their environment: whoever
 * is left over can be found, also once its parent is gone.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

const RUN_VARIABLE = "SRUDP_TEST_RUN";
const PROCESS_VARIABLE = "SRUDP_TEST_PROCESS";
/** Of this test runner's worker, and so of all that it starts. */
const runId: string = randomUUID();

let count = 0;

/** Variables for one process under test; `mark` finds it and what it started. */
export function newMark(): { mark: string; env: Record<string, string> } {
  watchOver();
  const mark = `${runId}.${++count}`;
  return { mark, env: { [RUN_VARIABLE]: runId, [PROCESS_VARIABLE]: mark } };
}

/** A process that carries a mark. */
export interface Leftover {
  readonly pid: number;
  readonly commandLine: string;
}

/** Running processes with this mark; none where there is no `/proc`. */
export function marked(mark: string): Leftover[] {
  const found: Leftover[] = [];
  for (const name of procEntries()) {
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "utf8").split("\0");
      // A zombie's environment is empty.
      if (!environment.includes(`${PROCESS_VARIABLE}=${mark}`)) continue;
      const commandLine = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").join(" ").trim();
      found.push({ pid: Number(name), commandLine });
    } catch {
      // It has ended, or belongs to somebody else.
    }
  }
  return found;
}

function procEntries(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

let isWatched = false;

/**
 * A shell that waits for the end of this worker, however it ends, and kills what it started and left running. Killed
 * test runs would leave listeners behind, as each process under test is in a session of its own.
 */
function watchOver(): void {
  if (isWatched) return;
  isWatched = true;
  // Also emulators, daemons and whatever else a test starts with the worker's environment.
  process.env[RUN_VARIABLE] = runId;
  const { [RUN_VARIABLE]: _own, ...env } = process.env;
  const watcher = spawn("sh", ["-c", WATCH, "sh", `${RUN_VARIABLE}=${runId}`], {
    stdio: ["pipe", "ignore", "ignore"],
    // What ends the test runner is not to end the watcher.
    detached: true,
    env,
  });
  watcher.on("error", () => undefined);
  watcher.unref();
  // Its end is the sign; the worker need not wait for it.
  (watcher.stdin as unknown as { unref(): void }).unref();
}

const WATCH = `
cat > /dev/null
for environment in /proc/[0-9]*/environ; do
  if grep -qsF "$1" "$environment"; then
    pid=\${environment#/proc/}
    kill -9 "\${pid%/environ}"
  fi
done`;

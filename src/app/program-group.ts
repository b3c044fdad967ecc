/**
 * The processes of a program that was started for a link. They live in a session and process group of their own,
 * so that all of them can be ended: SIGHUP first, as a terminal that closes sends it, and SIGKILL after 5 s.
 *
 * A process that leaves the group (`setsid`) is not followed.
 */

import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a process that ignores SIGHUP may go on. */
const GRACE_MS = 5000;
/** Orphans that have ended stay visible until init reaps them. From here on they no longer count. */
const REAPED_AFTER_MS = 2000;
/** The end of a grandchild is not reported, so the group is polled at these intervals, first and later. */
const LOOK_INTERVAL_MS = 20;
const LATE_LOOK_INTERVAL_MS = 250;

const groups: Set<ProgramGroup> = new Set();

/** A process group whose leader was spawned with `detached: true`. */
export class ProgramGroup {
  readonly #leaderPid: number;
  #ended: Promise<void> | undefined;

  constructor(leaderPid: number) {
    this.#leaderPid = leaderPid;
    // The group must not outlive this process.
    if (groups.size === 0) process.once("exit", killPrograms);
    groups.add(this);
  }

  /** Sends SIGHUP to the group, and SIGKILL to what is left of it 5 s later. Resolves when no process is left. */
  end(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  /** Sends SIGKILL to the group. */
  kill(): void {
    this.#signal("SIGKILL");
  }

  async #end(): Promise<void> {
    const startedAtMs = performance.now();
    this.#signal("SIGHUP");
    // A stopped process takes the signal only when it continues.
    this.#signal("SIGCONT");
    while (this.#signal(0)) {
      const elapsedMs = performance.now() - startedAtMs;
      if (elapsedMs >= GRACE_MS) this.kill();
      const isLate = elapsedMs >= REAPED_AFTER_MS;
      if (elapsedMs >= GRACE_MS || (isLate && !hasLiveProcess(this.#leaderPid))) break;
      const intervalMs = isLate ? LATE_LOOK_INTERVAL_MS : LOOK_INTERVAL_MS;
      await sleep(intervalMs);
    }
    groups.delete(this);
    if (groups.size === 0) process.off("exit", killPrograms);
  }

  /** False when the group has no process that could be signalled. */
  #signal(signal: NodeJS.Signals | 0): boolean {
    try {
      return process.kill(-this.#leaderPid, signal);
    } catch {
      return false;
    }
  }
}

/** Ends the programs of every link. Resolves when none is left, after 5 s at most. */
export async function endPrograms(): Promise<void> {
  await Promise.all([...groups].map((group) => group.end()));
}

function killPrograms(): void {
  for (const group of groups) group.kill();
}

/** Whether any process of a group is more than a zombie. Without /proc it is taken to be one. */
function hasLiveProcess(groupId: number): boolean {
  let names: string[];
  try {
    names = readdirSync("/proc");
  } catch {
    return true;
  }
  const living = names.filter((name) => /^\d+$/.test(name)).map(readStat);
  return living.some((stat) => stat?.groupId === groupId && stat.state !== "Z" && stat.state !== "X");
}

function readStat(pid: string): { state: string; groupId: number } | undefined {
  try {
    // The name in parentheses may hold anything: state, parent and group follow the last one.
    const [state, , groupId] = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!.split(" ");
    return { state: state!, groupId: Number(groupId) };
  } catch {
    return undefined;
  }
}

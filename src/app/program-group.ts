/**
 * The processes of a program that was started for a link. They run in their own session and process
 * group, so that all of them can be ended: first with SIGHUP, as when a terminal closes, and after
 * 5 s with SIGKILL.
 *
 * A process that leaves the group (`setsid`) is not tracked.
 */

import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** How long a process that ignores SIGHUP may keep running. */
const GRACE_MS = 5000;
/**
 * Orphans that have exited stay visible until init reaps them. After this time they no longer
 * count.
 */
const REAPED_AFTER_MS = 2000;
/**
 * Initial and maximum polling interval. The exit of a grandchild is not reported, so the group is
 * polled.
 */
const POLL_INTERVAL_MS = 20;
const MAX_POLL_INTERVAL_MS = 250;

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

  /**
   * Sends SIGHUP to the group, and SIGKILL to the remaining processes 5 s later. Resolves when no
   * process is left.
   */
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
    // A stopped process handles the signal only when it continues.
    this.#signal("SIGCONT");
    while (this.#signal(0)) {
      const elapsedMs = performance.now() - startedAtMs;
      if (elapsedMs >= GRACE_MS) this.kill();
      const isLate = elapsedMs >= REAPED_AFTER_MS;
      if (elapsedMs >= GRACE_MS || (isLate && !hasLiveProcess(this.#leaderPid))) break;
      const intervalMs = isLate ? MAX_POLL_INTERVAL_MS : POLL_INTERVAL_MS;
      await sleep(intervalMs);
    }
    groups.delete(this);
    if (groups.size === 0) process.off("exit", killPrograms);
  }

  /** Returns false when the group has no process that could be signalled. */
  #signal(signal: NodeJS.Signals | 0): boolean {
    try {
      return process.kill(-this.#leaderPid, signal);
    } catch {
      return false;
    }
  }
}

/** Ends the programs of every link. Resolves when none is left, after at most 5 s. */
export async function endPrograms(): Promise<void> {
  await Promise.all([...groups].map((group) => group.end()));
}

function killPrograms(): void {
  for (const group of groups) group.kill();
}

/** Whether any process of a group is not a zombie. Without /proc, true. */
function hasLiveProcess(groupId: number): boolean {
  let names: string[];
  try {
    names = readdirSync("/proc");
  } catch {
    return true;
  }
  const stats = names.filter((name) => /^\d+$/.test(name)).map(readStat);
  return stats.some((stat) => stat?.groupId === groupId && stat.state !== "Z" && stat.state !== "X");
}

function readStat(pid: string): { state: string; groupId: number } | undefined {
  try {
    // The name in parentheses may contain any character. State, parent and group follow the last
    // parenthesis.
    const [state, , groupId] = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!.split(" ");
    return { state: state!, groupId: Number(groupId) };
  } catch {
    return undefined;
  }
}

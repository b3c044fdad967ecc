/** Processes with all that they have started: what they cost, and their end. From `/proc`; nothing where that is absent. */
import { readdirSync, readFileSync } from "node:fs";
import { ProcessMeter } from "../../lib/process-meter.ts";

export interface Cost {
  readonly cpuMs: number;
  /** Sum of each one's most resident memory at any time. */
  readonly peakMegabytes: number;
}

/** @param roots process ids; who is gone by now costs nothing, so ask while they run */
export function costOf(roots: readonly number[]): Cost {
  let cpuMs = 0;
  let peakBytes = 0;
  for (const pid of withDescendants(roots)) {
    const meter = new ProcessMeter(pid);
    meter.sample();
    meter.stop();
    cpuMs += meter.cpuMs;
    peakBytes += meter.peakResidentBytes;
  }
  return { cpuMs, peakMegabytes: peakBytes / 1e6 };
}

/** Ends all that this process has started, and what those have. */
export function endDescendants(): void {
  const descendants = withDescendants([process.pid]);
  descendants.delete(process.pid);
  for (const pid of descendants) {
    try {
      process.kill(pid, "SIGTERM");
    } catch {
      // Ended meanwhile.
    }
  }
}

/** An ssh server, for one, does its work in processes that it starts for each connection. */
function withDescendants(roots: readonly number[]): Set<number> {
  const children = new Map<number, number[]>();
  for (const name of processNames()) {
    try {
      // The name in parentheses may hold spaces; the fields behind it do not.
      const parent = Number(readFileSync(`/proc/${name}/stat`, "utf8").split(") ").at(-1)!.split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // Ended meanwhile.
    }
  }
  const found = new Set<number>(roots);
  // A set iterates over what is added to it on the way.
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child);
  return found;
}

function processNames(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

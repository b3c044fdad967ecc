/**
 * What a running command holds: descriptors and children from `/proc`, what keeps its event loop going and the sizes of
 * its maps from its control socket. A long-lived command must hold the same after a link as before it.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect } from "node:net";
import { text } from "node:stream/consumers";

/** How many it holds of each, by name. */
export type Held = Readonly<Record<string, number>>;

const ANSWER_TIMEOUT_MS = 3000;

/** What process `pid` holds; undefined when it does not answer at `socketPath`. */
export async function heldBy(pid: number, socketPath: string): Promise<Held | undefined> {
  const { resources } = (await ask(socketPath, "resources")) ?? {};
  if (resources === undefined) return undefined;
  const held: Record<string, number> = {};
  for (const [type, count] of Object.entries(resources.active)) held[`active ${type}`] = count;
  for (const [name, count] of Object.entries(resources.counts)) held[name] = count;
  for (const kind of descriptorsOf(pid)) held[kind] = (held[kind] ?? 0) + 1;
  held.children = childrenOf(pid).length;
  return held;
}

/** What there is more of than before, each with both numbers. */
export function grown(before: Held, after: Held): string[] {
  return Object.keys(after)
    .filter((name) => after[name]! > (before[name] ?? 0))
    .map((name) => `${name}: ${before[name] ?? 0}, now ${after[name]}`);
}

/** Whether every link of the process at `socketPath` has a peer that answers. */
export async function areLinksAlive(socketPath: string): Promise<boolean> {
  const { status } = (await ask(socketPath, "status")) ?? {};
  return status?.links.every(({ isAlive }) => isAlive) ?? false;
}

interface Answer {
  readonly resources?: Resources;
  readonly status?: { readonly links: readonly { readonly isAlive: boolean }[] };
}

interface Resources {
  readonly active: Held;
  readonly counts: Held;
}

async function ask(socketPath: string, what: "resources" | "status"): Promise<Answer | undefined> {
  const socket = connect({ path: socketPath });
  const timer = setTimeout(() => socket.destroy(), ANSWER_TIMEOUT_MS);
  try {
    socket.write(`{"do":"${what}"}\n`);
    // The process goes on listening for requests: the answer ends with its line.
    socket.once("data", () => socket.end());
    return JSON.parse(await text(socket)) as Answer;
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** What stands at each descriptor beyond the standard ones. */
function descriptorsOf(pid: number): string[] {
  return entriesOf(`/proc/${pid}/fd`)
    .filter((name) => Number(name) > 2)
    .flatMap((name) => {
      try {
        return [`descriptor ${readlinkSync(`/proc/${pid}/fd/${name}`).replace(/:\[\d+\]$/, "")}`];
      } catch {
        return []; // It was closed meanwhile.
      }
    });
}

/** Processes that `pid` started and that are still its children. */
export function childrenOf(pid: number): number[] {
  return entriesOf(`/proc/${pid}/task`).flatMap((task) => {
    try {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8");
      return children.split(" ").filter(Boolean).map(Number);
    } catch {
      return []; // The thread has ended meanwhile.
    }
  });
}

/** Nothing where the process is gone, or there is no `/proc`. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

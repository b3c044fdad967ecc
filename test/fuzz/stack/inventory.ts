/**
 * What this process holds: descriptors and handles, counted often; objects of the stack that are alive after a
 * full collection, and the heap, counted now and then.
 */
import { Socket as UdpSocket } from "node:dgram";
import { readdirSync } from "node:fs";
import type { Socket } from "node:net";
import * as v8 from "node:v8";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Bridge } from "../../../src/app/pipe.ts";
import { Connection } from "../../../src/engine/connection/connection.ts";
import { Link } from "../../../src/link/link.ts";
import { StreamAdapter } from "../../../src/link/stream-adapter.ts";

/** Handles that come and go with work that is under way. */
const PASSING: ReadonlySet<string> = new Set([
  "Immediate",
  "TickObject",
  "FSReqCallback",
  "FSReqPromise",
  "GetAddrInfoReqWrap",
]);

/** One of each kind that hangs on the others: the search for each class takes a tenth of a second and more. */
const CLASSES: Readonly<Record<string, unknown>> = {
  Connection,
  Link,
  StreamAdapter,
  Bridge,
  Timeout: timeoutClass(),
};

/** Counts by name. */
export type Counts = ReadonlyMap<string, number>;

/** Open descriptors, and the handles that keep the process running, by their kind. */
export function handles(): Counts {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (!PASSING.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  // The one that reads the folder is among them, always.
  counts.set("descriptors", readdirSync("/proc/self/fd").length);
  return counts;
}

/** The sockets of this process that were not there at the time of `known`, as people read them. */
export function newSockets(known: ReadonlySet<unknown>): string {
  return activeHandles()
    .filter((handle) => !known.has(handle))
    .map((handle) => {
      const { localAddress, localPort, remoteAddress, remotePort } = handle as Partial<Socket>;
      if (handle instanceof UdpSocket) return `UDP ${portsOf(handle)}`;
      return `${handle.constructor.name} ${localAddress}:${localPort} to ${remoteAddress}:${remotePort}`;
    })
    .join(", ");
}

export function activeHandles(): object[] {
  return (process as unknown as { _getActiveHandles(): object[] })._getActiveHandles();
}

function portsOf(socket: UdpSocket): string {
  try {
    const own = socket.address();
    try {
      const remote = socket.remoteAddress();
      return `${own.address}:${own.port} to ${remote.address}:${remote.port}`;
    } catch {
      return `${own.address}:${own.port}`;
    }
  } catch {
    return "not bound";
  }
}

/** Objects alive after a full collection, by class. */
export function objects(): Counts {
  const query = (v8 as unknown as { queryObjects(of: unknown, options: { format: "count" }): number })
    .queryObjects;
  return new Map(Object.entries(CLASSES).map(([name, of]) => [name, query(of, { format: "count" })]));
}

/** Bytes of the heap, and what hangs on it, after a full collection. */
export function heapBytes(): number {
  collect();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}

/** What there is more of in `now` than in `before`, beyond `slack` each; empty when nothing is. */
export function grown(before: Counts, now: Counts, slack = 0): string {
  const lines: string[] = [];
  for (const [kind, count] of now) {
    const had = before.get(kind) ?? 0;
    if (count > had + slack) lines.push(`${kind} ${had} → ${count}`);
  }
  return lines.join(", ");
}

let collector: (() => void) | undefined;

function collect(): void {
  if (collector === undefined) {
    setFlagsFromString("--expose-gc");
    collector = runInNewContext("gc") as () => void;
  }
  collector();
}

function timeoutClass(): unknown {
  const timer = setTimeout(() => undefined, 0);
  clearTimeout(timer);
  return timer.constructor;
}

/** Whether the peer of a link is there at this moment. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Link } from "../../link/link.ts";

const LOOK_INTERVAL_MS = 50;
/** A lost question is asked again after this. */
const REPEAT_MS = 500;

/** Asks the peer for a sign of life; false when none comes within `withinMs`, or the link is over. */
export async function answers(link: Link, withinMs: number): Promise<boolean> {
  const before = link.stats().receivedPackets;
  const startMs = performance.now();
  let askedMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    const now = performance.now();
    if (link.destroyed) return false;
    if (link.stats().receivedPackets > before) return true;
    if (now - startMs >= withinMs) return false;
    if (now - askedMs >= REPEAT_MS) {
      askedMs = now;
      link.ping();
    }
    await sleep(LOOK_INTERVAL_MS);
  }
}

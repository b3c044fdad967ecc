/** Checks whether the peer of a link is alive. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Link } from "../../link/link.ts";

const POLL_INTERVAL_MS = 50;
/** Interval between pings. */
const REPEAT_MS = 500;

/** Pings the peer. Returns false if no packet arrives within `withinMs` or the link has ended. */
export async function answers(link: Link, withinMs: number): Promise<boolean> {
  const before = link.stats().receivedPackets;
  const startMs = performance.now();
  let pingedMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    const now = performance.now();
    if (link.destroyed) return false;
    if (link.stats().receivedPackets > before) return true;
    if (now - startMs >= withinMs) return false;
    if (now - pingedMs >= REPEAT_MS) {
      pingedMs = now;
      link.ping();
    }
    await sleep(POLL_INTERVAL_MS);
  }
}

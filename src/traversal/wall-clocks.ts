/**
 * The clocks by which rendezvous points are derived: the local clock, and those of rendezvous
 * servers that differ from it.
 *
 * Two peers whose clocks disagree share no point. When a server reports its time to both, both also
 * wait at the points of that time. A server's time adds points and replaces none, and counts only
 * within 26 hours (a wrong time zone, not a machine without a battery), so that a server cannot
 * precompute the points of all codes.
 */

/** Peers that differ by less still share a point; half a span of a code's points is 5 min. */
const MIN_DIFFERENCE_MS = 60_000;
/** From this difference on the user is told: the points of two peers may not overlap. */
const REPORTED_DIFFERENCE_MS = 300_000;
const MAX_DIFFERENCE_MS = 26 * 3_600_000;
/** Servers whose clock is used, in addition to the local clock. */
const MAX_SERVER_CLOCKS = 3;

export class WallClocks {
  readonly #aheadMs: number[] = [0];
  readonly #watchers: Set<() => void> = new Set();
  #reportedMs: number | undefined;

  /** The times to derive points for, UTC in ms; that of the local clock first. */
  get times(): number[] {
    const now = Date.now();
    return this.#aheadMs.map((aheadMs) => now + aheadMs);
  }

  /**
   * How far a server's clock is ahead of the local clock, where the difference keeps peers apart;
   * undefined otherwise.
   */
  get differenceMs(): number | undefined {
    return this.#reportedMs;
  }

  /**
   * Takes a server's time and notifies watchers when it adds a time.
   *
   * @returns whether to report the difference to the user, which happens once
   */
  learn(aheadMs: number): boolean {
    const differenceMs = Math.abs(aheadMs);
    const isNews = this.#reportedMs === undefined && differenceMs >= REPORTED_DIFFERENCE_MS;
    if (isNews) this.#reportedMs = aheadMs;
    const isKnown = this.#aheadMs.some((known) => Math.abs(known - aheadMs) < MIN_DIFFERENCE_MS);
    if (isKnown || differenceMs > MAX_DIFFERENCE_MS || this.#aheadMs.length > MAX_SERVER_CLOCKS)
      return isNews;
    this.#aheadMs.push(aheadMs);
    for (const reported of this.#watchers) reported();
    return isNews;
  }

  /** Calls `told` when there are more times. Returns a function that stops it. */
  watch(reported: () => void): () => void {
    this.#watchers.add(reported);
    return () => this.#watchers.delete(reported);
  }
}

/** "1 h 5 min behind udp://…", about the local clock. */
export function describeDifference(aheadMs: number): string {
  const minutes = Math.round(Math.abs(aheadMs) / 60_000);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24];
  const parts = [
    ...(days > 0 ? [`${days} d`] : []),
    ...(hours > 0 ? [`${hours} h`] : []),
    ...(days === 0 && minutes % 60 > 0 ? [`${minutes % 60} min`] : []),
  ];
  return `${parts.join(" ")} ${aheadMs > 0 ? "behind" : "ahead of"}`;
}

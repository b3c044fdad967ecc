/**
 * The times by which places are worked out: this machine's clock, and those of rendezvous servers that differ from it.
 *
 * Two peers whose clocks disagree have no place in common by their own time. When a server tells both its time, both
 * also wait at the places of that time. A server's word moves nobody away from the places of the own clock, and counts
 * within a day and two hours only (a wrong time zone, not a clock without battery), so that a server cannot prepare
 * the places of all codes once and for all.
 */

/** Smaller differences leave two peers a place in common; half a span of a code's places is five minutes. */
const MIN_DIFFERENCE_MS = 60_000;
/** What a person is told of: from here on two codes' places may have nothing in common. */
const REPORTED_DIFFERENCE_MS = 300_000;
const MAX_DIFFERENCE_MS = 26 * 3_600_000;
/** Servers whose time is used, beside the own clock. */
const MAX_SERVER_CLOCKS = 3;

export class WallClocks {
  readonly #aheadMs: number[] = [0];
  readonly #watchers: Set<() => void> = new Set();
  #reportedMs: number | undefined;

  /** The times by which to work out places, UTC in ms, the own clock's first. */
  get times(): number[] {
    const now = Date.now();
    return this.#aheadMs.map((aheadMs) => now + aheadMs);
  }

  /** How far a server's clock is ahead of this machine's, where that keeps peers from meeting; undefined otherwise. */
  get differenceMs(): number | undefined {
    return this.#reportedMs;
  }

  /**
   * Takes what a server told. Calls those who watch when there are more times.
   *
   * @returns whether a person is to be told of the difference, once
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

  /** Calls `told` when there are more times. Returns what ends that. */
  watch(reported: () => void): () => void {
    this.#watchers.add(reported);
    return () => this.#watchers.delete(reported);
  }
}

/** "1 h 5 min behind udp://…", of this machine's clock. */
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

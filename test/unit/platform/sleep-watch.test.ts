import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SLEPT_MS, SleepWatch } from "../../../src/platform/sleep-watch.ts";

const START_MS = Date.UTC(2026, 10, 22, 12);

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: START_MS }));
afterEach(() => void vi.useRealTimers());

/** The result of a call after the wall clock and the monotonic clock have advanced by different amounts. */
function afterDrift(watch: SleepWatch, wallMs: number, monotonicMs: number): boolean {
  watch.hasSlept(0);
  vi.setSystemTime(Date.now() + wallMs);
  return watch.hasSlept(monotonicMs);
}

describe("the sleep watch", () => {
  it("reports no sleep on its first call, since it has nothing to compare the clocks with", () => {
    expect(new SleepWatch().hasSlept(123_456)).toBe(false);
  });

  it("reports no sleep while both clocks advance alike, however long the time between two calls", () => {
    expect(afterDrift(new SleepWatch(), 3_600_000, 3_600_000)).toBe(false);
  });

  it.each([
    [SLEPT_MS, false],
    [SLEPT_MS + 1, true],
  ])("when the wall clock runs ahead of the monotonic clock by %d ms, reports sleep: %s", (gapMs, slept) => {
    expect(afterDrift(new SleepWatch(), 500 + gapMs, 500)).toBe(slept);
  });

  it("reports no sleep when the wall clock is set back", () => {
    expect(afterDrift(new SleepWatch(), -60_000, 500)).toBe(false);
  });

  it("reports each sleep once", () => {
    const watch = new SleepWatch();
    expect(afterDrift(watch, 60_000, 500)).toBe(true);
    expect(watch.hasSlept(500)).toBe(false);
    vi.setSystemTime(Date.now() + 60_000);
    expect(watch.hasSlept(500)).toBe(true);
  });
});

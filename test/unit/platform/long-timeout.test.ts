import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LongTimeout, MAX_TIMER_MS } from "../../../src/platform/long-timeout.ts";

const DAY_MS = 86_400_000;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a timeout", () => {
  it.each([1, 1000, MAX_TIMER_MS, MAX_TIMER_MS + 1, 100 * DAY_MS])(
    "of %d ms is due then, not before",
    (delayMs) => {
      const onDue = vi.fn();
      new LongTimeout(onDue, delayMs);
      vi.advanceTimersByTime(delayMs - 1);
      expect(onDue).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(onDue).toHaveBeenCalledOnce();
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it("without an end has no timer", () => {
    new LongTimeout(() => undefined, Number.POSITIVE_INFINITY);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("that is stopped is never due, in whichever of its parts", () => {
    const onDue = vi.fn();
    const timeout = new LongTimeout(onDue, 3 * MAX_TIMER_MS);
    vi.advanceTimersByTime(2 * MAX_TIMER_MS);
    timeout.stop();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(2 * MAX_TIMER_MS);
    expect(onDue).not.toHaveBeenCalled();
  });
});

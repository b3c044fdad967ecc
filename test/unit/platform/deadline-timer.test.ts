import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DeadlineTimer } from "../../../src/platform/deadline-timer.ts";
import { MAX_TIMER_MS } from "../../../src/platform/long-timeout.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the deadline timer", () => {
  it("fires at the deadline, not before, and once", () => {
    const onDue = vi.fn();
    new DeadlineTimer(onDue).wakeBy(1100, 1000);
    vi.advanceTimersByTime(99);
    expect(onDue).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onDue).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(10_000);
    expect(onDue).toHaveBeenCalledOnce();
  });

  it("rounds a fraction of a millisecond up, so that it does not fire early", () => {
    const onDue = vi.fn();
    new DeadlineTimer(onDue).wakeBy(1010.2, 1000);
    vi.advanceTimersByTime(10);
    expect(onDue).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onDue).toHaveBeenCalledOnce();
  });

  it("fires after 1 ms for a deadline that has passed", () => {
    const onDue = vi.fn();
    new DeadlineTimer(onDue).wakeBy(900, 1000);
    expect(onDue).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onDue).toHaveBeenCalledOnce();
  });

  it("moves to an earlier deadline and fires once", () => {
    const onDue = vi.fn();
    const timer = new DeadlineTimer(onDue);
    timer.wakeBy(1100, 1000);
    timer.wakeBy(1040, 1000);
    vi.advanceTimersByTime(40);
    expect(onDue).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(1000);
    expect(onDue).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("keeps the present deadline when a later one is set", () => {
    const onDue = vi.fn();
    const timer = new DeadlineTimer(onDue);
    timer.wakeBy(1100, 1000);
    timer.wakeBy(1500, 1000);
    vi.advanceTimersByTime(100);
    expect(onDue).toHaveBeenCalledOnce();
  });

  it("takes a new deadline from its own callback", () => {
    const due: number[] = [];
    let nowMs = 1000;
    const timer: DeadlineTimer = new DeadlineTimer(() => {
      nowMs += 50;
      due.push(nowMs);
      if (due.length < 3) timer.wakeBy(nowMs + 50, nowMs);
    });
    timer.wakeBy(1050, nowMs);
    vi.advanceTimersByTime(150);
    expect(due).toEqual([1050, 1100, 1150]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("never fires once it is stopped, and can be set again", () => {
    const onDue = vi.fn();
    const timer = new DeadlineTimer(onDue);
    timer.wakeBy(1100, 1000);
    timer.stop();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(200);
    expect(onDue).not.toHaveBeenCalled();
    // Later than the deadline that was stopped.
    timer.wakeBy(1500, 1200);
    vi.advanceTimersByTime(300);
    expect(onDue).toHaveBeenCalledOnce();
  });

  it("wakes early for a deadline beyond the longest delay of Node's timers, rather than at once", () => {
    const onDue = vi.fn();
    new DeadlineTimer(onDue).wakeBy(1000 + 2 * MAX_TIMER_MS, 1000);
    vi.advanceTimersByTime(MAX_TIMER_MS - 1);
    expect(onDue).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onDue).toHaveBeenCalledOnce();
  });

  it("has no timer for a deadline of Infinity", () => {
    new DeadlineTimer(() => undefined).wakeBy(Number.POSITIVE_INFINITY, 1000);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a deadline timer that does not hold the process", () => {
  afterEach(() => void vi.restoreAllMocks());

  /** Whether each timer that was set keeps the process running. */
  function holds(act: (timer: DeadlineTimer) => void): boolean[] {
    const spy = vi.spyOn(globalThis, "setTimeout");
    act(new DeadlineTimer(() => undefined));
    return spy.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef());
  }

  it("releases the timer that is set", () => {
    const each = holds((timer) => {
      timer.wakeBy(1500, 1000);
      timer.holdProcess(false);
    });
    expect(each).toEqual([false]);
  });

  it("releases timers that are set later", () => {
    const each = holds((timer) => {
      timer.holdProcess(false);
      timer.wakeBy(1500, 1000);
      timer.wakeBy(1100, 1000);
    });
    expect(each).toEqual([false, false]);
  });

  it("holds the process again when asked to", () => {
    const each = holds((timer) => {
      timer.holdProcess(false);
      timer.wakeBy(1500, 1000);
      timer.holdProcess(true);
    });
    expect(each).toEqual([true]);
  });
});

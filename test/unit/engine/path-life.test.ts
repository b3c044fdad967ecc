import { describe, expect, it } from "vitest";
import { Activity, PathLife } from "../../../src/engine/path/path-life.ts";

const PTO_MS = 100;

/** A path that was heard at 0, with data that flowed at `dataAtMs`. */
function receivedPath(dataAtMs?: number): { life: PathLife; activity: Activity } {
  const activity = new Activity(Number.NEGATIVE_INFINITY);
  if (dataAtMs !== undefined) activity.record(dataAtMs);
  return { life: new PathLife(0, activity), activity };
}

describe("the life of a path, judged by its silence", () => {
  it("makes a path suspect after 6.5 s of silence while data flows, and dead after 15 s", () => {
    const { life } = receivedPath(0);
    expect(life.timeoutAt(0, PTO_MS)).toBe(6500);
    expect(life.handleTimeout(6499, PTO_MS)).toBe(false);
    expect(life.handleTimeout(6500, PTO_MS)).toBe(true);
    expect(life.state).toBe("suspect");
    expect(life.timeoutAt(6500, PTO_MS)).toBe(15_000);
    expect(life.handleTimeout(15_000, PTO_MS)).toBe(true);
    expect(life.state).toBe("dead");
    expect(life.timeoutAt(15_000, PTO_MS)).toBe(Number.POSITIVE_INFINITY);
  });

  it("waits 20 and 30 s where no data flowed in the last 30 s", () => {
    const { life } = receivedPath();
    expect(life.timeoutAt(0, PTO_MS)).toBe(20_000);
    expect(life.handleTimeout(20_000, PTO_MS)).toBe(true);
    expect(life.timeoutAt(20_000, PTO_MS)).toBe(30_000);
  });

  it("changes by one step at a time, even after a long pause", () => {
    const { life } = receivedPath(0);
    expect(life.handleTimeout(100_000, PTO_MS)).toBe(true);
    expect(life.state).toBe("suspect");
    expect(life.handleTimeout(100_000, PTO_MS)).toBe(true);
    expect(life.state).toBe("dead");
  });

  it("gives a slow path three probe timeouts beyond the keep-alive", () => {
    const slowPtoMs = 2000;
    expect(receivedPath(0).life.timeoutAt(0, slowPtoMs)).toBe(5000 + 3 * slowPtoMs);
    expect(receivedPath().life.timeoutAt(0, slowPtoMs)).toBe(15_000 + 3 * slowPtoMs);
  });

  it("is alive again when a packet arrives, and reports that only if it was not", () => {
    const { life } = receivedPath(0);
    expect(life.onReceived(1000)).toBe(false);
    life.handleTimeout(7500, PTO_MS);
    expect(life.state).toBe("suspect");
    expect(life.onReceived(8000)).toBe(true);
    expect(life.state).toBe("alive");
    expect(life.timeoutAt(8000, PTO_MS)).toBe(14_500);
  });

  it("expects nothing for the time before data began to flow", () => {
    const { life, activity } = receivedPath();
    activity.record(18_000);
    expect(life.timeoutAt(18_000, PTO_MS)).toBe(20_000);
    const other = receivedPath();
    other.life.onReceived(10_000);
    other.activity.record(18_000);
    expect(other.life.timeoutAt(18_000, PTO_MS)).toBe(24_500);
  });

  it("does not blame the path for the time that the machine slept", () => {
    const { life } = receivedPath(0);
    life.onWake(3_600_000);
    expect(life.state).toBe("alive");
    expect(life.timeoutAt(3_600_000, PTO_MS)).toBe(3_601_000);
  });

  it("gives a woken path at least a second, and three probe timeouts where those are longer", () => {
    const { life } = receivedPath(0);
    life.onWake(1000);
    expect(life.timeoutAt(1000, 500)).toBe(2500);
  });
});

describe("recent activity", () => {
  it("asks for keep-alives after 5 s while data flowed in the last 30 s, after 15 s otherwise", () => {
    const activity = new Activity(0);
    expect(activity.keepAliveMs(29_999)).toBe(5000);
    expect(activity.keepAliveMs(30_000)).toBe(15_000);
  });

  it("starts a new period only after 30 s without data", () => {
    const activity = new Activity(0);
    activity.record(20_000);
    activity.record(45_000);
    expect(activity.sinceMs).toBe(0);
    activity.record(75_000);
    expect(activity.sinceMs).toBe(75_000);
  });
});

import { describe, expect, it } from "vitest";
import { TIMER, TimerTable } from "../../../src/engine/connection/timers.ts";

describe("a connection's timer table", () => {
  it("has a slot of its own for every timer", () => {
    const slots = Object.values(TIMER);
    expect(new Set(slots).size).toBe(slots.length);
    for (const timer of slots) {
      const timers = new TimerTable();
      timers.set(timer, 7);
      expect(timers.next()).toBe(7);
    }
  });

  it("never expires while all timers are stopped", () => {
    expect(new TimerTable().next()).toBe(Number.POSITIVE_INFINITY);
  });

  it("returns the earliest of the armed timers", () => {
    const timers = new TimerTable();
    timers.set(TIMER.idle, 30_000);
    timers.set(TIMER.lossDetection, 250);
    timers.set(TIMER.ack, 275);
    expect(timers.next()).toBe(250);
    timers.set(TIMER.lossDetection, 40_000);
    expect(timers.next()).toBe(275);
  });

  it("ignores a timer that was stopped, and all of them after stopAll()", () => {
    const timers = new TimerTable();
    timers.set(TIMER.keepAlive, 10);
    timers.set(TIMER.closing, 20);
    timers.set(TIMER.keepAlive, Number.POSITIVE_INFINITY);
    expect(timers.next()).toBe(20);
    timers.stopAll();
    expect(timers.next()).toBe(Number.POSITIVE_INFINITY);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WindowedMax } from "../../../src/engine/congestion/windowed-max.ts";

describe("the maximum over a sliding window", () => {
  it("is the largest of the values that the window covers", () => {
    const filter = new WindowedMax(10);
    for (const [time, value] of [
      [0, 5],
      [1, 9],
      [2, 7],
    ] as const)
      filter.update(time, value);
    expect(filter.value).toBe(9);
  });

  it("falls to the next best when the largest leaves the window", () => {
    const filter = new WindowedMax(10);
    for (const [time, value] of [
      [0, 9],
      [4, 7],
      [8, 5],
      [11, 1],
    ] as const)
      filter.update(time, value);
    expect(filter.value).toBe(7);
  });

  it("takes the newest value, however small, after a gap longer than the window", () => {
    const filter = new WindowedMax(10);
    filter.update(0, 100);
    filter.update(50, 1);
    expect(filter.value).toBe(1);
  });

  it("replaces all candidates when a larger value arrives", () => {
    const filter = new WindowedMax(10);
    for (const [time, value] of [
      [0, 5],
      [5, 6],
      [9, 20],
      [15, 3],
    ] as const)
      filter.update(time, value);
    expect(filter.value).toBe(20);
    filter.update(20, 2);
    expect(filter.value).toBe(3);
  });

  it("never exceeds the true maximum of the window, and never misses the newest value", () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 1, max: 1000 })), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(steps, (gaps) => {
        const window = 10;
        const filter = new WindowedMax(window);
        const seen: [number, number][] = [];
        let time = 0;
        for (const [gap, value] of gaps) {
          time += gap;
          seen.push([time, value]);
          filter.update(time, value);
          const inWindow = seen.filter(([at]) => time - at <= window).map(([, one]) => one);
          expect(filter.value).toBeLessThanOrEqual(Math.max(...inWindow));
          expect(filter.value).toBeGreaterThanOrEqual(value);
        }
      }),
    );
  });

  it("forgets everything on reset", () => {
    const filter = new WindowedMax(10);
    filter.update(0, 100);
    filter.reset(1, 0);
    expect(filter.value).toBe(0);
  });
});

import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";
import { World } from "./world.ts";

describe("virtual clock", () => {
  it("runs events by time, and those of one instant in the order of scheduling", () => {
    const world = new World(1000);
    const random = new Random(1);
    const ran: { at: number; order: number }[] = [];
    for (let order = 0; order < 500; order++) {
      const at = 1000 + random.below(50);
      world.at(at, () => ran.push({ at: world.now, order }));
    }
    world.run(Number.POSITIVE_INFINITY);
    expect(ran).toHaveLength(500);
    const sorted = ran.toSorted((a, b) => a.at - b.at || a.order - b.order);
    expect(ran).toEqual(sorted);
  });

  it("stands still between events and never runs backwards", () => {
    const world = new World(7);
    const times: number[] = [];
    world.at(20, () => {
      times.push(world.now);
      world.at(3, () => times.push(world.now)); // the past means now
    });
    world.run(Number.POSITIVE_INFINITY);
    expect(times).toEqual([20, 20]);
  });

  it("stops at the limit and leaves later events waiting", () => {
    const world = new World();
    let ran = 0;
    world.at(5, () => ran++);
    world.at(15, () => ran++);
    world.run(10);
    expect([ran, world.pending, world.now]).toEqual([1, 1, 5]);
  });
});

describe("seeded chance", () => {
  it("repeats itself by seed and label, and differs by either", () => {
    const draw = (seed: number, label: string): string =>
      Buffer.from(new Random(seed, label).bytes(32)).toString("hex");
    expect(draw(1, "a")).toBe(draw(1, "a"));
    expect(new Set([draw(1, "a"), draw(2, "a"), draw(1, "b"), draw(1 + 2 ** 32, "a")]).size).toBe(4);
  });

  it("is spread evenly", () => {
    const random = new Random(3);
    const counts = new Array<number>(10).fill(0);
    for (let n = 0; n < 100_000; n++) counts[random.below(10)]!++;
    // Ten times the standard deviation of a fair generator.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(950);
  });
});

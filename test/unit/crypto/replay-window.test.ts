/** The replay window against a set that forgets nothing. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  PACKET_NUMBER_LIMIT,
  REPLAY_WINDOW_PACKETS,
  ReplayWindow,
} from "../../../src/crypto/replay-window.ts";

/** What the window should do, with everything remembered. */
class Model {
  readonly #seen = new Set<number>();
  highest = -1;

  accepts(packetNumber: number): boolean {
    const isInRange = packetNumber >= 0 && packetNumber < 2 ** 48;
    return isInRange && packetNumber > this.highest - 8192 && !this.#seen.has(packetNumber);
  }

  commit(packetNumber: number): void {
    if (!this.accepts(packetNumber)) return;
    this.#seen.add(packetNumber);
    this.highest = Math.max(this.highest, packetNumber);
  }
}

/** A step from the highest number so far: mostly inside the window, at its edges, sometimes far ahead. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -70, max: 40 }) },
  { weight: 3, arbitrary: fc.integer({ min: -8300, max: 8300 }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(-8193, -8192, -8191, -8160, 8191, 8192, 8193, 16383, 16384, 16385),
  },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 100_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 32 + 16384, 2 ** 37) },
);
const start = fc.oneof(
  ...[0, 2 ** 31, 2 ** 32, 2 ** 36, 2 ** 47, 2 ** 48 - 20_000, 2 ** 48].map((base) =>
    fc.integer({ min: Math.max(0, base - 9000), max: Math.min(2 ** 48 - 1, base + 9000) }),
  ),
);

function expectSame(window: ReplayWindow, model: Model, packetNumber: number): void {
  if (window.accepts(packetNumber) !== model.accepts(packetNumber) || window.highest !== model.highest) {
    expect.fail(`differs at ${packetNumber}, highest ${model.highest} and ${window.highest}`);
  }
}

describe("the replay window", () => {
  it("is what a set that forgets nothing says, near 0, 2^31, 2^32, 2^47 and 2^48", () => {
    fc.assert(
      fc.property(start, fc.array(fc.tuple(step, fc.boolean()), { maxLength: 150 }), (first, steps) => {
        const [window, model] = [new ReplayWindow(), new Model()];
        window.commit(first);
        model.commit(first);
        for (const [distance, isGenuine] of steps) {
          const packetNumber = model.highest + distance;
          expectSame(window, model, packetNumber);
          if (isGenuine) {
            window.commit(packetNumber);
            model.commit(packetNumber);
          }
          expectSame(window, model, packetNumber);
        }
        // Whatever happened, all of the window and what lies just behind it is remembered rightly.
        for (let distance = -8300; distance <= 2; distance++)
          expectSame(window, model, model.highest + distance);
      }),
      { numRuns: 300 },
    );
  });

  it.each([0, 2 ** 31 - 5000, 2 ** 32 - 5000, 2 ** 48 - 20_001])(
    "takes each of 20000 packets from %d on once",
    (first) => {
      const window = new ReplayWindow();
      for (let packetNumber = first; packetNumber < first + 20_000; packetNumber++) {
        if (!window.accepts(packetNumber)) expect.fail(`refuses ${packetNumber}`);
        window.commit(packetNumber);
        if (window.accepts(packetNumber)) expect.fail(`takes ${packetNumber} twice`);
      }
      expect(window.highest).toBe(first + 19_999);
    },
  );

  it.each([2, 31, 33, 64, 700, 8190])(
    "still takes what was left out in steps of %d, after the ring went round",
    (gap) => {
      const window = new ReplayWindow();
      const begin = 2 ** 32 - 8192;
      for (let packetNumber = begin; packetNumber < begin + 40_000; packetNumber++)
        window.commit(packetNumber);
      let packetNumber = begin + 40_000;
      for (; packetNumber < begin + 80_000; packetNumber += gap) {
        window.commit(packetNumber);
        if (packetNumber - gap <= begin + 40_000) continue;
        for (let left = packetNumber - gap + 1; left < packetNumber; left++) {
          if (!window.accepts(left)) expect.fail(`refuses ${left}, which nobody sent`);
        }
        if (window.accepts(packetNumber - gap)) expect.fail(`forgot ${packetNumber - gap}`);
      }
      expect(window.highest).toBe(packetNumber - gap);
    },
  );

  it("takes the whole window in reverse order, and not one packet more", () => {
    const window = new ReplayWindow();
    const last = 2 ** 32 + 4000;
    window.commit(last);
    for (let distance = 1; distance < REPLAY_WINDOW_PACKETS; distance++) {
      expect(window.accepts(last - distance)).toBe(true);
      window.commit(last - distance);
      expect(window.accepts(last - distance)).toBe(false);
    }
    expect(window.accepts(last - REPLAY_WINDOW_PACKETS)).toBe(false);
    expect(window.highest).toBe(last);
  });

  it("does not move for a number that is only asked about", () => {
    const window = new ReplayWindow();
    window.commit(10);
    expect(window.accepts(PACKET_NUMBER_LIMIT - 1)).toBe(true);
    expect(window.accepts(2 ** 40)).toBe(true);
    expect(window.highest).toBe(10);
    expect(window.accepts(9)).toBe(true);
  });

  it("refuses what no packet can carry, and commits none of it", () => {
    const window = new ReplayWindow();
    for (const packetNumber of [-1, PACKET_NUMBER_LIMIT, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(window.accepts(packetNumber)).toBe(false);
      window.commit(packetNumber);
    }
    expect(window.highest).toBe(-1);
    expect(window.accepts(0)).toBe(true);
  });

  it("keeps its promise of 8192 packets", () => {
    expect(REPLAY_WINDOW_PACKETS).toBe(8192);
    expect(PACKET_NUMBER_LIMIT).toBe(281_474_976_710_656);
  });
});

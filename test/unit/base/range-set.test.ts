import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RangeSet } from "../../../src/base/range-set.ts";

const step = fc.record({
  kind: fc.constantFrom("add", "remove", "removeBelow", "removeFirst"),
  start: fc.nat(60),
  length: fc.nat(20),
});

describe("range set", () => {
  it("agrees with a set of integers, whatever is added and removed", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom(0, 2 ** 31 - 30, 2 ** 32 - 30, 2 ** 48 - 30),
        (steps, base) => {
          const ranges = new RangeSet();
          const model = new Set<number>();
          for (const { kind, start, length } of steps) {
            const from = base + start;
            if (kind === "add") {
              const before = model.size;
              for (let i = 0; i < length; i++) model.add(from + i);
              expect(ranges.add(from, from + length)).toBe(model.size > before);
            } else if (kind === "remove") {
              for (let i = 0; i < length; i++) model.delete(from + i);
              ranges.remove(from, from + length);
            } else if (kind === "removeBelow") {
              for (const value of model) if (value < from) model.delete(value);
              ranges.removeBelow(from);
            } else if (ranges.count > 0) {
              for (let value = ranges.start(0); value < ranges.end(0); value++) model.delete(value);
              ranges.removeFirst();
            }
            expect(ranges.size).toBe(model.size);
            for (let i = 0; i < ranges.count; i++) {
              expect(ranges.start(i)).toBeLessThan(ranges.end(i));
              // Disjoint and not even touching.
              if (i > 0) expect(ranges.start(i)).toBeGreaterThan(ranges.end(i - 1));
            }
            for (let value = base; value < base + 82; value++)
              expect(ranges.contains(value)).toBe(model.has(value));
            let all = true;
            for (let i = 0; i < length; i++) all &&= model.has(from + i);
            expect(ranges.containsRange(from, from + length)).toBe(all);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

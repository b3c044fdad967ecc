import { describe, expect, it } from "vitest";
import { atLeast, atMostTimes, bound, comparison, either, medians, spread } from "../../bench/speed/group.ts";
import { quantile, Results } from "../../bench/speed/results.ts";

function resultsOf(rows: Readonly<Record<string, readonly number[]>>): Results {
  const results = new Results(Object.keys(rows));
  for (const [row, values] of Object.entries(rows)) for (const rate of values) results.add(row, { rate });
  return results;
}

describe("a quantile", () => {
  it("lies between two values where its place does", () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([10, 0], 0.99)).toBeCloseTo(9.9);
    expect(quantile([7], 0.99)).toBe(7);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe("a table's cell", () => {
  const results = resultsOf({ fast: [4, 6, 5], slow: [2, 1, 3], none: [] });

  it("gives the median with the lowest and the highest", () => {
    expect(spread("", "rate", 1).cell("fast", results)).toBe("5.0 (4.0–6.0)");
    expect(spread("", "rate", 1).cell("none", results)).toBe("");
    expect(medians("", ["rate", "other"], 0, " MB").cell("slow", results)).toBe("2 MB");
  });

  it("compares medians, and a row neither with itself nor with what was not measured", () => {
    const column = comparison("", "rate", (row) => (row === "none" ? "fast" : "slow"), "times");
    expect(column.cell("fast", results)).toBe("2.50 ×");
    expect(column.cell("slow", results)).toBe("");
    expect(column.cell("none", results)).toBe("");
    expect(comparison("", "rate", () => "fast", "percent").cell("slow", results)).toBe("40 %");
  });
});

describe("a goal", () => {
  const results = resultsOf({ ours: [7, 9, 8], theirs: [4, 4, 4], none: [] });

  it("is reached or not by medians", () => {
    const outcomeOf = (factor: number) => atLeast("ours", factor, "theirs", "rate", "times").outcome(results);
    expect(outcomeOf(2)).toEqual({ figure: "2.00 ×", isReached: true });
    expect(outcomeOf(2.1)).toEqual({ figure: "2.00 ×", isReached: false });
    expect(atMostTimes("ours", 2, "theirs", "rate").outcome(results)?.isReached).toBe(true);
    expect(atMostTimes("ours", 1.9, "theirs", "rate").outcome(results)?.isReached).toBe(false);
    expect(bound("ours", "≤", 8, "ms", "rate").outcome(results)?.isReached).toBe(true);
    expect(bound("ours", "≥", 8.1, "ms", "rate").outcome(results)?.isReached).toBe(false);
  });

  it("says nothing of what was not measured", () => {
    expect(atLeast("ours", 2, "none", "rate", "times").outcome(results)).toBeUndefined();
    expect(bound("none", "≥", 2, "ms", "rate").outcome(results)).toBeUndefined();
  });

  it("of two is reached by either", () => {
    const [far, near] = [1000, 1].map((factor) => atLeast("ours", factor, "theirs", "rate", "times"));
    expect(either(far!, near!).outcome(results)?.isReached).toBe(true);
    expect(either(far!, far!).outcome(results)?.isReached).toBe(false);
  });
});

import { expect, it } from "vitest";
import { repeatCommand, runSeed } from "./seed-run.ts";

const SEEDS = 200;

/** Fails with the seed, what broke, and the command that repeats it. */
function expectToHold(seed: number, isRepeated?: boolean): ReturnType<typeof runSeed> {
  const report = runSeed(seed, isRepeated);
  expect.soft(report.failure, `seed ${seed}; repeat: ${repeatCommand(seed)}`).toBeUndefined();
  return report;
}

it(`${SEEDS} random worlds break no invariant`, { timeout: 120_000 }, () => {
  let lost = 0;
  let readBytes = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const report = expectToHold(seed);
    lost += report.lost;
    readBytes += report.readBytes;
  }
  // A campaign in which nothing was lost or nothing arrived would show nothing.
  expect(lost).toBeGreaterThan(1000);
  expect(readBytes).toBeGreaterThan(10_000_000);
});

it("a seed leaves the same trace each time, on toy and on real cryptography", { timeout: 60_000 }, () => {
  // 1, 129: node:crypto; 65, 193: the portable primitives.
  for (const seed of [1, 2, 3, 5, 8, 13, 65, 129, 193]) expectToHold(seed, true);
});

it("seeds leave different traces", () => {
  const digests = Array.from({ length: 20 }, (_, n) => runSeed(2 + n, false).digest);
  expect(new Set(digests).size).toBe(20);
});

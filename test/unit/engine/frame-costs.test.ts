/** A bound on the work of one packet, whatever it is full of; `npm run bench:frames` prints the figures. */
import { expect, it } from "vitest";
import { BASELINE, frameCaseNames, measureFrames } from "../../bench/frame-costs.ts";

const BUDGET_MS = 80;
/** Times the packet that carries a full STREAM frame; measured are 1 to 36. */
const MOST_TIMES = 120;

it("no packet of 1452 bytes makes more work than 120 packets of data, whatever frames it is full of", {
  timeout: 60_000,
}, () => {
  measureFrames(BASELINE, BUDGET_MS);
  const costs = frameCaseNames().map((name) => measureFrames(name, BUDGET_MS));
  const { lowUs } = measureFrames(BASELINE, BUDGET_MS);
  expect(costs.length).toBeGreaterThan(20);
  const tooDear = costs.filter((cost) => cost.lowUs > MOST_TIMES * lowUs);
  expect(tooDear.map((cost) => `${cost.name}: ${(cost.lowUs / lowUs).toFixed(0)} times`)).toEqual([]);
});

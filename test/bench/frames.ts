/** `npm run bench:frames`: the most that one packet of 1452 bytes costs its receiver, for each frame type. */
import { BASELINE, type FrameCost, frameCaseNames, measureFrames } from "./frame-costs.ts";

const BUDGET_MS = 1500;

measureFrames(BASELINE, BUDGET_MS);
const costs: FrameCost[] = frameCaseNames().map((name) => measureFrames(name, BUDGET_MS));
const baseline = costs.find(({ name }) => name === BASELINE)!;
console.log("| packet of 1452 bytes, full of | frames | µs, median | CPU µs, mean | times the first |");
console.log("|---|---|---|---|---|");
for (const { name, frames, medianUs, meanCpuUs } of costs) {
  const times = (medianUs / baseline.medianUs).toFixed(1);
  console.log(`| ${name} | ${frames} | ${medianUs.toFixed(1)} | ${meanCpuUs.toFixed(1)} | ${times} |`);
}

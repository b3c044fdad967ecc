/** A flood of forged first messages, short; `npm run flood` has the long one and its figures. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { builtFile } from "../lib/paths.ts";
import type { FloodResult } from "./flood-main.ts";

const MAIN = fileURLToPath(builtFile("test/security/flood-main.js"));
const SECONDS = 6;

/**
 * Processor time of the listener for each first message: 8 µs where this was written. A key exchange for each would
 * take 50 or more. Unlike rates it does not depend on what else the machine does.
 */
const MAX_CPU_US = 25;

it("22 · a flood of first messages takes little memory and nothing of a running link, and others still get in", {
  timeout: 120_000,
}, async () => {
  const words = [
    "--mode",
    "secret",
    "--seconds",
    `${SECONDS}`,
    "--rate",
    "20000",
    "--addresses",
    "1000",
    "--json",
  ];
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...words]);
  const result = JSON.parse(stdout) as FloodResult;
  expect(result.perSecond).toBeGreaterThan(5000);
  const [calmPercent, floodPercent] = result.cpuPercent;
  expect((10_000 * (floodPercent - calmPercent)) / result.perSecond).toBeLessThan(MAX_CPU_US);
  // The rate itself is that of a machine with two cores to spare: `npm run flood` tells it.
  expect(result.during).toBeGreaterThan(10);
  expect(result.grownMb).toBeLessThan(20);
  expect(result.newcomersMs.length).toBeGreaterThan(0);
});

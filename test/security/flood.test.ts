/** A flood of forged first messages, short; `npm run flood` has the long one and its figures. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { builtFile } from "../lib/paths.ts";
import type { FloodResult } from "./flood-main.ts";

const MAIN = fileURLToPath(builtFile("test/security/flood-main.js"));
const SECONDS = 6;

// What it measures needs a machine to itself: a second try where somebody else was at work.
it("22 · a flood of first messages takes little memory and nothing of a running link, and others still get in", {
  timeout: 120_000,
  retry: 1,
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
  expect(result.perSecond).toBeGreaterThan(10_000);
  expect(result.before).toBeGreaterThan(80);
  expect(result.during / result.before).toBeGreaterThan(0.9);
  expect(result.grownMb).toBeLessThan(20);
  for (const ms of result.newcomersMs) expect(ms).toBeLessThan(5000);
});

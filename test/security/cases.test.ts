/**
 * Each bad input and attack of the numbered list in docs/threat-model.md has a test that ran and passed.
 *
 * A test's title begins with its number. `record-cases.ts` records the numbers of passed tests; this file is a
 * project of its own that runs after them.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const CASES = 35;

it("each of the 35 attacks in docs/threat-model.md has a test that passed in this run", () => {
  const record = process.env.SRUDP_CASE_RECORD ?? "";
  expect(existsSync(record), "run the whole folder test/security, not this file alone").toBe(true);
  const passed = new Set(readFileSync(record, "utf8").trim().split("\n").map(Number));
  const all = Array.from({ length: CASES }, (_, i) => i + 1);
  expect(all.filter((number) => !passed.has(number))).toEqual([]);
  expect([...passed].filter((number) => !all.includes(number))).toEqual([]);
});

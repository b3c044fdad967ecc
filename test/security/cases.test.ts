/** The list of bad inputs and attacks in docs/threat-model.md is tested whole: each number has a test here. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const CASES = 35;

it("each of the 35 cases has a test that begins with its number", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".test.ts"));
  const text = files.map((name) => readFileSync(FOLDER + name, "utf8")).join("\n");
  const numbers = new Set<number>();
  for (const [, first, second] of text.matchAll(/["'`](\d{1,2})(?: and (\d{1,2}))? · /g)) {
    for (const number of [first, second]) if (number !== undefined) numbers.add(Number(number));
  }
  const missing = Array.from({ length: CASES }, (_, i) => i + 1).filter((number) => !numbers.has(number));
  expect(missing).toEqual([]);
  expect(Math.max(...numbers)).toBe(CASES);
});

/** An attacker on the path of two engines, by seed; `npm run attack` runs more of it. */
import { expect, it } from "vitest";
import { ATTACKED_MODES, runAttack } from "./attack-run.ts";
import { MANIPULATIONS } from "./attacker.ts";

const SEEDS = 150;

it("an attacker who reads, changes, drops, repeats, reflects, swaps and speaks for either makes no link and harms none", () => {
  const done = new Set<string>();
  const linked = new Map(ATTACKED_MODES.map((mode) => [mode, 0]));
  let manipulations = 0;
  for (let seed = 0; seed < SEEDS; seed++) {
    const result = runAttack(seed);
    expect(result.breach, `seed ${seed}, by ${result.mode}`).toBeUndefined();
    manipulations += result.manipulations;
    for (const what of result.done.keys()) done.add(what);
    if (result.isLinked) linked.set(result.mode, linked.get(result.mode)! + 1);
  }
  expect(manipulations).toBeGreaterThan(3000);
  expect([...done].sort(), "everything was tried").toEqual([...MANIPULATIONS].sort());
  // Where nothing ever came about, nothing was attacked.
  for (const [mode, count] of linked) expect(count, mode).toBeGreaterThan(10);
});

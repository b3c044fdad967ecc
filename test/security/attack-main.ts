/**
 * `npm run attack -- [--seeds N] [--from SEED]`: an attacker on the path, seed after seed, in every trust mode.
 * Prints what was done how often and what came of it; the first breach ends it with status 1 and its seed.
 */
import { parseArgs } from "node:util";
import { ATTACKED_MODES, runAttack } from "./attack-run.ts";
import { MANIPULATIONS } from "./attacker.ts";

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "500" }, from: { type: "string", default: "0" } },
});
const from = Number(values.from);
const seeds = Number(values.seeds);
const done = new Map(MANIPULATIONS.map((what) => [what, 0]));
const links = new Map(ATTACKED_MODES.map((mode) => [mode, { linked: 0, runs: 0 }]));

for (let seed = from; seed < from + seeds; seed++) {
  const result = runAttack(seed);
  for (const [what, count] of result.done) done.set(what, done.get(what)! + count);
  const ofMode = links.get(result.mode)!;
  ofMode.runs++;
  if (result.isLinked) ofMode.linked++;
  if (result.breach !== undefined) {
    process.stdout.write(`seed ${seed}, by ${result.mode}: ${result.breach}\n`);
    process.stdout.write(`again: npm run attack -- --from ${seed} --seeds 1\n`);
    process.exit(1);
  }
}
const total = [...done.values()].reduce((sum, count) => sum + count, 0);
process.stdout.write(`${seeds} attacks from seed ${from}, ${total} manipulations, no breach\n`);
for (const [what, count] of done) process.stdout.write(`  ${what.padEnd(12)} ${count}\n`);
for (const [mode, { linked, runs }] of links) {
  process.stdout.write(
    `  by ${mode}: ${linked} of ${runs} linked, unharmed; the others told that there is no link\n`,
  );
}

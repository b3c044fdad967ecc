/**
 * Prints the scenario table with its figures as Markdown, for docs/benchmarks.md:
 * `node dist/test/sim/scenario-main.js [part of a name]`, after `npm run build`.
 */

import { EXTRAS } from "./scenario-extras.ts";
import { SCENARIOS } from "./scenario-table.ts";

const [, , part = ""] = process.argv;
let rows = 0;
let breaches = 0;
console.log("| scenario | parameters | control | goal | figure | buffers sending / receiving |");
console.log("|---|---|---|---|---|---|");
for (const { name, parameters, goal, congestions, run } of [...SCENARIOS, ...EXTRAS]) {
  if (!name.includes(part)) continue;
  for (const congestion of congestions) {
    const { figure, breach, isMet, peakBytes } = run(congestion);
    const said = breach ?? (isMet ? figure : `**not met:** ${figure}`);
    const buffers = peakBytes?.map((bytes) => `${Math.round(bytes / 1000)} kB`).join(" / ") ?? "";
    const control = congestions.length > 1 ? congestion : "";
    console.log(`| ${name} | ${parameters} | ${control} | ${goal} | ${said} | ${buffers} |`);
    rows++;
    if (breach !== undefined) breaches++;
  }
}
process.exitCode = rows > 0 && breaches === 0 ? 0 : 1;

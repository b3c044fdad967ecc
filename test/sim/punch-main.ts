/**
 * Every kind of NAT against every other, in simulation: how many of the tries met directly, the median and the longest
 * time until both sides knew. `npm run sim:punch [-- tries]`; try number n is seed n.
 */
import { KIND_NAMES } from "./punch/kinds.ts";
import { meet, run } from "./punch/meeting.ts";

const tries = Number(process.argv[2] ?? 20);
const rows = [["initiator \\ responder", ...KIND_NAMES]];
for (const a of KIND_NAMES) {
  const row: string[] = [a];
  for (const b of KIND_NAMES) {
    const times: number[] = [];
    for (let seed = 1; seed <= tries; seed++) {
      const timeMs = run(meet(a, b, seed));
      if (timeMs < Number.POSITIVE_INFINITY) times.push(Math.round(timeMs));
    }
    times.sort((x, y) => x - y);
    const spread = times.length === 0 ? "" : `, ${times[times.length >> 1]} ms (≤ ${times.at(-1)})`;
    row.push(`${times.length}/${tries}${spread}`);
  }
  rows.push(row);
}
for (const row of rows) process.stdout.write(`| ${row.join(" | ")} |\n`);

/**
 * How fast it is, beside a ceiling and beside others: `npm run bench`.
 *
 *     node dist/test/bench/speed.js [--runs 5] [--seconds 3] [--json FILE] [GROUP|ROW …]
 *
 * Without words all groups of `speed/groups.ts`, one after the other; a row stands for itself in each group that is
 * named, or in the first that has it. Every row is run once a round, so that what else the machine does hits all alike,
 * and the medians are given. A 1500-byte path is made of network namespaces, which needs root.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { endAll } from "../lib/srudp-process.ts";
import type { Group } from "./speed/group.ts";
import { GROUPS } from "./speed/groups.ts";
import { describeMachine, load, machineText } from "./speed/machine.ts";
import { type BenchPath, LOOPBACK, path1500 } from "./speed/path.ts";
import { endDescendants } from "./speed/processes.ts";
import { type Outcome, printOutcome } from "./speed/report.ts";
import { Results } from "./speed/results.ts";

interface Wanted {
  readonly name: string;
  readonly group: Group;
  readonly rows: Group["rows"];
}

/** @throws with what there is, where a word names nothing */
function wantedOf(words: readonly string[]): Wanted[] {
  const groups = Object.entries(GROUPS);
  const rowWords = words.filter((word) => GROUPS[word] === undefined);
  let named = groups.filter(([name]) => words.includes(name));
  if (named.length === 0) {
    named = groups.filter(([, { rows }]) => rowWords.every((word) => rows.some(({ name }) => name === word)));
    if (rowWords.length > 0) named = named.slice(0, 1);
  }
  const known = new Set(named.flatMap(([, { rows }]) => rows.map(({ name }) => name)));
  const unknown = rowWords.filter((word) => !known.has(word));
  if (named.length === 0 || unknown.length > 0) {
    const all = groups.map(([name, { rows }]) => `${name}: ${rows.map((row) => row.name).join(", ")}`);
    throw new Error(`no such group, or no such row of it; there are\n${all.join("\n")}`);
  }
  return named.map(([name, group]) => ({
    name,
    group,
    rows: group.rows.filter((row) => rowWords.length === 0 || rowWords.includes(row.name)),
  }));
}

async function run({ name, group, rows }: Wanted, path: BenchPath): Promise<Outcome> {
  const before = { load: load(), atMs: performance.now() };
  const missing: Record<string, readonly string[]> = {};
  const failures: string[] = [];
  const able = rows.filter((row) => {
    const names = row.missing?.() ?? [];
    if (names.length > 0) missing[row.name] = names;
    return names.length === 0;
  });
  const names = able.map((row) => row.name);
  const results = new Results(names);
  const runs = Math.max(Number(values.runs), group.leastRuns ?? 0);
  for (let round = 1; round <= runs; round++) {
    for (const row of able) {
      try {
        results.add(row.name, await row.run(path, Number(values.seconds) * 1000));
      } catch (error) {
        failures.push(
          `${row.name}, round ${round}: ${error instanceof Error ? error.message : String(error)}`,
        );
        await endAll();
      }
    }
    if (process.stderr.isTTY) console.error(`${name}: ${round} of ${runs}`);
  }
  const seconds = (performance.now() - before.atMs) / 1000;
  return {
    group,
    path: path.name,
    runs,
    rows: names,
    results,
    missing,
    failures,
    load: [before.load, load()],
    seconds,
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});

let wanted: Wanted[];
try {
  wanted = wantedOf(positionals);
} catch (error) {
  console.error((error as Error).message);
  process.exit(64);
}

let path: BenchPath | undefined;
if (wanted.some(({ group }) => !group.isOnLoopback)) {
  try {
    path = path1500();
  } catch (error) {
    console.error(`no 1500-byte path (root makes one): ${(error as Error).message}`);
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    endDescendants();
    path?.close();
    process.exit(1);
  });
}

const words = process.argv.slice(2).map((word) => (word.includes(" ") ? `"${word}"` : word));
const command = ["npm run bench --", ...words].join(" ");
const machine = await describeMachine();
console.log(`\`${command}\`: ${machineText(machine)}\n`);
const outcomes: Record<string, object> = {};
let failed = 0;
try {
  for (const one of wanted) {
    const where = one.group.isOnLoopback ? LOOPBACK : path;
    if (where === undefined) {
      console.log(`### ${one.name}\n\nleft out: no 1500-byte path\n`);
      continue;
    }
    const outcome = await run(one, where);
    printOutcome(one.name, outcome);
    failed += outcome.failures.length;
    const { group: _, results, ...rest } = outcome;
    outcomes[one.name] = { ...rest, samples: results.samples };
  }
} finally {
  path?.close();
  await endAll();
}
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ command, machine, groups: outcomes })}\n`);
process.exitCode = failed === 0 ? 0 : 1;

/** The table of a group, as Markdown, with what is below it. */
import type { Group } from "./group.ts";
import type { Results } from "./results.ts";

/** What came of a group. */
export interface Outcome {
  readonly group: Group;
  readonly path: string;
  readonly runs: number;
  /** Of the rows that were wanted, those that could be run, in their order. */
  readonly rows: readonly string[];
  readonly results: Results;
  /** Rows left out, each with what is not installed. */
  readonly missing: Readonly<Record<string, readonly string[]>>;
  readonly failures: readonly string[];
  /** The system's load before and after. */
  readonly load: readonly [number, number];
  readonly seconds: number;
}

export function printOutcome(name: string, outcome: Outcome): void {
  const { group, path, runs, rows, results, missing, failures, load, seconds } = outcome;
  const loads = load.map((one) => one.toFixed(1)).join(" before, ");
  console.log(
    `### ${name}\n\n${group.title}: ${path}, medians of ${runs} (lowest–highest), load ${loads} after, ${seconds.toFixed(0)} s\n`,
  );
  const columns = group.columns.filter(({ cell }) => rows.some((row) => cell(row, results) !== ""));
  console.log(`| row | ${columns.map(({ heading }) => heading).join(" | ")} |`);
  console.log(`|---|${columns.map(() => "---|").join("")}`);
  for (const row of rows) {
    console.log(`| ${row} | ${columns.map(({ cell }) => cell(row, results)).join(" | ")} |`);
  }
  console.log();
  for (const { text, outcome: comeOf } of group.goals) {
    const figure = comeOf(results);
    if (figure !== undefined)
      console.log(`- ${text}: ${figure.figure}, ${figure.isReached ? "reached" : "**not reached**"}`);
  }
  for (const [row, names] of Object.entries(missing))
    console.log(`- ${row} left out: ${names.join(", ")} not installed`);
  for (const failure of failures) console.log(`- FAILED ${failure}`);
  console.log();
}

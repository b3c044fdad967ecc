/**
 * Six lossy or slow links, emulated: what ours carries with either controller, and UDX over the same links.
 *
 *     npm run bench:links -- [--rows NAME,NAME] [--only bbr,cubic,udx] [--runs N] [--seed N] [--json FILE] [--trace FOLDER]
 *
 * Sender, receiver and emulator are a process each. All transports of one run see the same seed. The median
 * run of each cell makes the table; all runs are in the JSON. `--trace` keeps the sender's state every 20 ms.
 * Other work on the machine spoils the figures: what it took is printed below the table.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Measurement, measure } from "./links/measure.ts";
import { LINK_ROWS } from "./links/rows.ts";
import { printTable } from "./links/table.ts";
import { TRANSPORTS, type TransportName } from "./links/transport.ts";
import { missingPackages } from "./speed/holepunch.ts";
import { describeMachine } from "./speed/machine.ts";

const TRACE_EVERY_MS = 20;

/** The named ones of `all`; exits when a name is none. */
function chosen<T extends string>(flag: string, text: string | undefined, all: readonly T[]): readonly T[] {
  if (text === undefined) return all;
  const names = text.split(",");
  const unknown = names.filter((name) => !(all as readonly string[]).includes(name));
  if (unknown.length > 0) {
    console.error(`--${flag}: no such name as ${unknown.join(", ")}; there are ${all.join(", ")}`);
    process.exit(64);
  }
  return all.filter((name) => names.includes(name));
}

function writeTrace(folder: string, result: Measurement): void {
  mkdirSync(folder, { recursive: true });
  const lines = result.trace.map((point) => JSON.stringify(point));
  writeFileSync(join(folder, `${result.link}-${result.transport}-${result.seed}.jsonl`), lines.join("\n"));
}

function warnOfUdx(names: readonly TransportName[]): readonly TransportName[] {
  if (!names.includes("udx") || !missingPackages().includes("udx-native")) return names;
  console.error("UDX is left out: it is not installed (npm ci --prefix test/bench)");
  return names.filter((name) => name !== "udx");
}

const { values } = parseArgs({
  options: {
    rows: { type: "string" },
    only: { type: "string" },
    runs: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    json: { type: "string" },
    trace: { type: "string" },
  },
});
const rowNames = chosen(
  "rows",
  values.rows,
  LINK_ROWS.map(({ name }) => name),
);
const links = LINK_ROWS.filter(({ name }) => rowNames.includes(name));
const transports = warnOfUdx(chosen("only", values.only, TRANSPORTS));
const results: Measurement[] = [];
const failures: string[] = [];
for (const link of links) {
  for (let run = 0; run < Number(values.runs); run++) {
    for (const transport of transports) {
      const seed = Number(values.seed) + run;
      const name = `${link.name}, ${transport}, seed ${seed}`;
      try {
        const traceEveryMs = values.trace === undefined ? 0 : TRACE_EVERY_MS;
        const result = await measure({ link, transport, seed, traceEveryMs });
        results.push(result);
        if (values.trace !== undefined) writeTrace(values.trace, result);
        console.error(`${name}: ${result.goodputMbit.toFixed(1)} Mbit/s`);
      } catch (error) {
        failures.push(`${name}: ${(error as Error).message}`);
        console.error(failures.at(-1));
      }
    }
  }
}

printTable(links, results);
for (const failure of failures) console.log(`FAILED ${failure}`);
if (values.json !== undefined) {
  const machine = await describeMachine();
  const command = `links.js ${process.argv.slice(2).join(" ")}`.trim();
  const runs = results.map(({ trace: _, ...rest }) => rest);
  writeFileSync(values.json, `${JSON.stringify({ machine, command, links, runs, failures })}\n`);
}
process.exitCode = failures.length === 0 ? 0 : 1;

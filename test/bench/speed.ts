/**
 * How fast one stream is, beside a ceiling and beside others: `npm run bench`.
 *
 *     node dist/test/bench/speed.js [--runs 5] [--seconds 3] [--json FILE] [--loopback] [ROW …]
 *
 * Every row is run once a round, so that what else the machine does hits all alike, and the medians are given.
 * A 1500-byte path is made of network namespaces, which needs root; without, loopback takes its place.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { type BenchPath, loopback, path1500 } from "./speed/path.ts";
import { type Transfer, transfer } from "./speed/transfer.ts";

interface Row {
  readonly contender: string;
  readonly environment?: Readonly<Record<string, string>>;
}

const NODE = { SRUDP_PROVIDER: "node", SRUDP_OFFLOAD: "off" };
const NOBLE = { SRUDP_PROVIDER: "noble", SRUDP_OFFLOAD: "off" };

const ROWS: Readonly<Record<string, Row>> = {
  srudp: { contender: "srudp" },
  ceiling: { contender: "pump" },
  hyperdht: { contender: "hyperdht" },
  udx: { contender: "udx" },
  "srudp-node-crypto": { contender: "srudp", environment: NODE },
  "ceiling-node-crypto": { contender: "pump-plain", environment: NODE },
  "srudp-noble": { contender: "srudp", environment: NOBLE },
  "ceiling-noble": { contender: "pump-plain", environment: NOBLE },
  tcp: { contender: "tcp" },
  tls: { contender: "tls" },
  "srudp-10-streams": { contender: "srudp-10-streams" },
  "srudp-1000-streams": { contender: "srudp-1000-streams" },
  "srudp-10-links": { contender: "srudp-10-links" },
  "srudp-100-links": { contender: "srudp-100-links" },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    json: { type: "string" },
    loopback: { type: "boolean", default: false },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(ROWS);
const unknown = names.filter((name) => ROWS[name] === undefined);
if (unknown.length > 0) {
  console.error(`no such row: ${unknown.join(", ")}; there are ${Object.keys(ROWS).join(", ")}`);
  process.exit(64);
}

function makePath(): BenchPath {
  if (values.loopback) return loopback();
  try {
    return path1500();
  } catch (error) {
    console.error(`no 1500-byte path (${String(error)}): loopback instead`);
    return loopback();
  }
}

function median(of: (run: Transfer) => number, runs: readonly Transfer[]): number {
  const sorted = runs.map(of).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const path = makePath();
const results: Record<string, Transfer[]> = Object.fromEntries(names.map((name) => [name, []]));
try {
  for (let run = 0; run < Number(values.runs); run++) {
    for (const name of names) {
      const { contender, environment = {} } = ROWS[name]!;
      try {
        results[name]!.push(await transfer(path, contender, environment, Number(values.seconds) * 1000));
      } catch (error) {
        console.error(`${name}: ${String(error)}`);
      }
    }
  }
} finally {
  path.close();
}

console.log(
  `${path.name}, medians of ${values.runs} (lowest–highest), ${cpus()[0]?.model}, ${cpus().length} cores, node ${process.version}\n`,
);
console.log("| row | Gbit/s | CPU s/GB, both ends | memory, sender / receiver |");
console.log("|---|---|---|---|");
for (const name of names) {
  const runs = results[name]!;
  const rates = runs.map(({ gigabitsPerSecond }) => gigabitsPerSecond);
  const rate = median(({ gigabitsPerSecond }) => gigabitsPerSecond, runs).toFixed(2);
  const spread = `${Math.min(...rates).toFixed(2)}–${Math.max(...rates).toFixed(2)}`;
  const cpu = median(({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte, runs).toFixed(2);
  const memory = [
    median(({ senderMegabytes }) => senderMegabytes, runs),
    median(({ receiverMegabytes }) => receiverMegabytes, runs),
  ].map((megabytes) => `${megabytes.toFixed(0)} MB`);
  console.log(`| ${name} | ${rate} (${spread}) | ${cpu} | ${memory.join(" / ")} |`);
}
const machine = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  node: process.version,
  date: new Date().toISOString(),
};
const report = JSON.stringify({
  command: process.argv.slice(2).join(" "),
  path: path.name,
  machine,
  results,
});
if (values.json !== undefined) writeFileSync(values.json, `${report}\n`);

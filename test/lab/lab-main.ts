/**
 * The NAT lab: which pairs of NATs are linked, by which path, how soon, and what a link survives.
 *
 *     npm run lab -- [matrix] [serverless] [roaming] [options]
 *
 *     --pairs A,B       the matrices: only pairs of these types, or A:B for one pair (repeatable)
 *     --tries N         the matrix: tries of each pair (3; of pairs where chance is at work 20)
 *     --only a,b,…      roaming: only these scenarios
 *     --json FILE       everything that was measured, with what both ends said where a try failed
 *     --markdown FILE   the tables
 *
 * Without a name, all three run. Needs root. Ends with 1 when a pair or a scenario is not as it must be.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { endAll } from "../lib/srudp-process.ts";
import { wantedTries } from "./expectation.ts";
import { Internet } from "./internet.ts";
import {
  markdownTable,
  meetingTries,
  type PairResult,
  pairsOf,
  SERVERLESS_TYPES,
  serverlessTries,
  startMeetingPlace,
} from "./matrix.ts";
import { removeAllNamespaces, whyNoLab } from "./namespaces.ts";
import { MATRIX_TYPES, NAT_TYPES, type NatTypeName } from "./nat-types.ts";
import { roamingTable, SCENARIOS, type ScenarioName, type ScenarioResult, survive } from "./roaming.ts";

type Pair = readonly [NatTypeName, NatTypeName];

/** Between the starts of two that both connect. */
const SKEWS_MS = [0, 3000, 10_000];
const TRIES = { few: 3, many: 20 };
const PARTS = ["matrix", "serverless", "roaming"] as const;
const EXIT_USAGE = 64;
const EXIT_UNAVAILABLE = 69;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: "string", multiple: true },
    tries: { type: "string" },
    only: { type: "string" },
    json: { type: "string" },
    markdown: { type: "string" },
  },
});

function fail(message: string, status: number): never {
  console.error(message);
  process.exit(status);
}

function natNamed(name: string): NatTypeName {
  if (!(name in NAT_TYPES))
    fail(`no such NAT: ${name}; there are ${Object.keys(NAT_TYPES).join(", ")}`, EXIT_USAGE);
  return name as NatTypeName;
}

/** The pairs of `types` that were asked for. */
function chosenPairs(types: readonly NatTypeName[]): readonly Pair[] {
  if (values.pairs === undefined) return pairsOf(types);
  return values.pairs.flatMap((text): readonly Pair[] => {
    const [one, other] = text.split(":");
    if (other !== undefined) return [[natNamed(one!), natNamed(other)]];
    return pairsOf(text.split(",").map(natNamed));
  });
}

function report(result: PairResult): void {
  const tries = result.tries.map(({ isWhole, firstPath, path, connectedMs, directMs }) => {
    const way = firstPath === path ? (path ?? "none") : `${firstPath}→${path}`;
    const later = directMs !== undefined && directMs !== connectedMs ? `/${directMs.toFixed(0)}` : "";
    return `${isWhole ? "" : "BROKEN "}${way} ${connectedMs?.toFixed(0) ?? "–"}${later} ms`;
  });
  console.log(
    `${result.isRight ? "ok  " : "FAIL"} ${result.nats.join(" – ")} (${result.expected}): ${tries.join(", ")}`,
  );
}

const unknown = positionals.filter((name) => !(PARTS as readonly string[]).includes(name));
if (unknown.length > 0)
  fail(`no such part: ${unknown.join(", ")}; there are ${PARTS.join(", ")}`, EXIT_USAGE);
const obstacle = whyNoLab();
if (obstacle !== undefined) fail(obstacle, EXIT_UNAVAILABLE);

const parts = positionals.length > 0 ? positionals : PARTS;
const internet = new Internet();
const results: { matrix: PairResult[]; serverless: PairResult[]; roaming: ScenarioResult[] } = {
  matrix: [],
  serverless: [],
  roaming: [],
};
try {
  if (parts.includes("matrix")) {
    const point = await startMeetingPlace(internet);
    for (const pair of chosenPairs(MATRIX_TYPES)) {
      const tries = values.tries === undefined ? wantedTries(...pair, TRIES) : Number(values.tries);
      const result = await meetingTries(internet, pair, tries);
      report(result);
      results.matrix.push(result);
    }
    point.kill("SIGTERM");
    await point.exit();
  }
  if (parts.includes("serverless")) {
    for (const pair of chosenPairs(SERVERLESS_TYPES)) {
      const result = await serverlessTries(internet, pair, SKEWS_MS);
      report(result);
      results.serverless.push(result);
    }
  }
  if (parts.includes("roaming")) {
    const point = await startMeetingPlace(internet);
    const names = (values.only?.split(",") ?? Object.keys(SCENARIOS)) as ScenarioName[];
    for (const name of names) {
      if (!(name in SCENARIOS))
        fail(`no such scenario: ${name}; there are ${Object.keys(SCENARIOS).join(", ")}`, EXIT_USAGE);
      const result = await survive(internet, name);
      console.log(roamingTable([result]).split("\n").at(-2));
      if (result.trouble !== undefined) console.log(result.trouble);
      results.roaming.push(result);
    }
    point.kill("SIGTERM");
    await point.exit();
  }
} finally {
  await endAll();
  removeAllNamespaces();
}

const tables = [
  ...(results.matrix.length > 0 ? [markdownTable(results.matrix)] : []),
  ...(results.serverless.length > 0 ? [markdownTable(results.serverless)] : []),
  ...(results.roaming.length > 0 ? [roamingTable(results.roaming)] : []),
].join("\n");
console.log(`\n${tables}`);
if (values.markdown !== undefined) writeFileSync(values.markdown, tables);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
const all = [...results.matrix, ...results.serverless, ...results.roaming];
if (all.length === 0) fail("nothing was tried", 1);
process.exitCode = all.every(({ isRight }) => isRight) ? 0 : 1;

/** The matrices: every pair of NATs with a meeting place, and without any server. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateCode } from "../../src/wire/code.ts";
import { SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { type Expectation, expectedPath, neededDirectShare } from "./expectation.ts";
import { type Internet, SERVER_ADDRESS } from "./internet.ts";
import { linkTrial, type TrialEnd, type TrialResult } from "./link-trial.ts";
import { NAT_TYPES, type NatTypeName } from "./nat-types.ts";
import { Site } from "./site.ts";

export interface PairResult {
  readonly nats: readonly [NatTypeName, NatTypeName];
  readonly expected: Expectation;
  readonly tries: readonly TrialResult[];
  /** Whether the pair is as it must be. */
  readonly isRight: boolean;
}

const RENDEZVOUS_PORT = 3478;
const SERVERLESS_PORT = 4242;
const MEGABYTE = 1_000_000;
const DIRECT_PATIENCE_MS = 20_000;
/** A relayed link carries bytes this soon after the start. */
const RELAY_WITHIN_MS = 2000;
const SERVERLESS_TIMEOUT_MS = 75_000;

/** How both find the meeting place of the lab, and nothing else. */
export const MEETING_WORDS: readonly string[] = [
  "--rendezvous",
  `udp://${SERVER_ADDRESS}:${RENDEZVOUS_PORT}`,
  "--no-dht",
  "--no-lan",
];

/** Types whose NAT keeps the port and maps alike for all: those that meet without any server. */
export const SERVERLESS_TYPES: readonly NatTypeName[] = [
  "none",
  "full-cone",
  "address-restricted",
  "port-restricted",
  "double",
  "poison-prone",
];

/** Starts `srudp rendezvous` on the Internet's server. */
export async function startMeetingPlace(
  internet: Internet,
  words: readonly string[] = [],
): Promise<SrudpProcess> {
  const point = SrudpProcess.start(["rendezvous", "--port", String(RENDEZVOUS_PORT), ...words], {
    launcher: internet.server.launcher,
    stdin: "nothing",
  });
  await point.event("rendezvous");
  return point;
}

/** A code that no other try has. */
function freshCode(): string {
  return generateCode((byteLength) => randomBytes(byteLength));
}

/** A file with a code that nobody has used yet. */
export function freshCodeFile(): string {
  const file = join(temporaryFolder(), "code");
  writeFileSync(file, `${freshCode()}\n`, { mode: 0o600 });
  return file;
}

/** Every unordered pair of these types, each with itself too. */
export function pairsOf(types: readonly NatTypeName[]): readonly (readonly [NatTypeName, NatTypeName])[] {
  return types.flatMap((one, at) => types.slice(at).map((other) => [one, other] as const));
}

/**
 * A pair at a meeting place, several times; the two change places after each.
 *
 * @param relayWithinMs where no direct path is to be had, a relayed link stands this soon
 */
export async function meetingTries(
  internet: Internet,
  nats: readonly [NatTypeName, NatTypeName],
  tries: number,
  relayWithinMs: number = RELAY_WITHIN_MS,
): Promise<PairResult> {
  const expected = expectedPath(...nats);
  const sites = nats.map((nat, at) => new Site(internet, { side: at + 1, nat })) as [Site, Site];
  const results: TrialResult[] = [];
  for (let number = 0; number < tries; number++) {
    for (const site of sites) site.forget();
    const [listening, connecting] = number % 2 === 0 ? sites : [sites[1], sites[0]];
    const words = ["--code-file", freshCodeFile(), ...MEETING_WORDS, "-vv"];
    results.push(
      await linkTrial({
        ends: [
          { host: listening.host, words: ["listen", ...words] },
          { host: connecting.host, words: ["connect", ...words] },
        ],
        bytes: 2 * MEGABYTE,
        patienceForDirectMs: expected === "direct" ? DIRECT_PATIENCE_MS : 0,
      }),
    );
  }
  for (const site of sites) site.remove();
  return { nats, expected, tries: results, isRight: isRight(nats, expected, results, relayWithinMs) };
}

/** A pair that knows nothing but each other's public address, the second started `skewsMs` after the first. */
export async function serverlessTries(
  internet: Internet,
  nats: readonly [NatTypeName, NatTypeName],
  skewsMs: readonly number[],
): Promise<PairResult> {
  const sites = nats.map((nat, at) => new Site(internet, { side: at + 1, nat })) as [Site, Site];
  const results: TrialResult[] = [];
  for (const [number, skewMs] of skewsMs.entries()) {
    for (const site of sites) site.forget();
    const order = number % 2 === 0 ? sites : ([sites[1], sites[0]] as const);
    const code = freshCode();
    const end = (from: Site, to: Site): TrialEnd => ({
      host: from.host,
      words: ["connect", `${to.publicAddress}:${SERVERLESS_PORT}`, "-vv"],
      env: { SRUDP_CODE: code },
    });
    results.push(
      await linkTrial({
        ends: [end(order[0], order[1]), end(order[1], order[0])],
        skewMs,
        bytes: 2 * MEGABYTE,
        timeoutMs: SERVERLESS_TIMEOUT_MS,
      }),
    );
  }
  for (const site of sites) site.remove();
  const right = results.every(({ isWhole, path }) => isWhole && path === "direct");
  return { nats, expected: "direct", tries: results, isRight: right };
}

function isRight(
  nats: readonly [NatTypeName, NatTypeName],
  expected: Expectation,
  tries: readonly TrialResult[],
  relayWithinMs: number,
): boolean {
  if (!tries.every(({ isWhole }) => isWhole)) return false;
  if (expected !== "direct") {
    return tries.every(
      ({ firstPath, connectedMs }) => firstPath !== "relay" || connectedMs! <= relayWithinMs,
    );
  }
  const direct = tries.filter(({ path }) => path !== undefined && path !== "relay").length;
  return direct / tries.length >= neededDirectShare(...nats);
}

/** As a table in Markdown: a row a pair. */
export function markdownTable(results: readonly PairResult[]): string {
  const head = [
    "pair",
    "expected",
    "tries",
    "whole",
    "direct",
    "connected, ms (median, worst)",
    "direct, ms (median, worst)",
    "",
  ];
  const lines = [head, head.map(() => "---")];
  for (const { nats, expected, tries, isRight } of results) {
    const direct = tries.filter(({ path }) => path !== undefined && path !== "relay");
    lines.push([
      nats.map((name) => NAT_TYPES[name].title).join(" – "),
      expected,
      String(tries.length),
      String(tries.filter(({ isWhole }) => isWhole).length),
      String(direct.length),
      spread(tries.map(({ connectedMs }) => connectedMs)),
      spread(direct.map(({ directMs }) => directMs)),
      isRight ? "" : "**not as it must be**",
    ]);
  }
  return lines.map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

/** Median and worst of what was measured. */
function spread(values: readonly (number | undefined)[]): string {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  if (sorted.length === 0) return "–";
  return `${sorted[sorted.length >> 1]!.toFixed(0)}, ${sorted.at(-1)!.toFixed(0)}`;
}

/**
 * What the pipe carries on this machine, with its cost: `npm run bench:pipe`, or some rows by their names.
 *
 *     node dist/test/bench/pipe.js [--size BYTES] [--json FILE] [oneWay] [bothWays4] [bothWays6] [slowReader] [underJunk] [lossyPath]
 *
 * Every row is two real processes with files at their ends; every received file is hashed by this program,
 * so nobody's word is taken for it. Prints a table, then the same as one line of JSON for `docs/benchmarks.md`.
 */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, createReadStream, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BytePattern } from "../lib/byte-pattern.ts";
import { pause } from "../lib/deadline.ts";
import { startEmulator } from "../lib/emulator-process.ts";
import { throwJunk } from "../lib/junk.ts";
import { startPair } from "../lib/pair.ts";
import { endAll, type SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { describeMachine } from "./speed/machine.ts";

const GIBIBYTE = 2 ** 30;
const TIMEOUT_MS = 20 * 60_000;

interface Row {
  readonly name: string;
  /** Bytes a direction. */
  readonly bytes: number;
  readonly seconds: number;
  /** Of one direction. */
  readonly gigabitsPerSecond: number;
  readonly sender: Cost;
  readonly receiver: Cost;
  readonly intact: boolean;
  readonly note?: string;
}

interface Cost {
  readonly cpuSeconds: number;
  readonly peakResidentMegabytes: number;
  readonly status: number;
}

function makeFile(path: string, bytes: number): string {
  const hash = createHash("sha256");
  const block = randomBytes(1 << 20);
  const file = openSync(path, "w");
  for (let written = 0; written < bytes; ) {
    // A counter in each block, so that no block can stand for another.
    block.writeDoubleLE(written, 0);
    const part = block.subarray(0, Math.min(block.length, bytes - written));
    hash.update(part);
    written += writeSync(file, part);
  }
  closeSync(file);
  return hash.digest("hex");
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function costOf(process: SrudpProcess): Promise<Cost> {
  const status = await process.exit(TIMEOUT_MS);
  return {
    cpuSeconds: process.meter.cpuMs / 1000,
    peakResidentMegabytes: process.meter.peakResidentBytes / 1e6,
    status,
  };
}

function rowOf(
  name: string,
  bytes: number,
  tookMs: number,
  [sender, receiver]: readonly [Cost, Cost],
  intact: boolean,
  note?: string,
): Row {
  return {
    name,
    bytes,
    seconds: tookMs / 1000,
    gigabitsPerSecond: (bytes * 8) / tookMs / 1e6,
    sender,
    receiver,
    intact: intact && sender.status === 0 && receiver.status === 0,
    ...(note === undefined ? {} : { note }),
  };
}

/** The connector sends a file, the listener writes it to one. */
async function oneWay(bytes: number): Promise<Row> {
  const folder = temporaryFolder();
  const original = makeFile(join(folder, "original"), bytes);
  const source = openSync(join(folder, "original"), "r");
  const target = openSync(join(folder, "copy"), "w");
  const { connector, listener } = await startPair({
    connect: { stdin: source, stdout: "nothing" },
    listen: { stdin: "nothing", stdout: target },
  });
  const startedMs = performance.now();
  const costs = await Promise.all([costOf(connector), costOf(listener)]);
  const tookMs = performance.now() - startedMs;
  closeSync(source);
  closeSync(target);
  return rowOf(
    "one way, file to file",
    bytes,
    tookMs,
    costs,
    (await sha256Of(join(folder, "copy"))) === original,
  );
}

async function bothWays(bytes: number, family: 4 | 6): Promise<Row> {
  const folder = temporaryFolder();
  const sums = { a: makeFile(join(folder, "a"), bytes), b: makeFile(join(folder, "b"), bytes) };
  const descriptors = ["a", "b"].map((name) => openSync(join(folder, name), "r"));
  const targets = ["a.copy", "b.copy"].map((name) => openSync(join(folder, name), "w"));
  const { connector, listener } = await startPair({
    family,
    connect: { stdin: descriptors[0]!, stdout: targets[1]! },
    listen: { stdin: descriptors[1]!, stdout: targets[0]! },
  });
  const startedMs = performance.now();
  const costs = await Promise.all([costOf(connector), costOf(listener)]);
  const tookMs = performance.now() - startedMs;
  for (const descriptor of [...descriptors, ...targets]) closeSync(descriptor);
  const intact =
    (await sha256Of(join(folder, "a.copy"))) === sums.a &&
    (await sha256Of(join(folder, "b.copy"))) === sums.b;
  return rowOf(`both ways at once, IPv${family}`, bytes, tookMs, costs, intact);
}

/** A reader that takes 1 MB/s for ten seconds and then all it can. */
async function slowReader(bytes: number): Promise<Row> {
  const slowMs = 10_000;
  const pattern = new BytePattern(3);
  const { connector, listener } = await startPair({
    listen: { stdin: "nothing" },
    connect: { stdout: "nothing" },
  });
  const startedMs = performance.now();
  let heldBackAtBytes = 0;
  const sent = connector.input.pump(pattern, bytes).then(() => connector.input.end());
  const received = await listener.output.check(pattern, (soFar) => {
    const tookMs = performance.now() - startedMs;
    if (tookMs > slowMs) return undefined;
    heldBackAtBytes = connector.input.writtenBytes;
    return pause(Math.max(0, soFar / 1000 - tookMs));
  });
  await sent;
  const costs = await Promise.all([costOf(connector), costOf(listener)]);
  const tookMs = performance.now() - startedMs;
  const note = `after ten slow seconds the writer had got rid of ${(heldBackAtBytes / 1e6).toFixed(1)} MB`;
  return rowOf("into a slow reader", bytes, tookMs, costs, received === bytes, note);
}

/** Both ways through a path that loses 5 %, duplicates 2 %, reorders 5 %, corrupts 1 %, 50 ms there and back. */
async function lossyPath(bytes: number): Promise<Row> {
  const patterns = { up: new BytePattern(4), down: new BytePattern(5) };
  const { connector, listener } = await startPair({
    dialer: async (targetPort) => {
      const both = {
        delayMs: 25,
        lossRate: 0.05,
        duplicateRate: 0.02,
        reorderRate: 0.05,
        reorderDelayMs: 10,
        corruptRate: 0.01,
      };
      const link = await startEmulator({ targetPort, seed: 4, both });
      stopEmulator = link.stop;
      return link.peer;
    },
  });
  const startedMs = performance.now();
  const send = async (from: SrudpProcess, pattern: BytePattern): Promise<void> => {
    await from.input.pump(pattern, bytes);
    from.input.end();
  };
  const [up, down] = await Promise.all([
    listener.output.check(patterns.up, undefined, TIMEOUT_MS),
    connector.output.check(patterns.down, undefined, TIMEOUT_MS),
    send(connector, patterns.up),
    send(listener, patterns.down),
  ]);
  const costs = await Promise.all([costOf(connector), costOf(listener)]);
  const tookMs = performance.now() - startedMs;
  stopEmulator();
  return rowOf("lossy path, both ways", bytes, tookMs, costs, up === bytes && down === bytes);
}
/** Ten seconds of transfer while a stranger throws 5,000 datagrams a second at both ports. */
async function underJunk(): Promise<Row> {
  const pattern = new BytePattern(6);
  const pair = await startPair({ listen: { stdin: "nothing" }, connect: { stdout: "nothing" } });
  const { connector, listener } = pair;
  const startedMs = performance.now();
  let isOver = false;
  const flood = throwJunk(pair, 5000, 10_000).finally(() => {
    isOver = true;
  });
  const sent = connector.input
    .pump(pattern, Number.MAX_SAFE_INTEGER, () => isOver)
    .then(() => connector.input.end());
  const received = await listener.output.check(pattern);
  await sent;
  const costs = await Promise.all([costOf(connector), costOf(listener)]);
  const tookMs = performance.now() - startedMs;
  const bytes = connector.input.writtenBytes;
  const note = `${(await flood).toLocaleString("en")} datagrams of junk`;
  return rowOf("under junk for ten seconds", bytes, tookMs, costs, received === bytes, note);
}

let stopEmulator = (): void => {};

const ROWS: Readonly<Record<string, (bytes: number) => Promise<Row>>> = {
  oneWay,
  bothWays4: (bytes) => bothWays(bytes, 4),
  bothWays6: (bytes) => bothWays(bytes, 6),
  slowReader,
  underJunk,
  lossyPath: (bytes) => lossyPath(Math.min(bytes, 20_000_000)),
};

function print(rows: readonly Row[]): void {
  const cost = ({ cpuSeconds, peakResidentMegabytes }: Cost): string =>
    `${cpuSeconds.toFixed(1)} s, ${peakResidentMegabytes.toFixed(0)} MB`;
  console.log(
    "| row | bytes a direction | time | rate | sender CPU, memory | receiver CPU, memory | intact |",
  );
  console.log("|---|---|---|---|---|---|---|");
  for (const row of rows) {
    const cells = [
      row.name,
      row.bytes.toLocaleString("en"),
      `${row.seconds.toFixed(2)} s`,
      `${row.gigabitsPerSecond.toFixed(3)} Gbit/s`,
      cost(row.sender),
      cost(row.receiver),
      row.intact ? "yes" : "NO",
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
  for (const { name, note } of rows) if (note !== undefined) console.log(`${name}: ${note}`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { size: { type: "string", default: String(GIBIBYTE) }, json: { type: "string" } },
});
const unknown = positionals.filter((name) => !(name in ROWS));
if (unknown.length > 0) {
  console.error(`no such row: ${unknown.join(", ")}; there are ${Object.keys(ROWS).join(", ")}`);
  process.exit(64);
}
const rows: Row[] = [];
try {
  for (const name of positionals.length > 0 ? positionals : Object.keys(ROWS)) {
    rows.push(await ROWS[name]!(Number(values.size)));
    await endAll();
  }
} finally {
  await endAll();
  stopEmulator();
}
print(rows);
const machine = await describeMachine();
const report = JSON.stringify({
  machine,
  command: `pipe.js ${process.argv.slice(2).join(" ")}`.trim(),
  rows,
});
console.log(report);
if (values.json !== undefined) writeFileSync(values.json, `${report}\n`);
process.exitCode = rows.every(({ intact }) => intact) ? 0 : 1;

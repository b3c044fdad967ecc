/**
 * The main job, shown: two real processes meet on this machine by a one-use code, and one pipes a file to
 * the other. `npm run demo`, or with a file of one's own: `npm run demo -- FILE`.
 *
 * Exits 1 when anything differs between the file, what either side says of it, and what has arrived.
 */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, createReadStream, fstatSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { endAll, type SrudpEvent, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

const DEMO_BYTES = 64_000_000;
const PROGRESS_INTERVAL_MS = 100;

const isTerminal = process.stdout.isTTY === true;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function makeFile(path: string): void {
  const file = openSync(path, "w");
  for (let written = 0; written < DEMO_BYTES; ) {
    written += writeSync(file, randomBytes(Math.min(1_000_000, DEMO_BYTES - written)));
  }
  closeSync(file);
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Follows the file that grows, until the returned function is called. */
function showProgress(path: string, totalBytes: number): () => void {
  const startedMs = performance.now();
  let toldPercent = 0;
  const show = (isLast: boolean): void => {
    const { size } = statSync(path);
    const percent = totalBytes === 0 ? 100 : Math.floor((100 * size) / totalBytes);
    const megabytesPerSecond = size / 1000 / Math.max(1, performance.now() - startedMs);
    const text = `  received ${(size / 1e6).toFixed(1)} MB, ${percent} %, ${megabytesPerSecond.toFixed(1)} MB/s`;
    if (isTerminal) process.stdout.write(`\r\u001b[K${text}${isLast ? "\n" : ""}`);
    else if (percent >= toldPercent + 25 || (isLast && toldPercent < 100)) {
      toldPercent = percent;
      say(text);
    }
  };
  const timer = setInterval(() => show(false), PROGRESS_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    show(true);
  };
}

function table(rows: readonly (readonly string[])[]): void {
  for (const [name, ...cells] of rows)
    say(
      `  ${name!.padEnd(9)}${cells
        .map((cell) => cell.padEnd(30))
        .join("")
        .trimEnd()}`,
    );
}

/** @returns what differs, in words; empty when all is well */
async function demo(givenFile: string | undefined): Promise<string[]> {
  const folder = temporaryFolder();
  const original = givenFile ?? join(folder, "original.bin");
  if (givenFile === undefined) makeFile(original);
  const copy = join(folder, "copy.bin");

  const source = openSync(original, "r");
  const bytes = fstatSync(source).size;
  const listener = SrudpProcess.start(["listen", "0"], { stdin: source });
  closeSync(source);
  const { port, code } = await listener.event("listening");
  say(`one terminal    $ srudp listen ${port} < ${givenFile ?? "original.bin"}`);
  say(`  the code for the other side is ${code}`);
  say(`another         $ srudp connect 127.0.0.1:${port} > copy.bin`);

  const target = openSync(copy, "w");
  const connector = SrudpProcess.start(["connect", `127.0.0.1:${port}`], {
    stdin: "nothing",
    stdout: target,
    env: { SRUDP_CODE: code },
  });
  closeSync(target);
  const connected = await connector.event("connected");
  const startedMs = performance.now();
  say(`  connected: path ${connected.path}, trust by ${connected.auth}, round trip ${connected.rttMs} ms`);
  const stopProgress = showProgress(copy, bytes);
  const statuses = await Promise.all([listener.exit(600_000), connector.exit(600_000)]);
  const tookMs = performance.now() - startedMs;
  stopProgress();

  const sent: SrudpEvent["sent"] = listener.events.findLast(({ event }) => event === "closed")?.sent ?? {};
  const received = connector.events.findLast(({ event }) => event === "closed")?.received ?? {};
  const expected = await sha256Of(original);
  const arrived = await sha256Of(copy);
  const rate = `${(bytes / 1000 / tookMs).toFixed(1)} MB/s (${((bytes * 8) / 1e6 / tookMs).toFixed(2)} Gbit/s)`;
  say("");
  table([
    ["", "sender (listen)", "receiver (connect)"],
    ["bytes", String(sent.bytes), String(received.bytes)],
    ["SHA-256", `${String(sent.sha256).slice(0, 16)}…`, `${String(received.sha256).slice(0, 16)}…`],
    ["rate", rate, rate],
    ["path", String(connected.path), String(connected.path)],
    ["status", String(statuses[0]), String(statuses[1])],
  ]);
  say(`  the file: ${bytes} bytes, SHA-256 ${expected}`);
  say(`  the copy: ${statSync(copy).size} bytes, SHA-256 ${arrived}`);

  const faults: string[] = [];
  if (statuses[0] !== 0 || statuses[1] !== 0) faults.push("a side did not exit with 0");
  if (sent.bytes !== bytes || received.bytes !== bytes || statSync(copy).size !== bytes)
    faults.push("the byte counts differ");
  if (new Set([expected, arrived, sent.sha256, received.sha256]).size !== 1)
    faults.push("the SHA-256 sums differ");
  return faults;
}

try {
  const faults = await demo(process.argv[2]);
  for (const fault of faults) say(`FAILED: ${fault}`);
  if (faults.length === 0) say("the copy equals the file");
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  await endAll();
}

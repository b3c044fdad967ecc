/**
 * The campaign over random worlds: `npm run sim -- --seeds 10000 [--from 1] [--workers 2]`, or `--seed S` for
 * one of them in detail.
 *
 * Prints each failing seed with the command that repeats it, then `N passed, M failed`; exits 1 on a failure
 * and also when no world was run. Worlds are independent, so they are dealt out to one worker per core.
 */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { pairOfSeed, repeatCommand, runSeed, type SeedReport } from "./seed-run.ts";

/** Seeds handed to a worker at a time. */
const SEEDS_A_TURN = 20;
/** Below this many worlds a worker's start costs more than it brings. */
const WORKERS_FROM_SEEDS = 60;

interface Turn {
  from: number;
  count: number;
}

class Summary {
  passed = 0;
  failed = 0;
  readonly #totals = { packets: 0, lost: 0, spurious: 0, dropped: 0, streams: 0, readBytes: 0, virtualMs: 0 };
  readonly #startedAt = performance.now();

  add(report: SeedReport): void {
    const totals = this.#totals;
    for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += report[name];
    if (report.failure === undefined) {
      this.passed++;
      return;
    }
    this.failed++;
    console.log(`seed ${report.seed} failed: ${report.failure}\n  repeat: ${repeatCommand(report.seed)}`);
  }

  print(): void {
    const { packets, lost, spurious, dropped, streams, readBytes, virtualMs } = this.#totals;
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1);
    const count = (value: number): string => Math.round(value).toLocaleString("en");
    console.log(
      `${count(packets)} packets (${count(lost)} lost, ${count(spurious)} of them spuriously, ` +
        `${count(dropped)} dropped as junk or copies), ${count(streams)} streams, ` +
        `${count(readBytes / 1e6)} MB read, ${count(virtualMs / 3_600_000)} virtual hours in ${seconds} s`,
    );
    console.log(`${this.passed} passed, ${this.failed} failed`);
  }
}

function runTurn({ from, count }: Turn): SeedReport[] {
  return Array.from({ length: count }, (_, n) => runSeed(from + n));
}

async function runCampaign(from: number, seeds: number, workers: number): Promise<Summary> {
  const summary = new Summary();
  const turns: Turn[] = [];
  for (let seed = from; seed < from + seeds; seed += SEEDS_A_TURN) {
    turns.push({ from: seed, count: Math.min(SEEDS_A_TURN, from + seeds - seed) });
  }
  if (workers <= 1 || seeds < WORKERS_FROM_SEEDS) {
    for (const turn of turns) for (const report of runTurn(turn)) summary.add(report);
    return summary;
  }
  await Promise.all(Array.from({ length: workers }, () => runWorker(turns, summary)));
  return summary;
}

/** Deals out turns to one worker until there are none. */
function runWorker(turns: Turn[], summary: Summary): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url));
    const deal = (): void => {
      const turn = turns.shift();
      if (turn === undefined) void worker.terminate().then(() => resolve());
      else worker.postMessage(turn);
    };
    worker.on("message", (reports: SeedReport[]) => {
      for (const report of reports) summary.add(report);
      deal();
    });
    worker.on("error", reject);
    deal();
  });
}

/** One world, twice, with all that is known about it. */
function showSeed(seed: number): boolean {
  const pair = pairOfSeed(seed);
  console.log(JSON.stringify(pair.plan, replaceInfinity, 1));
  const { failure, digest, virtualMs } = pair.run();
  for (const [side, peer] of pair.peers.entries()) {
    if (!peer.hasConnection) continue;
    const { state, closeCause, stats } = peer.connection;
    console.log(peer.name, state, closeCause, stats, "peaks", pair.peaks[side]);
  }
  console.log("to right", pair.network.left.link.counts, "to left", pair.network.right.link.counts);
  for (const { halves } of pair.workload.streams.values()) {
    for (const half of halves) {
      console.log(
        `stream ${half.streamId}: ${half.written} of ${half.plan.totalBytes} written, ${half.senderEnd}; ` +
          `${half.read} read, ${half.receiverEnd}`,
      );
    }
  }
  console.log(`trace ${digest} after ${virtualMs.toFixed(3)} ms`);
  if (failure !== undefined) console.log(failure.stack);
  const second = pairOfSeed(seed).run();
  if (second.digest !== digest) console.log(`a second run left another trace: ${second.digest}`);
  return failure === undefined && second.digest === digest;
}

function replaceInfinity(_key: string, value: unknown): unknown {
  return value === Number.POSITIVE_INFINITY ? "Infinity" : value;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      workers: { type: "string", default: String(availableParallelism()) },
    },
  });
  if (values.seed !== undefined) {
    const passed = showSeed(Number(values.seed));
    console.log(passed ? "1 passed, 0 failed" : "0 passed, 1 failed");
    process.exitCode = passed ? 0 : 1;
    return;
  }
  const summary = await runCampaign(Number(values.from), Number(values.seeds), Number(values.workers));
  summary.print();
  process.exitCode = summary.failed === 0 && summary.passed > 0 ? 0 : 1;
}

if (isMainThread) await main();
else parentPort!.on("message", (turn: Turn) => parentPort!.postMessage(runTurn(turn)));

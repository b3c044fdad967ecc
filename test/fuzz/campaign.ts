/**
 * The fuzzing campaign: `npm run fuzz -- --inputs 10000000 [--seed 1] [--only TARGET,…] [--workers 2]`.
 *
 * Deals the inputs out over the targets by their weights and over the cores by worker threads. A failing run is
 * shown with the command that repeats it; so is one that never ends, or that takes all memory. Each target runs
 * the seeds from `--seed` on, one after another. The last line is `N passed, M failed` (runs); exits 1 on a
 * failure and also when nothing was run.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import type { FuzzTarget } from "./target.ts";
import { TARGETS } from "./targets.ts";
import { repeatCommand, runTurn, type Turn, type TurnReport, targetOf, turnsOf } from "./turn.ts";

/** A turn takes a fraction of a second: one that is still going after this hangs. */
const HANG_MS = 120_000;
/** A run holds a few megabytes: one that needs more than this takes without end. */
const MAX_MEMORY_MB = 512;
/** Failures of one target that are shown; the others are counted. */
const SHOWN_FAILURES = 5;

interface ByteDigest {
  runs: number;
  failed: number;
  elapsedMs: number;
}

class Summary {
  readonly tallies: Map<string, ByteDigest> = new Map();
  readonly #startedAt = performance.now();

  constructor(targets: readonly FuzzTarget[]) {
    for (const { name } of targets) this.tallies.set(name, { runs: 0, failed: 0, elapsedMs: 0 });
  }

  add({ turn, elapsedMs, failures }: TurnReport): void {
    const tally = this.tallies.get(turn.target)!;
    tally.runs += turn.runs;
    tally.elapsedMs += elapsedMs;
    for (const { seed, what } of failures) this.fail(turn.target, seed, what);
  }

  fail(target: string, seed: number, what: string): void {
    const tally = this.tallies.get(target)!;
    if (++tally.failed > SHOWN_FAILURES) return;
    console.log(`${target}, seed ${seed}: ${what}\n  repeat: ${repeatCommand(target, seed)}`);
  }

  /** Returns whether all is well. */
  print(): boolean {
    const count = (value: number): string => Math.round(value).toLocaleString("en");
    let inputs = 0;
    let runs = 0;
    let failed = 0;
    for (const [name, tally] of this.tallies) {
      const taken = tally.runs * targetOf(name).inputsPerRun;
      const rate = tally.elapsedMs > 0 ? taken / (tally.elapsedMs / 1000) : 0;
      const failures = tally.failed > 0 ? `  ${tally.failed} runs failed` : "";
      console.log(
        `${name.padEnd(20)}${count(taken).padStart(12)} inputs${count(rate).padStart(12)}/s${failures}`,
      );
      inputs += taken;
      runs += tally.runs;
      failed += tally.failed;
    }
    const seconds = (performance.now() - this.#startedAt) / 1000;
    console.log(
      `${count(inputs)} inputs in ${count(runs)} runs, ${seconds.toFixed(1)} s, ${count(inputs / seconds)}/s`,
    );
    console.log(`${runs - failed} passed, ${failed} failed`);
    return failed === 0 && runs > 0;
  }
}

/** One thread and the turn that it is at. */
class Station {
  readonly #turns: Turn[];
  readonly #summary: Summary;
  readonly #done: () => void;
  /** Seed of the run that the thread is at, readable even when it answers no more. */
  readonly #seed = new Float64Array(new SharedArrayBuffer(8));
  #worker: Worker;
  #turn: Turn | undefined;
  #watchdog: NodeJS.Timeout | undefined;

  constructor(turns: Turn[], summary: Summary, done: () => void) {
    this.#turns = turns;
    this.#summary = summary;
    this.#done = done;
    this.#worker = this.#hire();
    this.#deal();
  }

  #hire(): Worker {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: this.#seed,
      resourceLimits: { maxOldGenerationSizeMb: MAX_MEMORY_MB },
    });
    worker.on("message", (report: TurnReport) => {
      this.#summary.add(report);
      this.#deal();
    });
    worker.on("error", (error) => this.#lose(error.message));
    return worker;
  }

  #deal(): void {
    clearTimeout(this.#watchdog);
    this.#turn = this.#turns.pop();
    if (this.#turn === undefined) {
      void this.#worker.terminate().then(this.#done);
      return;
    }
    this.#watchdog = setTimeout(() => this.#lose(`still running after ${HANG_MS / 1000} s`), HANG_MS);
    this.#worker.postMessage(this.#turn);
  }

  /** The thread is of no use any more: the run that it was at has failed, and those behind it go to another. */
  #lose(what: string): void {
    clearTimeout(this.#watchdog);
    this.#worker.removeAllListeners();
    void this.#worker.terminate();
    const turn = this.#turn!;
    const seed = this.#seed[0]!;
    const runs = seed + 1 - turn.firstSeed;
    this.#summary.add({ turn: { ...turn, runs }, elapsedMs: 0, failures: [{ seed, what }] });
    if (this.#summary.tallies.get(turn.target)!.failed < SHOWN_FAILURES) {
      if (runs < turn.runs) this.#turns.push({ ...turn, firstSeed: seed + 1, runs: turn.runs - runs });
    } else {
      // Each such run costs minutes: enough of this target.
      console.log(`${turn.target}: the other runs are left out`);
      const others = this.#turns.filter(({ target }) => target !== turn.target);
      this.#turns.splice(0, this.#turns.length, ...others);
    }
    this.#worker = this.#hire();
    this.#deal();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      inputs: { type: "string", default: "1000000" },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      workers: { type: "string", default: String(availableParallelism()) },
    },
  });
  const targets = values.only === undefined ? TARGETS : values.only.split(",").map(targetOf);
  const [inputs, seed, workers] = [values.inputs, values.seed, values.workers].map(Number) as [
    number,
    number,
    number,
  ];
  if (!(inputs >= 1 && Number.isSafeInteger(seed) && workers >= 1)) {
    throw new Error("--inputs, --seed and --workers take whole numbers");
  }
  const summary = new Summary(targets);
  // From the end, so the dearest targets begin and none is left alone to the last.
  const turns = turnsOf(targets, inputs, seed);
  if (turns.length <= 1) for (const turn of turns) summary.add(runTurn(turn, () => {}));
  else {
    const stations = Array.from({ length: Math.min(workers, turns.length) }, () => {
      return new Promise<void>((resolve) => new Station(turns, summary, resolve));
    });
    await Promise.all(stations);
  }
  process.exitCode = summary.print() ? 0 : 1;
}

if (isMainThread) {
  await main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
} else {
  const current = workerData as Float64Array;
  parentPort!.on("message", (turn: Turn) => {
    parentPort!.postMessage(
      runTurn(turn, (seed) => {
        current[0] = seed;
      }),
    );
  });
}

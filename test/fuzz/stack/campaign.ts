/**
 * Fuzzing through the whole stack: `npm run fuzz:stack -- --interactions 1000000 [--seed 1] [--only TARGET,…]
 * [--attacks N] [--workers 2] [--failures 20]`.
 *
 * Malicious peers that hold the true keys against `listen -k` with exposed targets and asked-for ports, against
 * `listen -k -e`, and against `forward`; malicious clients against `rendezvous`. Each attack follows from its
 * seed. A failure is shown with its script and the command that repeats it; of several that read alike the first
 * is shown, the others are counted. Exits 1 on a failure, and when nothing was run.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { builtFile } from "../../lib/paths.ts";
import { STACK_TARGETS, type StackTargetName, type StackTurn, type WorkerReport } from "./turn.ts";

/** Inputs of one process: memory is measured over all of them. */
const INPUTS_A_TURN = 25_000;
/** An attack takes a fraction of a second, an audit a few. */
const HANG_MS = 90_000;
const NAMES = Object.keys(STACK_TARGETS) as StackTargetName[];

interface ByteDigest {
  wanted: number;
  nextSeed: number;
  inputs: number;
  attacks: number;
  longestMs: number;
}

interface Failure {
  readonly what: string;
  count: number;
}

class Campaign {
  readonly #tallies: Map<StackTargetName, ByteDigest> = new Map();
  readonly #failures: Map<string, Failure> = new Map();
  readonly #failuresMost: number;
  readonly #startedAtMs: number = performance.now();
  #failed = 0;

  constructor(names: readonly StackTargetName[], inputs: number, seed: number, failuresMost: number) {
    this.#failuresMost = failuresMost;
    const shares = names.reduce((sum, name) => sum + STACK_TARGETS[name], 0);
    for (const name of names) {
      const wanted = Math.ceil((inputs * STACK_TARGETS[name]) / shares);
      this.#tallies.set(name, { wanted, nextSeed: seed, inputs: 0, attacks: 0, longestMs: 0 });
    }
  }

  /** Turn after turn in one process each, until all is done; the rarest targets first. */
  async work(attacks: number): Promise<void> {
    for (let turn = this.#next(attacks); turn !== undefined; turn = this.#next(attacks))
      await this.#run(turn);
  }

  #next(attacks: number): StackTurn | undefined {
    if (this.#failed >= this.#failuresMost) return undefined;
    for (const [target, tally] of [...this.#tallies].reverse()) {
      if (tally.wanted <= 0) continue;
      const inputs = attacks === Infinity ? Math.min(tally.wanted, INPUTS_A_TURN) : tally.wanted;
      tally.wanted -= inputs;
      const firstSeed = tally.nextSeed;
      // More attacks than a turn has: seeds of one turn are never those of another.
      tally.nextSeed += 100_000;
      return { target, firstSeed, inputs, attacks };
    }
    return undefined;
  }

  /** A failure ends the process; the rest of its turn is for another one. */
  async #run(turn: StackTurn): Promise<void> {
    const tally = this.#tallies.get(turn.target)!;
    let { firstSeed, inputs, attacks } = turn;
    while (inputs > 0 && attacks > 0 && this.#failed < this.#failuresMost) {
      const at = { seed: firstSeed };
      const before = { inputs: tally.inputs, attacks: tally.attacks };
      const failure = await this.#runProcess({ ...turn, firstSeed, inputs, attacks }, at, tally);
      if (failure === undefined) return;
      this.#report(turn.target, at.seed, failure);
      attacks -= at.seed + 1 - firstSeed;
      inputs -= at.seed < firstSeed ? 0 : tally.inputs - before.inputs;
      firstSeed = Math.max(at.seed, firstSeed) + 1;
    }
  }

  #runProcess(
    turn: StackTurn,
    at: { seed: number },
    tally: ByteDigest,
  ): Promise<{ what: string; script: string } | undefined> {
    const file = fileURLToPath(builtFile("test/fuzz/stack/worker-main.js"));
    const child: ChildProcess = fork(file, [], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      serialization: "advanced",
    });
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-4000);
    });
    return new Promise((resolve) => {
      let watchdog: NodeJS.Timeout | undefined;
      let failure: { what: string; script: string } | undefined;
      let isDone = false;
      const watch = (): void => {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => {
          failure = { what: `nothing moves for ${HANG_MS / 1000} s`, script: "" };
          child.kill("SIGKILL");
        }, HANG_MS);
      };
      watch();
      child.on("message", (message) => {
        watch();
        const report = message as WorkerReport;
        if (report.kind === "attacked") {
          at.seed = report.seed + 1;
          tally.inputs += report.inputs;
          tally.attacks++;
          tally.longestMs = Math.max(tally.longestMs, report.longestMs);
        } else if (report.kind === "leaked") {
          this.#report(turn.target, report.seed, report);
          if (this.#failed >= this.#failuresMost) child.kill("SIGKILL");
        } else if (report.kind === "failed") {
          at.seed = report.seed;
          failure = report;
        } else isDone = true;
      });
      child.once("close", (status, signal) => {
        clearTimeout(watchdog);
        if (!isDone && failure === undefined && this.#failed < this.#failuresMost)
          failure = { what: `the process ended with ${signal ?? status}: ${said}`, script: "" };
        resolve(failure);
      });
      child.send(turn);
    });
  }

  #report(target: StackTargetName, seed: number, { what, script }: { what: string; script: string }): void {
    this.#failed++;
    const alike = `${target} ${what.split("\n").slice(0, 4).join("\n").replace(/\d+/g, "#")}`;
    const known = this.#failures.get(alike);
    if (known !== undefined) {
      known.count++;
      return;
    }
    this.#failures.set(alike, { what: `${target}, seed ${seed}: ${what.split("\n")[0]}`, count: 1 });
    const tally = this.#tallies.get(target)!;
    console.log(
      `${target}, seed ${seed}, after ${tally.inputs} inputs and ${this.#seconds.toFixed(0)} s: ${what}`,
    );
    if (script !== "") console.log(script);
    console.log(`  again: npm run fuzz:stack -- --only ${target} --seed ${seed} --attacks 1\n`);
  }

  get #seconds(): number {
    return (performance.now() - this.#startedAtMs) / 1000;
  }

  /** Returns whether all is well. */
  print(): boolean {
    let [inputs, attacks] = [0, 0];
    for (const [name, tally] of this.#tallies) {
      const { longestMs } = tally;
      console.log(
        `${name.padEnd(20)}${String(tally.inputs).padStart(9)} inputs in ${String(tally.attacks).padStart(6)} attacks; ` +
          `longest turn of the event loop ${longestMs.toFixed(0)} ms`,
      );
      inputs += tally.inputs;
      attacks += tally.attacks;
    }
    for (const { what, count } of this.#failures.values()) console.log(`${count} × ${what}`);
    const rate = Math.round(inputs / this.#seconds);
    console.log(`${inputs} interactions in ${attacks} attacks, ${this.#seconds.toFixed(1)} s, ${rate}/s`);
    console.log(`${attacks} passed, ${this.#failed} failed`);
    return this.#failed === 0 && attacks > 0;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      interactions: { type: "string", default: "100000" },
      seed: { type: "string", default: "1" },
      only: { type: "string", default: NAMES.join(",") },
      attacks: { type: "string", default: "Infinity" },
      workers: { type: "string", default: "2" },
      failures: { type: "string", default: "20" },
    },
  });
  const names = values.only.split(",") as StackTargetName[];
  for (const name of names) {
    if (!NAMES.includes(name)) throw new Error(`no target is called ${name}; there are ${NAMES.join(", ")}`);
  }
  const [inputs, seed, attacks, workers, failures] = [
    values.interactions,
    values.seed,
    values.attacks,
    values.workers,
    values.failures,
  ].map(Number) as [number, number, number, number, number];
  const campaign = new Campaign(names, inputs, seed, failures);
  await Promise.all(Array.from({ length: attacks === 1 ? 1 : workers }, () => campaign.work(attacks)));
  process.exitCode = campaign.print() ? 0 : 1;
}

await main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});

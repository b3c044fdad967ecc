/** A share of a campaign that one worker takes at a time: some runs of one target, with consecutive seeds. */
import { type FuzzTarget, failureOf } from "./target.ts";
import { TARGETS } from "./targets.ts";

export interface Turn {
  readonly target: string;
  readonly firstSeed: number;
  readonly runs: number;
}

export interface Failure {
  readonly seed: number;
  readonly what: string;
}

export interface TurnReport {
  readonly turn: Turn;
  readonly elapsedMs: number;
  readonly failures: readonly Failure[];
}

/** Inputs of one turn, so that it takes a fraction of a second and both cores end together. */
const INPUTS_A_TURN = 20_000;

export function targetOf(name: string): FuzzTarget {
  const target = TARGETS.find((one) => one.name === name);
  if (target === undefined) throw new Error(`no fuzzer is called ${name}; there are ${namesOf(TARGETS)}`);
  return target;
}

export function namesOf(targets: readonly FuzzTarget[]): string {
  return targets.map(({ name }) => name).join(", ");
}

/** The turns that give `targets` together `inputs` inputs (each at least one run), in proportion to their weights. */
export function turnsOf(targets: readonly FuzzTarget[], inputs: number, firstSeed: number): Turn[] {
  const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
  const turns: Turn[] = [];
  for (const { name, weight, inputsPerRun } of targets) {
    let runs = Math.ceil((inputs * weight) / weights / inputsPerRun);
    const most = Math.max(1, Math.floor(INPUTS_A_TURN / inputsPerRun));
    for (let seed = firstSeed; runs > 0; runs -= most, seed += most) {
      turns.push({ target: name, firstSeed: seed, runs: Math.min(runs, most) });
    }
  }
  return turns;
}

/** @param onSeed told of each seed before its run, which may never end */
export function runTurn(turn: Turn, onSeed: (seed: number) => void): TurnReport {
  const target = targetOf(turn.target);
  const startedAt = performance.now();
  const failures: Failure[] = [];
  for (let seed = turn.firstSeed; seed < turn.firstSeed + turn.runs; seed++) {
    onSeed(seed);
    const what = failureOf(target, seed);
    if (what !== undefined) failures.push({ seed, what });
  }
  return { turn, elapsedMs: performance.now() - startedAt, failures };
}

/** The command that repeats one run. */
export function repeatCommand(target: string, seed: number): string {
  return `npm run fuzz -- --only ${target} --seed ${seed} --inputs 1`;
}

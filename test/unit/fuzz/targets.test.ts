import { describe, expect, it } from "vitest";
import { Broken, broken, type FuzzTarget, failureOf } from "../../fuzz/target.ts";
import { TARGETS } from "../../fuzz/targets.ts";
import { repeatCommand, runTurn, targetOf, turnsOf } from "../../fuzz/turn.ts";

/** All together; the campaign takes a hundred times as many and more. */
const INPUTS = 100_000;

describe("under generated inputs", () => {
  it.each(TARGETS.map(({ name }) => name))("%s holds what it promises", (name) => {
    for (const turn of turnsOf(TARGETS, INPUTS, 1)) {
      if (turn.target !== name) continue;
      const { failures } = runTurn(turn, () => {});
      expect(failures.map(({ seed, what }) => `${repeatCommand(name, seed)}: ${what}`)).toEqual([]);
    }
  });
});

describe("a campaign", () => {
  const target: FuzzTarget = {
    name: "planted",
    inputsPerRun: 10,
    weight: 1,
    run(random) {
      for (let input = 0; input < this.inputsPerRun; input++) if (random.oneIn(40)) broken("as planted");
    },
  };

  it("finds what fails now and then, with the seed that repeats it", () => {
    const seeds = Array.from({ length: 200 }, (_, seed) => seed).filter(
      (seed) => failureOf(target, seed) !== undefined,
    );
    expect(seeds.length).toBeGreaterThan(20);
    expect(seeds.length).toBeLessThan(80);
    for (const seed of seeds) expect(failureOf(target, seed)).toContain("as planted");
  });

  it("tells a crash of the product from a broken promise", () => {
    const crash = failureOf({ ...target, run: () => (undefined as unknown as number[]).push(1) }, 1);
    expect(crash).toContain("TypeError");
    expect(() => broken("this")).toThrow(Broken);
  });

  it("gives every target its share, in runs with one seed after the other", () => {
    const turns = turnsOf(TARGETS, 1_000_000, 77);
    let inputs = 0;
    for (const { name, inputsPerRun } of TARGETS) {
      let next = 77;
      for (const turn of turns.filter((one) => one.target === name)) {
        expect(turn.firstSeed).toBe(next);
        next += turn.runs;
      }
      expect(next).toBeGreaterThan(77);
      inputs += (next - 77) * inputsPerRun;
    }
    expect(inputs).toBeGreaterThanOrEqual(1_000_000);
    expect(inputs).toBeLessThan(1_050_000);
  });

  it("runs one seed of one target when that is all that is asked for", () => {
    expect(turnsOf([targetOf("recovery")], 1, 126)).toEqual([
      { target: "recovery", firstSeed: 126, runs: 1 },
    ]);
    expect(() => targetOf("nothing")).toThrow("recovery");
  });
});

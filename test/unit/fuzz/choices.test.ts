/**
 * The same fuzzers, drawing from a list of choices that fast-check makes: when one of them fails, what is shown
 * is a list that was made as short and as small as it goes.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { broken, type FuzzTarget } from "../../fuzz/target.ts";
import { targetOf } from "../../fuzz/turn.ts";
import { Xorshift } from "../../fuzz/xorshift.ts";

/** Every draw is the next of the list; behind its end everything is 0, which is always the plainest case. */
class Choices extends Xorshift {
  private readonly list: readonly number[];
  private at = 0;

  constructor(list: readonly number[]) {
    super(0);
    this.list = list;
  }

  override u32(): number {
    // While the base class is made there is no list yet.
    return this.list?.[this.at++] ?? 0;
  }
}

const choices = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 1500, size: "max" });

/** Those with a state, where the way to a failure is long. */
const NAMES = [
  "range-set",
  "sent-packets",
  "send-stream",
  "receive-stream",
  "streams",
  "recovery",
  "received-packets",
  "controllers",
  "connection-ids",
  "connection-id-junk",
  "path-control",
  "mtu-search",
];

describe("under chosen inputs", () => {
  it.each(NAMES)("%s holds what it promises", (name) => {
    const target = targetOf(name);
    fc.assert(
      fc.property(choices, (list) => target.run(new Choices(list))),
      { numRuns: 40 },
    );
  });

  it("a failure comes down to the few choices that matter", () => {
    const planted: FuzzTarget = {
      name: "planted",
      inputsPerRun: 100,
      weight: 1,
      run(random) {
        let sum = 0;
        for (let input = 0; input < this.inputsPerRun; input++) if (random.below(4) === 3) sum++;
        if (sum >= 5) broken("five of them");
      },
    };
    const { failed, counterexample } = fc.check(
      fc.property(choices, (list) => planted.run(new Choices(list))),
      { seed: 3 },
    );
    expect(failed).toBe(true);
    expect(counterexample![0].map((choice) => choice % 4)).toEqual([3, 3, 3, 3, 3]);
  });
});

/** Handshakes over lines that lose, repeat, reorder and corrupt, chosen at random; a failure prints the choice. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random } from "../sim/random.ts";
import { type Fate, type LinePlan, runLine } from "../unit/engine/handshake-line.ts";
import {
  assertLinked,
  MODES_UNDER_TEST,
  newInitiator,
  newResponder,
  newRival,
} from "../unit/engine/handshake-sides.ts";

const delay = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 1500 }));
const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ delaysMs: fc.tuple(delay) }) },
  { weight: 3, arbitrary: fc.constant({ delaysMs: [] }) },
  { weight: 2, arbitrary: fc.record({ delaysMs: fc.array(delay, { minLength: 2, maxLength: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ delaysMs: fc.tuple(delay), corruptBit: fc.nat(9599) }) },
);
const plan: fc.Arbitrary<LinePlan> = fc.record({
  fates: fc.array(fate, { minLength: 1, maxLength: 30 }),
  cleanAfterMs: fc.integer({ min: 0, max: 5000 }),
  secondStartsMs: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 0, max: 100 }),
    fc.integer({ min: 0, max: 8000 }),
  ),
});

/** From a clean line on: two rounds, each begun at most a second late, and what is still under way. */
const TIMEOUT_MS = 6000;

describe.each(MODES_UNDER_TEST)(
  "handshake with a %s over a line that loses, repeats, reorders and corrupts",
  (mode) => {
    it("links an initiator and a responder once the loss stops", () => {
      fc.assert(
        fc.property(plan, fc.nat(1e6), (line, seed) => {
          const initiator = newInitiator(mode, {}, seed);
          const responder = newResponder({}, seed + 1e7);
          const linkedAt = runLine([initiator, responder], line);
          assertLinked(initiator, responder);
          expect(linkedAt).toBeLessThan(line.cleanAfterMs + TIMEOUT_MS);
          expect(initiator.timeoutAt).toBe(Number.POSITIVE_INFINITY);
          expect(responder.guessFailed).toBe(false);
        }),
        { numRuns: 60 },
      );
    });

    it("13 · links two whose first messages cross while three in ten packets are lost, exactly once", () => {
      for (let seed = 0; seed < 40; seed++) {
        const random = new Random(seed, "three in ten");
        const fates = Array.from({ length: 400 }, () => ({ delaysMs: random.chance(0.3) ? [] : [20] }));
        const first = newInitiator(mode, { mayRespond: true }, 2 * seed + 1);
        const second = newInitiator(mode, { mayRespond: true }, 2 * seed + 2);
        const linkedAt = runLine([first, second], { fates, cleanAfterMs: Infinity });
        assertLinked(first, second);
        expect(linkedAt, `seed ${seed}`).toBeLessThan(30_000);
      }
    });

    it("13 · links two that both call, exactly once", () => {
      const roles = new Set<string>();
      fc.assert(
        fc.property(plan, fc.nat(1e6), (line, seed) => {
          const first = newInitiator(mode, { mayRespond: true }, seed);
          const second = newInitiator(mode, { mayRespond: true }, seed + 1e7);
          const linkedAt = runLine([first, second], line);
          assertLinked(first, second);
          expect(linkedAt).toBeLessThan(Math.max(line.cleanAfterMs, line.secondStartsMs!) + TIMEOUT_MS);
          expect([first.timeoutAt, second.timeoutAt]).toEqual([Infinity, Infinity]);
          expect([first.guessFailed, second.guessFailed]).toEqual([false, false]);
          roles.add(first.role);
        }),
        { numRuns: 60 },
      );
      expect([...roles].sort(), "both ways to end were seen").toEqual(["initiator", "responder"]);
    });

    it("12 · links two that drew the same tie-break, exactly once", () => {
      fc.assert(
        fc.property(plan, fc.nat(1e6), (line, seed) => {
          const tieBreak = new Uint8Array(16).fill(seed);
          const first = newRival(mode, tieBreak, {}, seed);
          const second = newRival(mode, tieBreak, {}, seed + 1e7);
          runLine([first, second], line);
          assertLinked(first, second);
        }),
        { numRuns: 40 },
      );
    });
  },
);

import { describe, expect, it } from "vitest";
import { EXTRAS } from "./scenario-extras.ts";
import { SCENARIOS } from "./scenario-table.ts";

/**
 * Rows whose goal the engine does not reach yet. Their worlds must hold all the same, and a row that comes to
 * reach its goal has to leave this list.
 */
const NOT_MET_YET: ReadonlySet<string> = new Set();

for (const [table, scenarios] of [
  ["scenarios of quic-interop-runner", SCENARIOS],
  ["scenarios of other stacks, fairness, and the links of the design", EXTRAS],
] as const) {
  describe(table, () => {
    for (const { name, parameters, goal, congestions, run } of scenarios) {
      for (const congestion of congestions) {
        const title = congestions.length > 1 ? `${name}, ${congestion}` : name;
        it(`${title} (${parameters}): ${goal}`, () => {
          const { figure, breach, isMet } = run(congestion);
          console.log(`${title}: ${figure}`);
          expect(breach).toBeUndefined();
          expect([isMet, figure]).toEqual([!NOT_MET_YET.has(title), figure]);
        });
      }
    }
  });
}

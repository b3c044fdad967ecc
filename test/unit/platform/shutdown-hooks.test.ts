import { describe, expect, it } from "vitest";
import { farewellsSaid, sayFarewell } from "../../../src/platform/shutdown-hooks.ts";

describe("what has to be said before the end", () => {
  it("is waited for, whether or not it succeeds", async () => {
    let said = 0;
    const later = (fails: boolean): Promise<void> =>
      new Promise((resolve, reject) => {
        setTimeout(() => {
          said++;
          if (fails) reject(new Error("nobody listens"));
          else resolve();
        }, 20);
      });
    sayFarewell(later(false));
    sayFarewell(later(true));
    await farewellsSaid();
    expect(said).toBe(2);
    await farewellsSaid();
  });

  it("is not waited for longer than a second", async () => {
    sayFarewell(new Promise(() => undefined));
    const startMs = performance.now();
    await farewellsSaid();
    expect(performance.now() - startMs).toBeGreaterThan(900);
    expect(performance.now() - startMs).toBeLessThan(5000);
  });
});

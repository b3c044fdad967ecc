import { describe, expect, it } from "vitest";
import { addShutdownHook, shutdownHooksDone } from "../../../src/platform/shutdown-hooks.ts";

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
    addShutdownHook(later(false));
    addShutdownHook(later(true));
    await shutdownHooksDone();
    expect(said).toBe(2);
    await shutdownHooksDone();
  });

  it("is not waited for longer than a second", async () => {
    addShutdownHook(new Promise(() => undefined));
    const startMs = performance.now();
    await shutdownHooksDone();
    expect(performance.now() - startMs).toBeGreaterThan(900);
    expect(performance.now() - startMs).toBeLessThan(5000);
  });
});

import { afterEach, describe, expect, it, vi } from "vitest";
import { addShutdownHook, shutdownHooksDone } from "../../../src/platform/shutdown-hooks.ts";

afterEach(() => void vi.useRealTimers());

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
    vi.useFakeTimers();
    addShutdownHook(new Promise(() => undefined));
    let isDone = false;
    const done = shutdownHooksDone().then(() => {
      isDone = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(isDone).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await done;
    expect(isDone).toBe(true);
  });
});

import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { onAbort } from "../../../src/platform/abort.ts";
import { Deadline, resolvedWithin, unlessAborted } from "../../../src/platform/deadline.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = (): Promise<never> => new Promise(() => undefined);

describe("a deadline", () => {
  it("leaves no timer and no listener on a long-lived signal, however the work ends", async () => {
    const { signal } = new AbortController();
    for (let calls = 0; calls < 100; calls++) {
      const deadline = new Deadline(signal, 1000);
      await deadline.limit(Promise.resolve(1));
      deadline.end();
      const expiring = new Deadline(signal, 1000);
      const expired = expect(expiring.limit(never())).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
      await vi.advanceTimersByTimeAsync(1000);
      await expired;
      expiring.end();
      await unlessAborted(signal, Promise.resolve(1));
      await expect(unlessAborted(signal, Promise.reject(new Error("failed")))).rejects.toThrow("failed");
      await resolvedWithin(Promise.resolve(), 1000);
      onAbort(signal, () => undefined)();
    }
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("rejects with its own error when the work is late, and discards the late value", async () => {
    const deadline = new Deadline(undefined, 1000, () => new Error("too late"));
    const discarded: number[] = [];
    const work = new Promise<number>((resolve) => setTimeout(() => resolve(7), 1500));
    const expired = expect(deadline.limit(work, (value) => discarded.push(value))).rejects.toThrow(
      "too late",
    );
    await vi.advanceTimersByTimeAsync(2000);
    await expired;
    deadline.end();
    expect(discarded).toEqual([7]);
  });

  it("rejects with the reason of a signal that is or was aborted", async () => {
    const controller = new AbortController();
    const aborted = expect(unlessAborted(controller.signal, never())).rejects.toThrow("stopped");
    controller.abort(new Error("stopped"));
    await aborted;
    await expect(unlessAborted(controller.signal, never())).rejects.toThrow("stopped");
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  it("ends a wait for slow work in time, and passes a failure on", async () => {
    let isOver = false;
    const waited = resolvedWithin(never(), 1000).then(() => {
      isOver = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await waited;
    await expect(resolvedWithin(Promise.reject(new Error("failed")), 1000)).rejects.toThrow("failed");
  });
});

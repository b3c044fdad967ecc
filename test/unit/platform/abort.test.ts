import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { onAbort } from "../../../src/platform/abort.ts";

describe("waiting for a signal", () => {
  it("calls what waits, once", () => {
    const controller = new AbortController();
    let calls = 0;
    onAbort(controller.signal, () => calls++);
    controller.abort();
    controller.abort();
    expect(calls).toBe(1);
  });

  it("calls at once for a signal that is aborted already", () => {
    let calls = 0;
    onAbort(AbortSignal.abort(), () => calls++);
    expect(calls).toBe(1);
  });

  it("leaves no listener at the signal when it ends, and causes no warning when many wait", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error): void => void warnings.push(warning);
    process.on("warning", warn);
    const { signal } = new AbortController();
    const ends = Array.from({ length: 50 }, () => onAbort(signal, () => expect.unreachable()));
    for (const end of ends) end();
    await new Promise(setImmediate);
    process.off("warning", warn);
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expect(warnings).toEqual([]);
  });
});

import { afterEach, describe, expect, it, vi } from "vitest";
import { Interruption } from "../../../src/cli/exit.ts";
import { catchSignals, type Interrupt } from "../../../src/cli/terminal/interrupt.ts";
import { unlessAborted } from "../../../src/platform/deadline.ts";

let interrupt: Interrupt | undefined;

afterEach(() => {
  interrupt?.release();
  vi.restoreAllMocks();
});

describe("signals", () => {
  it("ask for an end in order at first, and end the process the second time", () => {
    const exit = vi.spyOn(process, "exit").mockImplementation((() => undefined) as never);
    const restore = vi.fn();
    interrupt = catchSignals(restore);
    process.emit("SIGINT", "SIGINT");
    expect(interrupt.signal.aborted).toBe(true);
    expect(interrupt.signal.reason).toBeInstanceOf(Interruption);
    expect((interrupt.signal.reason as Interruption).exitStatus).toBe(130);
    expect(exit).not.toHaveBeenCalled();
    process.emit("SIGTERM", "SIGTERM");
    expect(restore).toHaveBeenCalledOnce();
    expect(exit).toHaveBeenCalledExactlyOnceWith(143);
  });

  it("are given back", () => {
    const before = process.listenerCount("SIGINT");
    interrupt = catchSignals(() => undefined);
    expect(process.listenerCount("SIGINT")).toBe(before + 1);
    interrupt.release();
    expect(process.listenerCount("SIGINT")).toBe(before);
  });
});

it("may be waited for by as many links as there are, without a warning of Node's", async () => {
  const warned = vi.fn();
  process.on("warning", warned);
  try {
    interrupt = catchSignals(() => undefined);
    for (let link = 0; link < 300; link++) interrupt.signal.addEventListener("abort", () => undefined);
    // Node warns on a later tick.
    await new Promise((resolve) => setImmediate(resolve));
    expect(warned).not.toHaveBeenCalled();
  } finally {
    process.off("warning", warned);
  }
});

describe("waiting", () => {
  it("gives what it waited for, and leaves no listener behind", async () => {
    const controller = new AbortController();
    const remove = vi.spyOn(controller.signal, "removeEventListener");
    expect(await unlessAborted(controller.signal, Promise.resolve(7))).toBe(7);
    expect(remove).toHaveBeenCalledOnce();
  });

  it("ends with the signal's reason, before and during", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const waiting = unlessAborted(controller.signal, new Promise(() => undefined));
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(unlessAborted(controller.signal, Promise.resolve(1))).rejects.toBe(reason);
  });
});

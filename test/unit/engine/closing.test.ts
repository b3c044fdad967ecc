import { describe, expect, it } from "vitest";
import { Closing } from "../../../src/engine/connection/closing.ts";

const CALM = { isOurs: true, isOrderly: true, ptoMs: 100, isLossy: false };

/** Sends all that is wanted; how many packets that were. */
function drain(closing: Closing): number {
  let packets = 0;
  while (closing.hasPacket) {
    closing.onPacketSent();
    packets++;
  }
  return packets;
}

/** Lets time pass to the end without any answer; the times at which CLOSE left. */
function waitInVain(closing: Closing, fromMs: number): number[] {
  const sentAtMs: number[] = [];
  let now = fromMs;
  for (;;) {
    if (drain(closing) > 0) sentAtMs.push(now);
    if (now >= closing.endsAtMs) return sentAtMs;
    expect(closing.timeoutAt).toBeGreaterThan(now);
    now = closing.timeoutAt;
    closing.handleTimeout(now);
  }
}

describe("the closing side", () => {
  it("says so at once and every probe timeout, eight times in all", () => {
    const closing = new Closing(1000, CALM);
    expect(waitInVain(closing, 1000)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((n) => 1000 + 100 * n));
    expect(closing.endsAtMs).toBe(1800);
  });

  it("gives an orderly end up after three seconds, any other after one", () => {
    expect(new Closing(0, { ...CALM, ptoMs: 900 }).endsAtMs).toBe(3000);
    expect(new Closing(0, { ...CALM, ptoMs: 300, isOrderly: false }).endsAtMs).toBe(1000);
  });

  it("waits for three probe timeouts at least, and for no more than ten seconds", () => {
    expect(new Closing(0, { ...CALM, ptoMs: 2000 }).endsAtMs).toBe(6000);
    expect(new Closing(0, { ...CALM, ptoMs: 60_000 }).endsAtMs).toBe(10_000);
  });

  it("is done with the answer, and answers in turn: it may have been a CLOSE of the peer's own", () => {
    const closing = new Closing(0, CALM);
    expect(drain(closing)).toBe(1);
    closing.onClose(40);
    expect(drain(closing)).toBe(1);
    expect(closing.endsAtMs).toBe(40);
  });
});

describe("the draining side", () => {
  it("answers each CLOSE once, and several times where packets get lost", () => {
    for (const [isLossy, copies] of [
      [false, 1],
      [true, 3],
    ] as const) {
      const closing = new Closing(0, { ...CALM, isOurs: false, isLossy });
      expect(drain(closing)).toBe(copies);
      closing.onClose(50);
      expect(drain(closing)).toBe(copies);
      closing.onStray();
      expect(drain(closing)).toBe(0);
      expect(closing.endsAtMs).toBe(300);
    }
  });

  it("is no amplifier for a peer that repeats itself without end", () => {
    const closing = new Closing(0, { ...CALM, isOurs: false, isLossy: true });
    let packets = 0;
    for (let n = 0; n < 10_000; n++) {
      closing.onClose(n);
      packets += drain(closing);
    }
    expect(packets).toBe(32);
  });
});

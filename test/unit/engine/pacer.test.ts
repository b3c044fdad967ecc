import { describe, expect, it } from "vitest";
import { Pacer } from "../../../src/engine/congestion/pacer.ts";

const DATAGRAM_BYTES = 1200;

/** Sends whole datagrams while the pacer lets them go; returns how many bytes left. */
function drain(pacer: Pacer): number {
  let sentBytes = 0;
  while (pacer.isOpen) {
    pacer.onSent(DATAGRAM_BYTES);
    sentBytes += DATAGRAM_BYTES;
    if (sentBytes > 1e9) throw new Error("the pacer never closed");
  }
  return sentBytes;
}

function filledAt(rate: number, nowMs = 0): Pacer {
  const pacer = new Pacer();
  pacer.fill(nowMs, rate, DATAGRAM_BYTES);
  return pacer;
}

describe("pacing (RFC 9002 §7.7)", () => {
  it("lets everything go while no rate is known", () => {
    const pacer = filledAt(Number.POSITIVE_INFINITY);
    for (let n = 0; n < 1000; n++) pacer.onSent(DATAGRAM_BYTES);
    expect(pacer.isOpen).toBe(true);
  });

  it("sends a burst of at least ten datagrams at a low rate", () => {
    expect(drain(filledAt(1))).toBe(10 * DATAGRAM_BYTES);
  });

  it("holds 4 ms of the rate, in whole datagrams with one of debt", () => {
    const rate = 10_000;
    const sentBytes = drain(filledAt(rate));
    expect(sentBytes).toBeGreaterThanOrEqual(4 * rate);
    expect(sentBytes).toBeLessThan(4 * rate + DATAGRAM_BYTES);
  });

  it("caps a burst at 256 datagrams until even they last less than 2 ms", () => {
    const capped = 256 * DATAGRAM_BYTES;
    expect(drain(filledAt(100_000))).toBe(capped);
    const fast = 400_000;
    expect(drain(filledAt(fast))).toBeGreaterThanOrEqual(2 * fast);
  });

  it("carries exactly its rate over a second of late timers", () => {
    const rate = 5000;
    const pacer = filledAt(rate);
    drain(pacer);
    let sentBytes = 0;
    let nowMs = 0;
    while (nowMs < 1000) {
      nowMs = Math.max(pacer.opensAtMs, nowMs) + 1.2;
      pacer.fill(nowMs, rate, DATAGRAM_BYTES);
      sentBytes += drain(pacer);
    }
    expect(sentBytes / nowMs / rate).toBeCloseTo(1, 2);
  });

  it("waits for a millisecond's worth of bytes, not for a single datagram", () => {
    const rate = 20_000;
    const pacer = filledAt(rate);
    drain(pacer);
    expect(pacer.opensAtMs).toBeGreaterThanOrEqual(0.9);
    pacer.fill(pacer.opensAtMs, rate, DATAGRAM_BYTES);
    expect(drain(pacer)).toBeGreaterThanOrEqual(rate * 0.99);
  });

  it("pays off the debt of an overdrawn bucket before it opens again", () => {
    const rate = 1;
    const pacer = filledAt(rate);
    pacer.onSent(20 * DATAGRAM_BYTES);
    expect(pacer.isOpen).toBe(false);
    expect(pacer.opensAtMs).toBeCloseTo(11 * DATAGRAM_BYTES, 6);
  });

  it("keeps no more than one bucket over an idle time", () => {
    const rate = 10_000;
    const pacer = filledAt(rate);
    drain(pacer);
    pacer.fill(60_000, rate, DATAGRAM_BYTES);
    expect(drain(pacer)).toBeLessThan(4 * rate + DATAGRAM_BYTES);
  });
});

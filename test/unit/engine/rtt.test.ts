import { describe, expect, it } from "vitest";
import { INITIAL_RTT_MS, RttEstimator, TIMER_GRANULARITY_MS } from "../../../src/engine/recovery/rtt.ts";

function estimatorAfter(...samplesMs: readonly number[]): RttEstimator {
  const rtt = new RttEstimator();
  for (const sampleMs of samplesMs) rtt.update(sampleMs, 0);
  return rtt;
}

describe("round-trip estimation (RFC 9002 §5)", () => {
  it("assumes 333 ms with half of it as variation before the first sample", () => {
    const rtt = new RttEstimator();
    expect(rtt.hasSample).toBe(false);
    expect([rtt.smoothedMs, rtt.rttVarMs, rtt.minMs]).toEqual([INITIAL_RTT_MS, INITIAL_RTT_MS / 2, 0]);
    expect(rtt.ptoMs(0)).toBe(3 * INITIAL_RTT_MS);
  });

  it("takes the first sample as it is, without subtracting the acknowledgement delay", () => {
    const rtt = new RttEstimator();
    rtt.update(80, 25);
    expect([rtt.latestMs, rtt.smoothedMs, rtt.rttVarMs, rtt.minMs]).toEqual([80, 80, 40, 80]);
  });

  it("weights further samples by 1/8 for the mean and 1/4 for the variation", () => {
    const rtt = estimatorAfter(80, 120);
    expect(rtt.rttVarMs).toBe(0.75 * 40 + 0.25 * 40);
    expect(rtt.smoothedMs).toBe(0.875 * 80 + 0.125 * 120);
    expect(rtt.latestMs).toBe(120);
  });

  it("subtracts the acknowledgement delay where the sample stays at or above the minimum", () => {
    const rtt = estimatorAfter(80);
    rtt.update(120, 40);
    expect(rtt.smoothedMs).toBe(80);
  });

  it("ignores an acknowledgement delay that would take the sample below the minimum", () => {
    const rtt = estimatorAfter(80);
    rtt.update(100, 40);
    expect(rtt.smoothedMs).toBe(0.875 * 80 + 0.125 * 100);
  });

  it("keeps the smallest sample as the minimum, whatever delay the peer claims", () => {
    const rtt = estimatorAfter(80, 60, 90);
    expect(rtt.minMs).toBe(60);
    rtt.update(50, 45);
    expect(rtt.minMs).toBe(50);
  });

  it("computes the probe timeout from mean, four variations and the peer's delay (§6.2.1)", () => {
    const rtt = estimatorAfter(80);
    expect(rtt.ptoMs(25)).toBe(80 + 4 * 40 + 25);
  });

  it("never lets the variation fall below the timer granularity in the probe timeout", () => {
    const rtt = estimatorAfter(...Array.from({ length: 200 }, () => 10));
    expect(rtt.rttVarMs).toBeLessThan(TIMER_GRANULARITY_MS / 4);
    expect(rtt.ptoMs(0)).toBe(rtt.smoothedMs + TIMER_GRANULARITY_MS);
  });

  it("lets the handshake set a first guess that the first sample replaces", () => {
    const rtt = new RttEstimator();
    rtt.assume(40);
    expect([rtt.smoothedMs, rtt.rttVarMs, rtt.hasSample]).toEqual([40, 20, false]);
    rtt.update(100, 0);
    rtt.assume(1);
    expect([rtt.smoothedMs, rtt.minMs]).toEqual([100, 100]);
  });

  it("starts anew on another path (RFC 9000 §9.4)", () => {
    const rtt = estimatorAfter(10, 12, 11);
    rtt.reset();
    expect({ ...rtt }).toEqual({ ...new RttEstimator() });
  });
});

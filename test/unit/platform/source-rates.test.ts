import { describe, expect, it } from "vitest";
import { SourceRates } from "../../../src/platform/source-rates.ts";

function taken(rates: SourceRates, nowMs: number, address: string, times: number): number {
  let count = 0;
  for (let i = 0; i < times; i++) if (rates.take(nowMs, address)) count++;
  return count;
}

describe("a rate for each source", () => {
  it("lets a burst through, then its rate, and leaves other sources alone", () => {
    const rates = new SourceRates({ perSecond: 10, burst: 20 });
    expect(taken(rates, 0, "192.0.2.1", 100)).toBe(20);
    expect(taken(rates, 0, "192.0.2.2", 100)).toBe(20);
    expect(taken(rates, 1000, "192.0.2.1", 100)).toBe(10);
    expect(taken(rates, 60_000, "192.0.2.1", 100)).toBe(20);
  });

  it("counts an IPv6 /64 as one source, and what costs more tokens as more", () => {
    const rates = new SourceRates({ perSecond: 10, burst: 20 });
    expect(taken(rates, 0, "2001:db8:1:2::1", 15)).toBe(15);
    expect(taken(rates, 0, "2001:db8:1:2:ffff::9", 15)).toBe(5);
    expect(rates.take(0, "2001:db8:1:3::1", 20)).toBe(true);
    expect(rates.take(0, "2001:db8:1:3::2")).toBe(false);
  });

  it("remembers a bounded number of sources, the most recent ones, and forgets those that are quiet", () => {
    const rates = new SourceRates({ perSecond: 10, burst: 20 }, 100);
    for (let i = 0; i < 1000; i++) rates.take(0, `198.51.${i >> 8}.${i & 255}`, 20);
    expect(rates.size).toBe(100);
    expect(rates.take(0, "198.51.3.231")).toBe(false);
    expect(rates.take(0, "198.51.0.0")).toBe(true);
    rates.sweep(3000);
    expect(rates.size).toBe(0);
  });
});

import { describe, expect, it } from "vitest";
import { Competitor, type CompetitorOptions } from "./competitor.ts";
import { Network } from "./network.ts";
import { World } from "./world.ts";

const LINK = { rateMbit: 10, delayMs: 15, queuePackets: 25 };

/** Mbit/s of payload by each flow over the last `lastMs` of `totalMs`. */
function race(flows: readonly CompetitorOptions[], totalMs: number, lastMs: number, loss = 0) {
  const world = new World();
  const network = new Network(world, 5, { ...LINK, lossRate: loss }, { delayMs: 15 });
  const competitors = flows.map((options, number) => new Competitor(network, options, number));
  world.run(totalMs - lastMs);
  const before = competitors.map(({ deliveredBytes }) => deliveredBytes);
  world.run(totalMs);
  return competitors.map(({ deliveredBytes }, n) => ((deliveredBytes - before[n]!) * 8) / lastMs / 1000);
}

describe("modelled TCP flow", () => {
  it.each(["reno", "cubic"] as const)("fills a link alone: %s", (algorithm) => {
    const [rate] = race([{ algorithm, startMs: 0 }], 30_000, 25_000);
    // 1448 of 1500 bytes are payload: 9.65 Mbit/s at most.
    expect(rate).toBeGreaterThan(8.8);
    expect(rate).toBeLessThanOrEqual(9.66);
  });

  it("shares with its like", () => {
    const flows = [0, 2000].map((startMs) => ({ algorithm: "cubic" as const, startMs }));
    const [first, second] = race(flows, 60_000, 50_000);
    expect(first! + second!).toBeGreaterThan(8.8);
    expect(first! / (first! + second!)).toBeGreaterThan(0.3);
    expect(first! / (first! + second!)).toBeLessThan(0.7);
  });

  it("starves on random loss as TCP does", () => {
    // Mathis: 1448 B · 1.22 / (30 ms · √0.02) is 3.3 Mbit/s for Reno, with delayed ACKs less.
    const [rate] = race([{ algorithm: "reno", startMs: 0 }], 60_000, 50_000, 0.02);
    expect(rate).toBeGreaterThan(1.2);
    expect(rate).toBeLessThan(4.5);
  });

  it("ends, and says all that was sent arrived", () => {
    const world = new World();
    const network = new Network(world, 5, { ...LINK, lossRate: 0.1 }, { delayMs: 15, lossRate: 0.1 });
    const flow = new Competitor(network, { algorithm: "cubic", startMs: 0, packets: 500 });
    world.run(600_000);
    expect(flow.deliveredBytes).toBe(500 * 1448);
    expect(world.pending).toBe(0);
  });
});

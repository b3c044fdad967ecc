/** BBR on a path alone, state by state.  // draft-ietf-ccwg-bbr; section numbers are the draft's */
import { describe, expect, it } from "vitest";
import { Bbr } from "../../../src/engine/congestion/bbr.ts";
import { initialWindowBytes } from "../../../src/engine/congestion/congestion.ts";
import { ControllerPath, type Moment, PACKET_BYTES, type PathOptions } from "./controller-path.ts";

/** 10 Mbit/s and 100 ms hold 125,000 bytes: 104 packets. */
const RATE = 1250;
const RTT_MS = 100;
const BDP_BYTES: number = RATE * RTT_MS;
/** What is left of a rate by the margin of §2.4. */
const MARGIN = 0.99;

function pathOf(options: Partial<PathOptions> = {}): ControllerPath {
  const bbr = new Bbr(PACKET_BYTES, () => 0.5);
  return new ControllerPath(bbr, { rate: RATE, rttMs: RTT_MS, queueBytes: 4 * BDP_BYTES, ...options });
}

/** Moments of one phase from now on, until it is left for the `times`th time. */
function watchPhase(path: ControllerPath, phase: string, untilMs: number): Moment[] {
  const moments: Moment[] = [];
  path.watch = (moment) => {
    if (moment.phase === phase) moments.push(moment);
  };
  path.run(untilMs);
  path.watch = undefined;
  return moments;
}

describe("BBR in startup (§5.3.1)", () => {
  it("begins with the initial window and no limit to the rate but that", () => {
    const path = pathOf();
    expect(path.controller.phase).toBe("startup");
    expect(path.controller.congestionWindowBytes).toBe(initialWindowBytes(PACKET_BYTES));
  });

  it("doubles each round trip: the pipe is full after as many of them as that takes, and three", () => {
    const path = pathOf();
    let fullAtMs = 0;
    path.watch = ({ atMs, inFlightBytes }) => {
      if (fullAtMs === 0 && inFlightBytes >= BDP_BYTES) fullAtMs = atMs;
    };
    path.run(2000);
    const doublings = Math.log2(BDP_BYTES / initialWindowBytes(PACKET_BYTES));
    expect(fullAtMs / RTT_MS).toBeGreaterThan(doublings);
    expect(fullAtMs / RTT_MS).toBeLessThanOrEqual(doublings + 3);
  });

  it("paces at 2.77 times what was delivered", () => {
    const path = pathOf();
    let best = 0;
    path.watch = ({ pacingRate, phase }) => {
      if (phase === "startup") best = Math.max(best, pacingRate);
    };
    path.run(3000);
    expect(best / RATE).toBeCloseTo(2.77 * MARGIN, 1);
  });

  it("ends after three rounds in which the rate grew by less than a quarter", () => {
    const path = pathOf();
    let fullAtMs = 0;
    path.watch = ({ atMs, pacingRate }) => {
      if (fullAtMs === 0 && pacingRate >= 0.97 * 2.77 * MARGIN * RATE) fullAtMs = atMs;
    };
    path.runUntil("drain", 5000);
    // Rounds grow with the queue that startup makes: two BDP in flight are two round trips.
    const rounds = (path.nowMs - fullAtMs) / RTT_MS;
    expect(rounds).toBeGreaterThanOrEqual(3);
    expect(rounds).toBeLessThanOrEqual(7);
    expect(path.lostPackets).toBe(0);
  });

  it("ends sooner where the queue overflows: six losses and more than 2 % in a round (§5.3.1.3)", () => {
    const deep = pathOf();
    deep.runUntil("drain", 5000);
    const shallow = pathOf({ queueBytes: 0.1 * BDP_BYTES });
    shallow.runUntil("drain", 5000);
    expect(shallow.lostPackets).toBeGreaterThanOrEqual(6);
    expect(shallow.nowMs).toBeLessThan(deep.nowMs);
  });

  it("does not wait for the end of a round that has lost more than a flight may", () => {
    const path = pathOf({ queueBytes: 0.1 * BDP_BYTES });
    path.runUntil("cruise", 5000);
    // 65 packets of the 104 that the path holds; a round more of it loses 162.
    expect(path.lostPackets).toBeLessThan(100);
  });

  it("goes on through single losses, which are the path's own", () => {
    const path = pathOf();
    path.isLost = (number) => number % 100 === 50;
    path.run(600);
    expect(path.controller.phase).toBe("startup");
    path.runUntil("drain", 5000);
    expect(path.controller.pacingRate / RATE).toBeGreaterThan(0.45);
  });
});

describe("BBR in drain (§5.3.2)", () => {
  it("sends at half the rate until no more is in flight than the path holds", () => {
    const path = pathOf();
    path.runUntil("drain", 5000);
    expect(path.controller.pacingRate / RATE).toBeCloseTo(0.5 * MARGIN, 2);
    expect(path.inFlightBytes).toBeGreaterThan(1.8 * BDP_BYTES);
    path.runUntil("cruise", 8000);
    // Nothing is left of the queue, so the way down ends where it begins.
    expect(path.inFlightBytes).toBeLessThanOrEqual(1.05 * BDP_BYTES);
  });
});

describe("BBR probing for bandwidth (§5.3.3)", () => {
  it("goes through down, cruise, refill and up, in this order, for as long as nothing changes", () => {
    const path = pathOf();
    path.run(20_000);
    const cycle = ["cruise", "refill", "probeUp", "probeDown"];
    const after = path.story.slice(2);
    expect(after.length).toBeGreaterThan(12);
    for (const [n, phase] of after.entries()) expect(phase).toBe(cycle[n % 4]);
  });

  it("sends at 0.9, 1, 1 and 1.25 times the rate in them", () => {
    const path = pathOf();
    path.run(3000);
    const seen = new Map<string, Set<number>>();
    path.watch = ({ phase, pacingRate }) => {
      const gains = seen.get(phase) ?? seen.set(phase, new Set()).get(phase)!;
      gains.add(Math.round((100 * pacingRate) / (MARGIN * RATE)) / 100);
    };
    path.run(15_000);
    const gainsOf = (phase: string): number[] => [...(seen.get(phase) ?? [])].sort((a, b) => a - b);
    for (const [phase, gain] of [
      ["probeDown", 0.9],
      ["cruise", 1],
      ["refill", 1],
      ["probeUp", 1.25],
    ] as const) {
      const gains = gainsOf(phase);
      expect(gains.length, phase).toBeGreaterThan(0);
      expect(Math.abs(gains[0]! - gain), `${phase}: ${gains}`).toBeLessThanOrEqual(0.02);
      expect(Math.abs(gains.at(-1)! - gain), `${phase}: ${gains}`).toBeLessThanOrEqual(0.02);
    }
  });

  it("probes every two to three seconds (§5.3.3.3)", () => {
    const path = pathOf();
    path.run(30_000);
    const refills = path.phases.filter(({ phase }) => phase === "refill").map(({ atMs }) => atMs);
    expect(refills.length).toBeGreaterThan(8);
    for (let n = 2; n < refills.length; n++) {
      expect(refills[n]! - refills[n - 1]!).toBeGreaterThan(2000);
      expect(refills[n]! - refills[n - 1]!).toBeLessThan(3800);
    }
  });

  it("finds twice the bandwidth within a few probes, and half of it within two", () => {
    const path = pathOf();
    path.run(5000);
    path.rate = 2 * RATE;
    path.run(18_000);
    expect(path.controller.pacingRate / (2 * RATE)).toBeGreaterThan(0.85);
    path.rate = RATE;
    path.queueBytes = BDP_BYTES;
    path.run(28_000);
    const moments = watchPhase(path, "cruise", 36_000);
    expect(moments.at(-1)!.pacingRate / RATE).toBeLessThan(1.05);
  });

  it("keeps the queue short while it cruises", () => {
    const path = pathOf();
    path.run(6000);
    for (const { inFlightBytes } of watchPhase(path, "cruise", 20_000)) {
      expect(inFlightBytes).toBeLessThan(1.5 * BDP_BYTES);
    }
  });

  it("leaves 15 % of what losses showed to be the most (§5.6.4.7)", () => {
    const path = pathOf({ queueBytes: 0.25 * BDP_BYTES });
    path.run(12_000);
    const windows = watchPhase(path, "cruise", 20_000).map(({ windowBytes }) => windowBytes);
    expect(windows.length).toBeGreaterThan(100);
    // The path holds 1.25 BDP and a little; beyond is loss.
    for (const windowBytes of windows) expect(windowBytes).toBeLessThan(0.9 * 1.4 * BDP_BYTES);
    const share = path.lostPackets / path.sentPackets;
    expect(share).toBeLessThan(0.03);
  });

  it("carries 95 % of the line's rate all the while", () => {
    const path = pathOf();
    path.run(2000);
    const before = path.deliveredBytes;
    path.run(32_000);
    expect((path.deliveredBytes - before) / 30_000 / RATE).toBeGreaterThan(0.95);
  });
});

describe("BBR and acknowledgements that come all at once (§5.5.9)", () => {
  it("makes up for them, but not for a peer that stands still with more than its socket holds", () => {
    const path = pathOf({ rate: 200_000, rttMs: 5, queueBytes: 32e6 });
    // Forty milliseconds of a tenth of a second: eight megabytes at a time.
    path.toldAt = (atMs) => (atMs % 100 < 40 ? atMs - (atMs % 100) + 40 : atMs);
    let widest = 0;
    path.run(1000);
    path.watch = ({ windowBytes }) => {
      widest = Math.max(widest, windowBytes);
    };
    path.run(2000);
    expect(widest).toBeGreaterThan(2e6);
    expect(widest).toBeLessThan(3 * 1024 * 1024 + 5 * path.bdpBytes);
  });
});

describe("BBR and losses (§5.5.10)", () => {
  it("does not mind 1 % that are lost whatever is sent", () => {
    const path = pathOf();
    path.isLost = (number) => number % 100 === 0;
    path.run(2000);
    const before = path.deliveredBytes;
    path.run(22_000);
    expect((path.deliveredBytes - before) / 20_000 / RATE).toBeGreaterThan(0.93);
  });

  it("takes a round with a tenth lost, sent no faster than the path delivers, for a smaller path", () => {
    const path = pathOf();
    path.runUntil("cruise", 5000);
    path.run(path.nowMs + 2 * RTT_MS);
    expect(path.controller.phase).toBe("cruise");
    const before = path.moment;
    const from = path.sentPackets;
    path.isLost = (number) => number >= from && number < from + 100 && number % 5 === 0;
    path.run(path.nowMs + 4 * RTT_MS);
    expect(path.controller.phase).toBe("cruise");
    const after = path.moment;
    expect(after.windowBytes).toBeLessThan(before.windowBytes);
    // But no rate below what was delivered meanwhile, and no less than 0.7 of the estimate.
    expect(after.pacingRate / before.pacingRate).toBeLessThan(1);
    expect(after.pacingRate / before.pacingRate).toBeGreaterThanOrEqual(0.7);
  });

  it.each([
    ["startup", true],
    ["cruise", false],
  ])(
    "that are told while it cruises, of packets sent in %s: answered already is %s",
    (_phase, isAnswered) => {
      const path = pathOf();
      path.runUntil("cruise", 5000);
      const first = isAnswered ? 0 : path.sentPackets;
      // The queue has just been drained, so this round delivers less than the line could.
      path.rate = 0.6 * RATE;
      for (let n = 0; n < 60; n++) {
        path.controller.onLost({
          nowMs: path.nowMs,
          packetNumber: first + n,
          bytes: PACKET_BYTES,
          sentAtMs: path.nowMs - RTT_MS,
          nextPacketNumber: path.sentPackets,
          txInFlightBytes: BDP_BYTES,
          lostSinceBytes: PACKET_BYTES,
          inFlightBytes: path.inFlightBytes,
          isAppLimited: false,
        });
      }
      path.run(path.nowMs + 3 * RTT_MS);
      path.rate = RATE;
      path.run(path.nowMs + RTT_MS);
      expect(path.controller.phase).toBe("cruise");
      if (isAnswered) expect(path.controller.pacingRate / RATE).toBeGreaterThan(0.98);
      else expect(path.controller.pacingRate / RATE).toBeLessThan(0.96);
    },
  );

  it("gives back what losses took that were none", () => {
    const path = pathOf();
    path.runUntil("cruise", 5000);
    path.run(path.nowMs + 2 * RTT_MS);
    const before = path.moment;
    const from = path.sentPackets;
    path.isLost = (number) => number >= from && number < from + 100 && number % 5 === 0;
    path.run(path.nowMs + 4 * RTT_MS);
    path.isLost = () => false;
    expect(path.controller.pacingRate).toBeLessThan(before.pacingRate);
    path.controller.onSpuriousLoss(path.nowMs);
    path.run(path.nowMs + RTT_MS);
    expect(path.controller.pacingRate / before.pacingRate).toBeCloseTo(1, 1);
  });

  it("falls to four packets on persistent congestion and comes back", () => {
    const path = pathOf();
    path.run(4000);
    path.controller.onPersistentCongestion(path.nowMs);
    expect(path.controller.congestionWindowBytes).toBe(4 * PACKET_BYTES);
    path.run(6000);
    expect(path.controller.congestionWindowBytes).toBeGreaterThan(BDP_BYTES);
  });
});

describe("BBR probing for the round trip (§5.3.4)", () => {
  it("does without while round trips show an empty queue", () => {
    const path = pathOf();
    path.run(30_000);
    expect(path.story).not.toContain("probeRtt");
  });

  it("halves the window for 200 ms when the shortest round trip has not been seen for five seconds", () => {
    const path = pathOf();
    path.run(4000);
    // From now on others keep a queue standing, or the route is longer: only a probe can show which.
    path.rttMs = 1.2 * RTT_MS;
    path.runUntil("probeRtt", 11_000);
    const startedMs = path.nowMs;
    expect(startedMs).toBeGreaterThan(8500);
    const moments: Moment[] = [];
    path.watch = (moment) => {
      if (moment.phase === "probeRtt") moments.push(moment);
    };
    path.runUntil("cruise", startedMs + 2000);
    expect(Math.min(...moments.map(({ windowBytes }) => windowBytes))).toBeLessThanOrEqual(0.55 * BDP_BYTES);
    const lowMs = moments.filter(({ inFlightBytes }) => inFlightBytes <= 0.55 * BDP_BYTES);
    expect(lowMs.at(-1)!.atMs - lowMs[0]!.atMs).toBeGreaterThanOrEqual(150);
    expect(path.nowMs - startedMs).toBeLessThan(800);
  });

  it("believes in a longer round trip after ten seconds", () => {
    const path = pathOf();
    path.run(4000);
    path.rttMs = 2 * RTT_MS;
    path.run(30_000);
    const before = path.deliveredBytes;
    path.run(50_000);
    // Twice the BDP of before is in flight now.
    expect((path.deliveredBytes - before) / 20_000 / RATE).toBeGreaterThan(0.93);
  });
});

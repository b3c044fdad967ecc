import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bbr } from "../../../src/engine/congestion/bbr.ts";
import {
  type AckSample,
  type CongestionController,
  initialWindowBytes,
  type LostPacket,
  minimumWindowBytes,
} from "../../../src/engine/congestion/congestion.ts";
import { Cubic } from "../../../src/engine/congestion/cubic.ts";

const MDS = 1200;
const RTT_MS = 100;

function ack(nowMs: number, ackedBytes: number, more: Partial<AckSample> = {}): AckSample {
  return {
    nowMs,
    ackedBytes,
    priorInFlightBytes: ackedBytes,
    inFlightBytes: 0,
    newlyLostBytes: 0,
    largestAcked: Math.round(nowMs),
    largestAckedSentAtMs: nowMs - RTT_MS,
    nextPacketNumber: Math.round(nowMs) + 10,
    rttMs: RTT_MS,
    smoothedRttMs: RTT_MS,
    minRttMs: RTT_MS,
    deliveryRate: ackedBytes / RTT_MS,
    isAppLimited: false,
    deliveredBytes: 10 * ackedBytes,
    priorDeliveredBytes: 9 * ackedBytes,
    txInFlightBytes: ackedBytes,
    lostSinceBytes: 0,
    ...more,
  };
}

function loss(nowMs: number, sentAtMs: number = nowMs - RTT_MS): LostPacket {
  return {
    nowMs,
    packetNumber: Math.round(sentAtMs),
    bytes: MDS,
    sentAtMs,
    nextPacketNumber: Math.round(nowMs) + 1,
    txInFlightBytes: 10 * MDS,
    lostSinceBytes: MDS,
    inFlightBytes: 9 * MDS,
    isAppLimited: false,
  };
}

/** Acknowledges one window after another, one a round trip, until `untilMs`. */
function run(cubic: CongestionController, fromMs: number, untilMs: number): void {
  for (let now = fromMs; now < untilMs; now += RTT_MS)
    cubic.onAcknowledged(ack(now, cubic.congestionWindowBytes));
}

describe("CUBIC", () => {
  it("starts at the initial window and doubles it each round trip", () => {
    const cubic = new Cubic(MDS);
    expect(cubic.congestionWindowBytes).toBe(12_000);
    cubic.onAcknowledged(ack(100, 12_000));
    cubic.onAcknowledged(ack(200, 24_000));
    expect(cubic.congestionWindowBytes).toBe(48_000);
    expect(cubic.phase).toBe("slowStart");
  });

  it("keeps 0.7 of its window at a loss, once per loss event (RFC 9438 §4.6)", () => {
    const cubic = new Cubic(MDS);
    cubic.onAcknowledged(ack(100, 88_000));
    cubic.onLost(loss(200));
    expect(cubic.congestionWindowBytes).toBeCloseTo(70_000);
    cubic.onLost(loss(210, 150));
    expect(cubic.congestionWindowBytes).toBeCloseTo(70_000);
    cubic.onLost(loss(400, 300));
    expect(cubic.congestionWindowBytes).toBeCloseTo(49_000);
  });

  it("is back at W_max after K = ∛(W_max·(1−β)/C) seconds (RFC 9438 §4.2)", () => {
    const cubic = new Cubic(MDS);
    const peak = 1200 * MDS;
    cubic.onAcknowledged(ack(100, peak - 12_000));
    cubic.onLost(loss(200));
    const originMs = 1000 * Math.cbrt((1200 * 0.3) / 0.4);
    run(cubic, 400, 400 + originMs / 2);
    const halfway = cubic.congestionWindowBytes;
    // Concave: most of the way back is done early, and W_max is not passed before its time.
    expect(halfway).toBeGreaterThan(0.7 * peak + 0.8 * 0.3 * peak);
    expect(halfway).toBeLessThan(peak);
    run(cubic, 400 + originMs / 2, 400 + originMs);
    expect(cubic.congestionWindowBytes / peak).toBeGreaterThan(0.97);
    expect(cubic.congestionWindowBytes / peak).toBeLessThan(1.02);
    run(cubic, 400 + originMs, 400 + 2 * originMs);
    expect(cubic.congestionWindowBytes / peak).toBeGreaterThan(1.2);
  });

  it("aims below the last maximum when it lost before reaching it: fast convergence (RFC 9438 §4.7)", () => {
    const cubic = new Cubic(MDS);
    cubic.onAcknowledged(ack(100, 1200 * MDS - 12_000));
    cubic.onLost(loss(200));
    cubic.onLost(loss(500, 400));
    // W_max = 840·(1+β)/2 = 714 segments; the window 588. K = ∛(126/0.4) s.
    const originMs = 1000 * Math.cbrt((714 - 588) / 0.4);
    run(cubic, 700, 700 + originMs);
    expect(cubic.congestionWindowBytes / (714 * MDS)).toBeGreaterThan(0.97);
    expect(cubic.congestionWindowBytes / (714 * MDS)).toBeLessThan(1.03);
  });

  it("grows like Reno where the cubic function would be slower (RFC 9438 §4.3)", () => {
    const cubic = new Cubic(MDS);
    cubic.onLost(loss(100));
    const before = cubic.congestionWindowBytes;
    // Five round trips of 10 ms: the cubic function stands still, α = 3(1−β)/(1+β) ≈ 0.53 segments each.
    for (let now = 200; now < 250; now += 10) {
      cubic.onAcknowledged(
        ack(now, cubic.congestionWindowBytes, { smoothedRttMs: 10, largestAckedSentAtMs: now - 10 }),
      );
    }
    const grown = (cubic.congestionWindowBytes - before) / MDS;
    expect(grown).toBeGreaterThan(2.3);
    expect(grown).toBeLessThan(3);
  });

  it("grows like Reno at its full pace, one segment a round trip, once that is beyond W_max (RFC 9438 §4.3)", () => {
    const cubic = new Cubic(MDS);
    cubic.onLost(loss(100));
    const rttMs = 2;
    const grown = (fromMs: number, rounds: number): number => {
      const before = cubic.congestionWindowBytes;
      for (let n = 0; n < rounds; n++) {
        const now = fromMs + n * rttMs;
        cubic.onAcknowledged(
          ack(now, cubic.congestionWindowBytes, { smoothedRttMs: rttMs, largestAckedSentAtMs: now - rttMs }),
        );
      }
      return (cubic.congestionWindowBytes - before) / MDS / rounds;
    };
    // From 7 segments to the 10 of W_max at α ≈ 0.53: six rounds.
    expect(grown(200, 5)).toBeLessThan(0.55);
    grown(220, 3);
    expect(cubic.congestionWindowBytes).toBeGreaterThan(10 * MDS);
    const pace = grown(240, 10);
    expect(pace).toBeGreaterThan(0.9);
    expect(pace).toBeLessThanOrEqual(1.05);
  });

  it("grows by no more than half in a round trip, wherever the function is by then (RFC 9438 §4.4)", () => {
    const cubic = new Cubic(MDS);
    cubic.onAcknowledged(ack(100, 100 * MDS - 12_000));
    cubic.onLost(loss(200));
    cubic.onAcknowledged(ack(400, cubic.congestionWindowBytes));
    const before = cubic.congestionWindowBytes;
    // A minute later the function is thousands of segments away.
    cubic.onAcknowledged(ack(60_400, before));
    expect(cubic.congestionWindowBytes / before).toBeCloseTo(1.5, 5);
  });

  it("never has less than two datagrams, however much is lost (RFC 9438 §4.6)", () => {
    const cubic = new Cubic(MDS);
    for (let n = 1; n <= 50; n++) cubic.onLost(loss(1000 * n, 1000 * n - 1));
    expect(cubic.congestionWindowBytes).toBe(minimumWindowBytes(MDS));
  });

  it("does not grow while the application is the limit", () => {
    const cubic = new Cubic(MDS);
    cubic.onAcknowledged(ack(100, 12_000, { isAppLimited: true }));
    expect(cubic.congestionWindowBytes).toBe(12_000);
  });

  it("gives back what a spurious loss took, and falls to the minimum on persistent congestion", () => {
    const cubic = new Cubic(MDS);
    cubic.onAcknowledged(ack(100, 88_000));
    cubic.onLost(loss(200));
    cubic.onSpuriousLoss();
    expect(cubic.congestionWindowBytes).toBe(100_000);
    expect(cubic.ssthreshBytes).toBe(Number.POSITIVE_INFINITY);
    cubic.onPersistentCongestion();
    expect(cubic.congestionWindowBytes).toBe(2 * MDS);
  });

  it("leaves slow start when round trips grow, before anything is lost (RFC 9406)", () => {
    const cubic = new Cubic(MDS);
    let now = 0;
    let packet = 0;
    for (let round = 0; round < 12 && cubic.ssthreshBytes === Number.POSITIVE_INFINITY; round++) {
      const rttMs = round < 3 ? 40 : 40 + 12 * (round - 2);
      now += rttMs;
      const packets = Math.floor(cubic.congestionWindowBytes / MDS);
      const next = packet + packets;
      for (let i = 0; i < packets; i++) {
        cubic.onAcknowledged(
          ack(now, MDS, {
            largestAcked: packet + i,
            nextPacketNumber: next,
            rttMs,
            largestAckedSentAtMs: now - rttMs,
          }),
        );
      }
      packet = next;
    }
    expect(cubic.ssthreshBytes).toBeLessThan(Number.POSITIVE_INFINITY);
  });
});

describe.each([
  ["cubic", () => new Cubic(MDS)],
  ["bbr", () => new Bbr(MDS, () => 0.5)],
] as [string, () => CongestionController][])("%s under any sequence of operations", (_name, make) => {
  const operation = fc.record({
    kind: fc.constantFrom("ack", "ack", "ack", "loss", "spurious", "persistent", "mtu", "sent"),
    bytes: fc.integer({ min: 1, max: 200_000 }),
    afterMs: fc.integer({ min: 0, max: 3000 }),
    rttMs: fc.integer({ min: -1, max: 2000 }),
    appLimited: fc.boolean(),
  });

  it("keeps a window of at least two datagrams, finite, and a rate above zero", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 80 }), (operations) => {
        const controller = make();
        let now = 0;
        let delivered = 0;
        let packet = 0;
        let mds = MDS;
        for (const { kind, bytes, afterMs, rttMs, appLimited } of operations) {
          now += afterMs;
          if (kind === "sent") controller.onSent(now, packet++, mds, bytes, appLimited);
          else if (kind === "loss")
            controller.onLost({ ...loss(now), packetNumber: packet, nextPacketNumber: packet });
          else if (kind === "spurious") controller.onSpuriousLoss(now);
          else if (kind === "persistent") controller.onPersistentCongestion(now);
          else if (kind === "mtu") {
            mds = 1200 + (bytes % 300);
            controller.onDatagramBytes(mds);
          } else {
            delivered += bytes;
            const smoothedRttMs = Math.max(rttMs, 1);
            controller.onAcknowledged(
              ack(now, bytes, {
                rttMs,
                smoothedRttMs,
                minRttMs: 1,
                deliveryRate: rttMs > 0 ? bytes / rttMs : 0,
                isAppLimited: appLimited,
                deliveredBytes: delivered,
                priorDeliveredBytes: delivered - bytes,
                nextPacketNumber: packet,
                largestAcked: packet,
              }),
            );
          }
          expect(controller.congestionWindowBytes).toBeGreaterThanOrEqual(minimumWindowBytes(mds));
          expect(Number.isFinite(controller.congestionWindowBytes)).toBe(true);
          expect(controller.pacingRate).toBeGreaterThan(0);
        }
        expect(controller.congestionWindowBytes).toBeLessThan(
          initialWindowBytes(MDS) + delivered + 100 * MDS + 1e9,
        );
      }),
      { numRuns: 500 },
    );
  });
});

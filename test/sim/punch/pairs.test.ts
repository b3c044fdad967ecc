import { describe, expect, it } from "vitest";
import { forecast } from "../../../src/punch/nat-behaviour.ts";
import { behaviourOf, KIND_NAMES, KINDS, type KindName, PORT_RESTRICTED } from "./kinds.ts";
import { type MeetingOptions, meet, run, type Subscription } from "./meeting.ts";

const SEEDS = [1, 2, 3, 4, 5];
/** Ports by luck: median 1 s, and one in a thousand needs a second attempt. */
const BY_LUCK: readonly KindName[] = ["symmetric", "port-block CGN"];
const PAIRS = KIND_NAMES.flatMap((a) => KIND_NAMES.map((b) => [a, b] as const));

function techniqueOf(a: KindName, b: KindName): string {
  return a === "UDP blocked" || b === "UDP blocked"
    ? "relay"
    : forecast(behaviourOf(KINDS[a]), behaviourOf(KINDS[b])).technique;
}

function counts({ initiator, responder }: Subscription): { most: number; checks: number } {
  const most = Math.max(busiest(initiator.sentAtMs), busiest(responder.sentAtMs));
  return { most, checks: initiator.agent.counts.checks + responder.agent.counts.checks };
}

/** Most packets that left within any second. */
function busiest(times: readonly number[]): number {
  let most = 0;
  let from = 0;
  for (let to = 0; to < times.length; to++) {
    while (times[to]! - times[from]! >= 1000) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

describe("two hosts behind NATs", () => {
  it.each(PAIRS)("%s and %s come to what the forecast says", (a, b) => {
    const technique = techniqueOf(a, b);
    for (const seed of SEEDS) {
      const subscription = meet(a, b, seed);
      const timeMs = run(subscription);
      const what = `seed ${seed}, ${technique}, ${timeMs} ms`;
      expect(counts(subscription).most, what).toBeLessThanOrEqual(300);
      if (technique === "relay") {
        expect(timeMs, what).toBe(Number.POSITIVE_INFINITY);
        for (const { log } of [subscription.initiator, subscription.responder])
          expect(
            log.some(({ event }) => event.kind === "failed"),
            what,
          ).toBe(true);
      } else {
        expect(timeMs, what).toBeLessThan(technique === "birthday" ? 15_000 : 1500);
        expect(subscription.initiator.path, what).toBe("direct");
        expect(subscription.responder.path, what).toBe("direct");
      }
    }
  });

  it.each(PAIRS.filter(([a, b]) => techniqueOf(a, b) !== "relay"))(
    "%s and %s meet although a tenth is lost, doubled and late",
    (a, b) => {
      const isByLuck = BY_LUCK.includes(a) || BY_LUCK.includes(b);
      for (const seed of SEEDS) {
        const core = { lossRate: 0.1, duplicateRate: 0.1, jitterMs: 60 };
        const timeMs = run(meet(a, b, seed, { core }));
        expect(timeMs, `seed ${seed}`).toBeLessThan(isByLuck ? 22_000 : 12_000);
      }
    },
  );

  it("a hard one and a port-restricted one meet within ten seconds, 95 times of 100", () => {
    let met = 0;
    for (let seed = 1; seed <= 100; seed++)
      if (run(meet("symmetric", "port-restricted", seed)) < 10_000) met++;
    expect(met).toBeGreaterThanOrEqual(95);
  });

  it.each(["port-restricted", "poison-prone", "double NAT"] as const)(
    "one behind two NATs opens both of them before its deadline: %s comes in a second",
    (other) => {
      for (const seed of SEEDS)
        expect(run(meet(other, "double NAT", seed)), `seed ${seed}`).toBeLessThan(1000);
    },
  );

  it.each(["symmetric", "port-block CGN", "sequential"] as const)(
    "an opener that has another port for each remote does not wait where the other lets any port in: %s",
    (other) => {
      for (const seed of SEEDS) {
        expect(run(meet("address-restricted", other, seed)), `seed ${seed}`).toBeLessThan(1000);
      }
    },
  );

  it("two that count their ports meet, unless another flow took one in between", () => {
    for (const seed of SEEDS) expect(run(meet("sequential", "sequential", seed))).toBeLessThan(1500);
  });

  it("does the same again from the same seed, byte for byte", () => {
    const [first, second] = [0, 1].map(() => {
      const subscription = meet("symmetric", "port-restricted", 9);
      run(subscription);
      return [
        subscription.initiator.sent,
        subscription.initiator.log,
        subscription.responder.sent,
        subscription.responder.log,
      ];
    });
    expect(first).toEqual(second);
  });
});

describe("a NAT that takes early packets for its own", () => {
  const early = (subscription: Subscription): number =>
    [...subscription.initiator.site.nats, ...subscription.responder.site.nats].reduce(
      (sum, nat) => sum + nat.poisoned,
      0,
    );

  it.each(SEEDS)(
    "is never given one, whichever side it is on and however late signals are (seed %i)",
    (seed) => {
      for (const [a, b] of [
        ["poison-prone", "port-restricted"],
        ["port-restricted", "poison-prone"],
        ["poison-prone", "poison-prone"],
      ] as const) {
        for (const [there, back] of [
          [5, 5],
          [5, 700],
          [700, 5],
        ] as const) {
          const options: MeetingOptions = { initiator: { signalMs: there }, responder: { signalMs: back } };
          const subscription = meet(a, b, seed, options);
          expect(run(subscription), `${a} ${b} ${there} ${back}`).toBeLessThan(2500);
          expect(early(subscription), `${a} ${b} ${there} ${back}`).toBe(0);
        }
      }
    },
  );

  it("is waited for where the answer takes long and the owner says so", () => {
    const options: MeetingOptions = { responder: { signalMs: 4000, answerDelayMs: 6000 } };
    const subscription = meet("poison-prone", "poison-prone", 3, options);
    expect(run(subscription)).toBeLessThan(5000);
    expect(early(subscription)).toBe(0);
  });

  it("is met on fresh sockets when the first attempt poisoned it", () => {
    // The answer comes after the responder's deadline: its full-TTL packets are too early.
    const subscription = meet("poison-prone", "port-restricted", 2, { responder: { signalMs: 2500 } });
    expect(run(subscription)).toBeLessThan(25_000);
    expect(early(subscription)).toBeGreaterThan(0);
    expect(subscription.initiator.agent.generation).toBeGreaterThan(1);
    expect(subscription.initiator.sockets).toBe(1);
  });
});

describe("two on one site", () => {
  it("take the way that does not leave it", () => {
    const subscription = meet([PORT_RESTRICTED], [PORT_RESTRICTED], 4, { isSameSite: true });
    expect(run(subscription)).toBeLessThan(500);
    expect(subscription.initiator.path).toBe("lan");
    expect(subscription.initiator.best?.address).toBe(subscription.responder.site.hostAddress);
  });
});

import { describe, expect, it } from "vitest";
import { GuessLimits, type GuessRun, sourceOf } from "../../../../src/engine/acceptor/guess-limits.ts";

const HOUR_MS = 3_600_000;

function begun(limits: GuessLimits, nowMs: number, source: string): GuessRun {
  const run = limits.begin(nowMs, source);
  if (typeof run === "string") throw new Error(`${source} gets ${run} at ${nowMs} ms`);
  return run;
}

/** Guesses wrong from one source as often as it may until `untilMs`; returns when it did. */
function guessInALoop(limits: GuessLimits, source: string, fromMs: number, untilMs: number): number[] {
  const guessedAtMs: number[] = [];
  for (let nowMs = fromMs; nowMs < untilMs; nowMs += 100) {
    const run = limits.begin(nowMs, source);
    if (typeof run === "string") continue;
    limits.recordWrongGuess(nowMs, run);
    guessedAtMs.push(nowMs);
  }
  return guessedAtMs;
}

describe("wrong guesses of one source", () => {
  it("are three at once, then one after each pause, which doubles from 10 s to 10 minutes", () => {
    const guessedAtMs = guessInALoop(new GuessLimits(), "a", 0, 2 * HOUR_MS);
    const pausesS = guessedAtMs.slice(1).map((atMs, i) => Math.round((atMs - guessedAtMs[i]!) / 1000));
    expect(pausesS.slice(0, 10)).toEqual([0, 0, 10, 20, 40, 80, 160, 320, 600, 600]);
    expect(guessedAtMs.length).toBe(19);
  });

  it("do not lock out another source", () => {
    const limits = new GuessLimits();
    for (let nowMs = 0; nowMs < HOUR_MS; nowMs += 1000) {
      guessInALoop(limits, "a", nowMs, nowMs + 1000);
      const honest = begun(limits, nowMs, "b");
      limits.endRun(honest);
    }
  });

  it("are not more when runs were started in advance", () => {
    const limits = new GuessLimits();
    const prepared: GuessRun[] = [];
    // As many runs as it can get, begun long before the first guess.
    for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
      const run = limits.begin(nowMs, "a");
      if (typeof run !== "string") prepared.push(run);
    }
    const alive = prepared.filter((run) => !run.isVoid);
    expect(alive.length).toBe(3);
    for (const run of prepared) limits.recordWrongGuess(60_000, run);
    expect(limits.begin(60_001, "a")).toBe("busy");
    expect(guessInALoop(limits, "a", 60_000, 100_000)).toHaveLength(2);
  });

  it("are forgotten an hour after the last pause", () => {
    const limits = new GuessLimits();
    guessInALoop(limits, "a", 0, 5000);
    guessInALoop(limits, "a", 10_000 + HOUR_MS - 1, 10_000 + HOUR_MS);
    const laterMs = 10_000 + HOUR_MS + 20_000 + HOUR_MS;
    expect(guessInALoop(limits, "a", laterMs, laterMs + 5000)).toHaveLength(3);
  });

  it("count once for each run, even if they are reported again", () => {
    const limits = new GuessLimits();
    const run = begun(limits, 0, "a");
    for (let again = 0; again < 5; again++) limits.recordWrongGuess(0, run);
    limits.endRun(run);
    expect(guessInALoop(limits, "a", 0, 5000)).toHaveLength(2);
  });
});

describe("wrong guesses of many sources", () => {
  it("share an allowance of 20 at once and 12 a minute, however many addresses there are", () => {
    const limits = new GuessLimits();
    let guesses = 0;
    for (let nowMs = 0, n = 0; nowMs < HOUR_MS; nowMs += 10, n++) {
      const run = limits.begin(nowMs, `2001:db8:0:${(n % 65_536).toString(16)}::/64`);
      if (typeof run === "string") continue;
      limits.recordWrongGuess(nowMs, run);
      guesses++;
    }
    expect(guesses).toBe(20 + HOUR_MS / 5000 - 1);
    expect(limits.sourceCount).toBeLessThanOrEqual(guesses);
  });

  it("do not end a run that was admitted before: its right confirmation still counts", () => {
    const limits = new GuessLimits();
    const honest = begun(limits, 0, "honest");
    for (let n = 0; n < 60; n++) guessInALoop(limits, `stranger ${n}`, 10, 110);
    expect(limits.begin(200, "newcomer")).toBe("busy");
    expect(honest.isVoid).toBe(false);
    limits.endRun(honest);
    expect(limits.runCount).toBe(0);
  });

  it("in runs admitted before the allowance was used up delay later runs", () => {
    const limits = new GuessLimits();
    const runs = Array.from({ length: 60 }, (_, n) => begun(limits, 0, `source ${n}`));
    for (const run of runs) limits.recordWrongGuess(0, run);
    // 60 of 20: one more when the 41st in five seconds each has come back.
    expect(limits.begin(204_000, "newcomer")).toBe("busy");
    expect(limits.begin(206_000, "newcomer")).not.toBe("busy");
  });

  it("take bounded memory", () => {
    const limits = new GuessLimits();
    for (let n = 0; n < 6000; n++) limits.recordWrongGuess(n * 5001, begun(limits, n * 5001, `source ${n}`));
    expect(limits.sourceCount).toBe(4096);
    for (let n = 0; n < 1000; n++) limits.begin(40_000_000, `other ${n}`);
    expect(limits.runCount).toBe(64);
    expect(limits.sourceCount).toBeLessThanOrEqual(4096 + 64);
  });
});

describe("unconfirmed runs", () => {
  it("make their source need a cookie, and give way to its next run when they are old", () => {
    const limits = new GuessLimits();
    expect(limits.requiresCookie("a")).toBe(false);
    const forged = [0, 0, 0].map(() => begun(limits, 0, "a"));
    expect(limits.requiresCookie("a")).toBe(true);
    expect(limits.requiresCookie("b")).toBe(false);
    expect(limits.begin(2999, "a")).toBe("wait");
    begun(limits, 3000, "a");
    expect(forged.map(({ isVoid }) => isVoid)).toEqual([true, false, false]);
  });

  it("of many sources make every source need a cookie, and the oldest gives way", () => {
    const limits = new GuessLimits();
    const runs = Array.from({ length: 64 }, (_, n) => begun(limits, n, `source ${n}`));
    expect(limits.requiresCookie("newcomer")).toBe(true);
    begun(limits, 100, "newcomer");
    expect(runs.filter(({ isVoid }) => isVoid)).toEqual([runs[0]]);
    expect(limits.runCount).toBe(64);
  });

  it("leave no state after they have ended", () => {
    const limits = new GuessLimits();
    for (let n = 0; n < 500; n++) limits.endRun(begun(limits, n, `source ${n}`));
    expect([limits.runCount, limits.sourceCount]).toEqual([0, 0]);
    expect(limits.requiresCookie("source 1")).toBe(false);
  });
});

describe("the source of an address", () => {
  it.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "::ffff:192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:db8:1:3::9", "2001:db8:1:3::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["relay", "relay"],
  ])("%s is %s", (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });
});

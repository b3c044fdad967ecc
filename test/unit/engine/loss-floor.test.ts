import { describe, expect, it } from "vitest";
import { LossFloor } from "../../../src/engine/congestion/loss-floor.ts";

/** A floor that measured `lostPct` percent over `megabytes` of slow sending, in packets of 1000 bytes. */
function measured(lostPct: number, megabytes = 1): LossFloor {
  const floor = new LossFloor();
  floor.begin(0);
  for (let n = 0; n < megabytes * 1000; n++) {
    if (n % 100 < lostPct) floor.onLost(n, 1000);
    else floor.onAcked(n, 1000);
  }
  return floor;
}

describe("the share that a path loses whatever its load", () => {
  it("is nothing before there is evidence", () => {
    const floor = new LossFloor();
    floor.begin(0);
    for (let n = 0; n < 50; n++) floor.onLost(n, 1000);
    expect(floor.share(100)).toBe(0);
  });

  it("is nothing on a path that lost nothing", () => {
    expect(measured(0).share(100)).toBe(0);
  });

  it("is the measured share with two standard deviations of room for the flight", () => {
    const share = 0.03;
    expect(measured(3).share(100)).toBeCloseTo(share + 2 * Math.sqrt(share / 100), 6);
  });

  it("leaves a long flight less room than a short one", () => {
    const floor = measured(3);
    expect(floor.share(1000)).toBeLessThan(floor.share(10));
  });

  it("counts packets only between begin and end", () => {
    const floor = new LossFloor();
    floor.begin(100);
    floor.end(200);
    for (let n = 0; n < 400; n++) {
      if (n < 100 || n >= 200) floor.onLost(n, 1000);
      else floor.onAcked(n, 1000);
    }
    expect(floor.share(100)).toBe(0);
  });

  it("treats a path that loses more than a tenth as one that loses a tenth", () => {
    expect(measured(40).share(1e9)).toBeCloseTo(0.1, 4);
  });

  it("measures the same share over a long time as over a short one", () => {
    const share = measured(3, 20).share(1e9);
    expect(share).toBeGreaterThan(0.025);
    expect(share).toBeLessThan(0.035);
  });

  it("follows a path that gets better", () => {
    const floor = measured(10);
    const before = floor.share(1e9);
    for (let n = 1000; n < 6000; n++) floor.onAcked(n, 1000);
    expect(floor.share(1e9)).toBeLessThan(before / 2);
  });
});

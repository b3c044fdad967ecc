import { describe, expect, it } from "vitest";
import { PathControl } from "../../../src/engine/path-control.ts";

const home = { address: "192.0.2.1", port: 1000, socket: 0 };
const rebound = { address: "192.0.2.1", port: 2000, socket: 0 };
const away = { address: "198.51.100.7", port: 1000, socket: 0 };
const PTO_MS = 100;

function control(): PathControl {
  let next = 0;
  return new PathControl(home, (length) => new Uint8Array(length).fill(++next));
}

describe("path control", () => {
  it("sends an unproved path at most three times what came from it, until it answers", () => {
    const paths = control();
    expect(paths.allowanceBytes).toBe(Number.POSITIVE_INFINITY);
    expect(paths.follow(0, away, 1000, PTO_MS)).toBe("address");
    expect(paths.allowanceBytes).toBe(3000);
    paths.onSent(2500);
    expect(paths.allowanceBytes).toBe(500);
    paths.onReceived(away, 100);
    expect(paths.allowanceBytes).toBe(800);
    const challenge = paths.takeActive();
    expect(challenge?.isResponse).toBe(false);
    expect(paths.onResponse(new Uint8Array(8))).toBeUndefined();
    expect(paths.onResponse(challenge!.token)).toBe(away);
    expect(paths.allowanceBytes).toBe(Number.POSITIVE_INFINITY);
  });

  it("tells a new port from a new address", () => {
    const paths = control();
    expect(paths.follow(0, rebound, 100, PTO_MS)).toBe("port");
    expect(paths.follow(0, away, 100, PTO_MS)).toBe("address");
    expect(paths.follow(0, away, 100, PTO_MS)).toBe("none");
  });

  it("goes back to the last proved path when the new one never answers", () => {
    const paths = control();
    paths.follow(0, away, 1200, PTO_MS);
    expect(paths.takeActive()).toBeDefined();
    let now = 0;
    let challenges = 1;
    while (paths.active === away && now < 10_000) {
      now = Math.max(now + 1, paths.timeoutAt);
      paths.handleTimeout(now, PTO_MS);
      if (paths.hasFrame && paths.takeActive() !== undefined) challenges++;
    }
    expect(paths.active).toBe(home);
    expect(paths.isValidated).toBe(true);
    expect(now).toBeLessThanOrEqual(1100);
    expect(challenges).toBeGreaterThan(1);
  });

  it("takes a peer that comes back to a proved path at its word", () => {
    const paths = control();
    paths.follow(0, away, 100, PTO_MS);
    expect(paths.follow(5, home, 50, PTO_MS)).toBe("address");
    expect(paths.isValidated).toBe(true);
    expect(paths.timeoutAt).toBe(Number.POSITIVE_INFINITY);
  });

  it("answers challenges on the path that they came by", () => {
    const paths = control();
    const token = new Uint8Array(8).fill(9);
    paths.onChallenge(away, token);
    expect(paths.hasFrame).toBe(false);
    expect(paths.takeOther()).toEqual({ path: away, isResponse: true, token });
    paths.onChallenge(home, token);
    expect(paths.takeActive()).toEqual({ isResponse: true, token });
  });

  it("holds a bounded number of answers for a peer that floods it with challenges", () => {
    const paths = control();
    for (let i = 0; i < 1000; i++) paths.onChallenge(home, new Uint8Array(8).fill(i));
    let answers = 0;
    while (paths.takeActive() !== undefined) answers++;
    expect(answers).toBeLessThanOrEqual(8);
  });

  it("probes another path without moving to it", () => {
    const paths = control();
    paths.probe(0, away, PTO_MS);
    const probe = paths.takeOther();
    expect(probe?.path).toBe(away);
    expect(paths.active).toBe(home);
    expect(paths.onResponse(probe!.token)).toBe(away);
    expect(paths.use(away)).toBe("address");
    expect(paths.active).toBe(away);
  });
});

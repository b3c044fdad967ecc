import { describe, expect, it } from "vitest";
import type { Path } from "../../../src/base/path.ts";
import { PathControl } from "../../../src/engine/path/path-control.ts";

const home = { address: "192.0.2.1", port: 1000, socket: 0 };
const rebound = { address: "192.0.2.1", port: 2000, socket: 0 };
const away = { address: "198.51.100.7", port: 1000, socket: 0 };
const PTO_MS = 100;

function control(isInitiator = true): PathControl {
  let next = 0;
  return new PathControl(home, isInitiator, (length) => new Uint8Array(length).fill(++next));
}

/** At home, with another path that has answered a probe. */
function validated(path: Path, isInitiator = true): PathControl {
  const paths = control(isInitiator);
  paths.probe(0, path, PTO_MS);
  expect(paths.onResponse(0, paths.takeOther()!.token)).toBe(path);
  return paths;
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
    expect(paths.onResponse(0, new Uint8Array(8))).toBeUndefined();
    expect(paths.onResponse(0, challenge!.token)).toBe(away);
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
    expect(paths.hasValidated(0, away)).toBe(false);
    expect(paths.onResponse(40, probe!.token)).toBe(away);
    expect(paths.hasValidated(40, away)).toBe(true);
    expect(paths.use(50, away, 10, PTO_MS)).toBe("address");
    expect(paths.active).toBe(away);
    expect(paths.isValidated).toBe(true);
  });

  it("turns to the others of the handshake, once each, when the one that seemed to complete it never answers", () => {
    const paths = control(false);
    paths.suspect(0, 1200, PTO_MS, [away, rebound]);
    const tried: Path[] = [];
    for (let now = 0; now < 20_000; now = paths.timeoutAt) {
      paths.handleTimeout(now, PTO_MS);
      if (tried.at(-1) !== paths.active) {
        tried.push(paths.active);
        expect(paths.allowanceBytes).toBe(3600);
      }
      while (paths.takeActive() !== undefined) paths.onSent(Math.min(1200, paths.allowanceBytes));
    }
    expect(tried).toEqual([home, away, rebound]);
    expect(paths.isValidated).toBe(false);
    expect(paths.abandoned).toEqual([home, away]);
  });

  it("comes back from a stranger to a path that had not had its time to prove itself", () => {
    const paths = control(false);
    paths.suspect(0, 1200, PTO_MS);
    paths.onSent(600);
    // A copy of the peer's packet, which the peer itself is not heard after.
    expect(paths.follow(10, away, 100, PTO_MS)).toBe("address");
    for (let now = 10; paths.active === away && now < 10_000; now = paths.timeoutAt) {
      paths.handleTimeout(now, PTO_MS);
    }
    expect(paths.active).toBe(home);
    expect(paths.isValidated).toBe(false);
    // What it got before still counts.
    expect(paths.allowanceBytes).toBe(3000);
  });

  it("gives a probe up after seconds and several tries, and says so", () => {
    const paths = control();
    paths.probe(0, away, PTO_MS);
    let tries = 0;
    let now = 0;
    while (paths.timeoutAt < Number.POSITIVE_INFINITY) {
      if (paths.takeOther() !== undefined) tries++;
      now = paths.timeoutAt;
      paths.handleTimeout(now, PTO_MS);
    }
    expect(paths.abandoned).toEqual([away]);
    expect(now).toBeGreaterThanOrEqual(3000);
    expect(now).toBeLessThanOrEqual(3500);
    expect(tries).toBeGreaterThanOrEqual(6);
    expect(paths.active).toBe(home);
  });

  it("forgets after a minute that a path has answered", () => {
    const paths = validated(away);
    expect(paths.hasValidated(59_000, away)).toBe(true);
    expect(paths.hasValidated(61_000, away)).toBe(false);
  });

  it("does not take what the peer sent before it knew of our move for a move back", () => {
    for (const isInitiator of [true, false]) {
      const paths = validated(away, isInitiator);
      paths.use(0, away, 10, PTO_MS);
      expect(paths.follow(20, home, 1200, PTO_MS)).toBe("none");
      paths.onAcknowledged(9);
      expect(paths.follow(40, home, 1200, PTO_MS)).toBe("none");
      expect(paths.active).toBe(away);
      // Now it knows, and goes back all the same.
      paths.onAcknowledged(10);
      expect(paths.follow(60, home, 1200, PTO_MS)).toBe("address");
      expect(paths.isValidated).toBe(true);
    }
  });

  it("goes back to where the peer is heard when it does not follow", () => {
    const paths = validated(away);
    paths.use(0, away, 10, PTO_MS);
    expect(paths.follow(999, home, 1200, PTO_MS)).toBe("none");
    expect(paths.follow(1000, home, 1200, PTO_MS)).toBe("address");
  });

  it("when both move at once, the initiator's move stands", () => {
    const initiator = validated(away, true);
    const responder = validated(away, false);
    initiator.use(0, away, 10, PTO_MS);
    responder.use(0, away, 10, PTO_MS);
    expect(initiator.follow(20, rebound, 1200, PTO_MS)).toBe("none");
    expect(responder.follow(20, rebound, 1200, PTO_MS)).toBe("address");
  });

  it("follows the peer to a path that has answered without putting it on trial", () => {
    const paths = validated(away);
    expect(paths.follow(10, away, 50, PTO_MS)).toBe("address");
    expect(paths.isValidated).toBe(true);
  });

  it("measures anew behind another socket, which may be another network", () => {
    const other = { ...home, socket: 1 };
    const paths = validated(other);
    expect(paths.use(0, other, 10, PTO_MS)).toBe("address");
  });
});

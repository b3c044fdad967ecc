import { describe, expect, it } from "vitest";
import { TwoPaths } from "./two-paths.ts";

/** A link that has carried something each way, so that nothing of its beginning is left to do. */
function link(options: Partial<ConstructorParameters<typeof TwoPaths>[0]> = {}): TwoPaths {
  const paths = new TwoPaths({ delaysMs: [40, 10], ...options });
  paths.initiator.send(1000);
  paths.responder.send(1000);
  paths.run(1000);
  return paths;
}

describe("a link with another path beside the one in use", () => {
  it("tries the other path without leaving its own", () => {
    const { initiator, responder, ...paths } = spread(link());
    initiator.probe(1);
    paths.run(100);
    expect(initiator.story).toEqual(["pathValidated 1"]);
    expect(responder.story).toEqual([]);
    expect(initiator.connection.path).toBe(initiator.paths[0]);
    expect(responder.connection.path).toBe(responder.paths[0]);
  });

  it("reports a path that does not answer", () => {
    const { initiator, ...paths } = spread(link());
    paths.wires[1].isUp = false;
    initiator.probe(1);
    paths.run(5000);
    expect(initiator.story).toEqual(["pathFailed 1"]);
  });

  it("moves to no path that has not answered", () => {
    const { initiator } = spread(link());
    expect(initiator.use(1)).toBe(false);
    expect(initiator.connection.path).toBe(initiator.paths[0]);
  });

  it.each(["bbr", "cubic"] as const)(
    "moves while data flows both ways, and the peer follows (%s)",
    (congestion) => {
      const { initiator, responder, ...paths } = spread(link({ congestion }));
      initiator.send(4_000_000);
      responder.send(4_000_000);
      initiator.probe(1);
      paths.run(300);
      const before = responder.readBytes;
      expect(initiator.use(1)).toBe(true);
      paths.run(60_000);
      expect(before).toBeLessThan(3_000_000);
      expect(responder.readBytes).toBe(4_001_000);
      expect(initiator.readBytes).toBe(4_001_000);
      expect(initiator.story).toEqual(["pathValidated 1", "pathChanged 1"]);
      // It asks back whether the new path is there, as of any other that it never tried.
      expect(responder.story).toEqual(["pathChanged 1", "pathValidated 1"]);
      const [old, fresh] = [responder.sent[0], responder.sent[1]];
      paths.run(20_000);
      expect(responder.sent[0]).toBe(old);
      expect(responder.sent[1]).toBeGreaterThan(fresh);
    },
  );

  it("follows at once, without a trial, to a path that it has tried itself", () => {
    const { initiator, responder, ...paths } = spread(link());
    initiator.probe(1);
    responder.probe(1);
    paths.run(100);
    initiator.use(1);
    paths.run(100);
    expect(responder.story).toEqual(["pathValidated 1", "pathChanged 1"]);
  });

  it("comes back together when both ends move at once", () => {
    const { initiator, responder, ...paths } = spread(link());
    initiator.probe(1);
    responder.probe(1);
    paths.run(100);
    initiator.use(1);
    paths.run(1000);
    initiator.send(100_000);
    responder.send(100_000);
    initiator.probe(0);
    responder.probe(0);
    paths.run(60);
    initiator.use(0);
    responder.use(0);
    paths.run(5000);
    expect(initiator.connection.path).toBe(initiator.paths[0]);
    expect(responder.connection.path).toBe(responder.paths[0]);
    expect(responder.readBytes).toBe(101_000);
    expect(initiator.readBytes).toBe(101_000);
  });
});

describe("a link whose path dies", () => {
  it("while data flows: suspect after 6.5 s, dead after 15 s, at both ends", () => {
    const { initiator, responder, ...paths } = spread(link());
    const cutAtMs = paths.world.now;
    paths.wires[0].isUp = false;
    initiator.send(100_000);
    paths.run(20_000);
    for (const end of [initiator, responder]) {
      expect(end.story).toEqual(["pathSuspect 0", "pathDead 0"]);
      // The last packet came at most a moment before the cut.
      expect(end.at("pathSuspect") - cutAtMs).toBeGreaterThan(5400);
      expect(end.at("pathSuspect") - cutAtMs).toBeLessThanOrEqual(6600);
      expect(end.at("pathDead") - cutAtMs).toBeGreaterThan(13_900);
      expect(end.at("pathDead") - cutAtMs).toBeLessThanOrEqual(15_100);
    }
  });

  it("when idle: suspect after 20 s, dead after 30 s", () => {
    const { initiator, responder, ...paths } = spread(link());
    paths.run(120_000);
    expect([...initiator.story, ...responder.story]).toEqual([]);
    const cutAtMs = paths.world.now;
    paths.wires[0].isUp = false;
    paths.run(40_000);
    for (const end of [initiator, responder]) {
      expect(end.story).toEqual(["pathSuspect 0", "pathDead 0"]);
      expect(end.at("pathSuspect") - cutAtMs).toBeLessThanOrEqual(20_100);
      expect(end.at("pathSuspect") - cutAtMs).toBeGreaterThan(4900);
      expect(end.at("pathDead") - cutAtMs).toBeLessThanOrEqual(30_100);
    }
  });

  it("data after a long idle silence does not make the path suspect at once", () => {
    const { initiator, ...paths } = spread(link());
    // Lately no more; the next keep-alive is 14 s away.
    paths.run(31_000 + 13_000);
    const cutAtMs = paths.world.now;
    paths.wires[0].isUp = false;
    paths.run(1000);
    initiator.send(1000);
    paths.run(10_000);
    expect(initiator.at("pathSuspect") - cutAtMs).toBeGreaterThanOrEqual(6500);
  });

  it("is neither on a lively link nor on an idle one that lives", () => {
    const { initiator, responder, ...paths } = spread(link());
    paths.run(600_000);
    initiator.send(500);
    paths.run(600_000);
    expect([...initiator.story, ...responder.story]).toEqual([]);
    expect(responder.readBytes).toBe(1500);
  });

  it("comes back: alive again, and what waited arrives", () => {
    const { initiator, responder, ...paths } = spread(link());
    paths.wires[0].isUp = false;
    initiator.send(100_000);
    paths.run(40_000);
    paths.wires[0].isUp = true;
    const upAtMs = paths.world.now;
    paths.run(5000);
    expect(initiator.story).toEqual(["pathSuspect 0", "pathDead 0", "pathAlive 0"]);
    expect(responder.story).toEqual(["pathSuspect 0", "pathDead 0", "pathAlive 0"]);
    expect(initiator.at("pathAlive") - upAtMs).toBeLessThanOrEqual(1200);
    expect(responder.readBytes).toBe(101_000);
  });

  it.each([0, 1])("goes on over another path that either end moves to (%i)", (who) => {
    const { initiator, responder, ...paths } = spread(link());
    paths.wires[0].isUp = false;
    initiator.send(300_000);
    responder.send(300_000);
    paths.run(90_000);
    const mover = who === 0 ? initiator : responder;
    mover.probe(1);
    paths.run(100);
    expect(mover.use(1)).toBe(true);
    paths.run(3000);
    expect(responder.readBytes).toBe(301_000);
    expect(initiator.readBytes).toBe(301_000);
    expect(mover.story).toEqual([
      "pathSuspect 0",
      "pathDead 0",
      "pathValidated 1",
      "pathChanged 1",
      "pathAlive 1",
    ]);
    const follower = who === 0 ? responder : initiator;
    expect(follower.story.slice(0, 4)).toEqual([
      "pathSuspect 0",
      "pathDead 0",
      "pathChanged 1",
      "pathAlive 1",
    ]);
  });

  it("is lost in the end where an idle timeout was set", () => {
    const { initiator, ...paths } = spread(link({ idleTimeoutMs: 60_000 }));
    paths.wires[0].isUp = false;
    initiator.send(1000);
    paths.run(58_000);
    expect(initiator.connection.state).toBe("established");
    paths.run(5000);
    expect(initiator.connection.closeCause?.code).toBe("ERR_LINK_LOST");
  });

  it("a machine that wakes up learns within a second that its path is gone", () => {
    const { initiator, ...paths } = spread(link());
    paths.wires[0].isUp = false;
    initiator.connection.handleWake(paths.world.now);
    initiator.settle();
    const wokenAtMs = paths.world.now;
    paths.run(2000);
    expect(initiator.at("pathSuspect") - wokenAtMs).toBeLessThanOrEqual(1000);
  });
});

describe("secrets of a link", () => {
  it("are the same at both ends for one label, and others for another", () => {
    const { initiator, responder } = link();
    const mine = initiator.connection.exportSecret("meeting");
    expect(mine).toHaveLength(32);
    expect(responder.connection.exportSecret("meeting")).toEqual(mine);
    expect(responder.connection.exportSecret("other")).not.toEqual(mine);
  });
});

/** A world with its methods, so that tests may take it apart. */
function spread(paths: TwoPaths): Pick<TwoPaths, "initiator" | "responder" | "wires" | "world" | "run"> {
  const { initiator, responder, wires, world } = paths;
  return { initiator, responder, wires, world, run: (forMs) => paths.run(forMs) };
}

import { describe, expect, it } from "vitest";
import type { Path } from "../../src/base/path.ts";
import { Nat, type NatOptions } from "./nat.ts";
import { Host, Network } from "./network.ts";
import { World } from "./world.ts";

/** A host behind a NAT on the left, two plain hosts of one address on the right; each notes what it gets. */
function homeAndWorld(options: Partial<NatOptions> = {}) {
  const world = new World();
  const network = new Network(world, 1, { delayMs: 1 }, { delayMs: 1 });
  const nat = new Nat("192.0.2.1", 40_000, options);
  const inner = note(new Host(network.left, "10.0.0.2", 5000, nat));
  const one = note(new Host(network.right, "203.0.113.1", 6001));
  const two = note(new Host(network.right, "203.0.113.1", 6002));
  const send = (from: Noted, to: Path | Noted): void => {
    from.host.send("host" in to ? from.host.path(to.host.address, to.host.port) : to, new Uint8Array(10));
    world.run(Number.POSITIVE_INFINITY);
  };
  const wait = (ms: number): void => {
    world.at(world.now + ms, () => undefined);
    world.run(Number.POSITIVE_INFINITY);
  };
  return { world, nat, inner, one, two, send, wait };
}

interface Noted {
  host: Host;
  from: Path[];
}

function note(host: Host): Noted {
  const noted: Noted = { host, from: [] };
  host.receiver = { receive: (_now, path) => noted.from.push(path) };
  return noted;
}

describe("NAT", () => {
  it("shows one public port, and lets answers in", () => {
    const { inner, one, two, send } = homeAndWorld();
    send(inner, one);
    send(inner, two);
    expect(one.from[0]).toEqual({ address: "192.0.2.1", port: 40_000, socket: 0 });
    expect(two.from[0]).toEqual(one.from[0]);
    send(one, one.from[0]!);
    expect(inner.from).toEqual([{ address: "203.0.113.1", port: 6001, socket: 0 }]);
  });

  it("gives each remote another port when mapping is address and port dependent", () => {
    const { inner, one, two, send } = homeAndWorld({ mapping: "addressAndPortDependent" });
    send(inner, one);
    send(inner, two);
    expect([one.from[0]!.port, two.from[0]!.port]).toEqual([40_000, 40_001]);
  });

  it("filters strangers as it is told", () => {
    for (const [filtering, expected] of [
      ["endpointIndependent", 1],
      ["addressDependent", 1],
      ["addressAndPortDependent", 0],
    ] as const) {
      const { inner, one, two, send, nat } = homeAndWorld({ filtering });
      send(inner, one);
      send(two, two.host.path("192.0.2.1", 40_000));
      expect([filtering, inner.from.length]).toEqual([filtering, expected]);
      expect(nat.counts.refused).toBe(1 - expected);
    }
  });

  it("shows another port after a rebind, and the old one is dead", () => {
    const { world, nat, inner, one, send } = homeAndWorld();
    send(inner, one);
    nat.rebind(world.now);
    send(one, one.from[0]!);
    expect(inner.from).toHaveLength(0);
    send(inner, one);
    expect(one.from[1]).toEqual({ address: "192.0.2.1", port: 40_001, socket: 0 });
    send(one, one.from[1]!);
    expect(inner.from).toHaveLength(1);
  });

  it("shows another address after a rebind of the address, the old one staying open where asked", () => {
    const { world, nat, inner, one, send, wait } = homeAndWorld({ keepOldMs: 100 });
    send(inner, one);
    nat.rebind(world.now, "192.0.2.77");
    send(one, one.from[0]!);
    expect(inner.from).toHaveLength(1);
    wait(100);
    send(one, one.from[0]!);
    expect(inner.from).toHaveLength(1);
    send(inner, one);
    expect(one.from[1]!.address).toBe("192.0.2.77");
  });

  it("forgets a mapping that nothing went out by", () => {
    const { inner, one, send, wait } = homeAndWorld({ mappingTimeoutMs: 30_000 });
    send(inner, one);
    wait(29_000);
    send(one, one.from[0]!);
    expect(inner.from).toHaveLength(1);
    wait(1000);
    send(one, one.from[0]!);
    expect(inner.from).toHaveLength(1);
    send(inner, one);
    expect(one.from[1]!.port).toBe(40_001);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DATAGRAM_FLOOR_BYTES } from "../../../src/base/path.ts";
import { MtuDiscovery } from "../../../src/engine/path/mtu-discovery.ts";

/** Runs the search over a path that carries up to `pathBytes`; returns sizes probed until it rests. */
function search(mtu: MtuDiscovery, pathBytes: number, fromMs = 0): number[] {
  const probed: number[] = [];
  for (let now = fromMs; probed.length < 100; now += 50) {
    if (now < mtu.probeAtMs - 1000) break;
    if (now < mtu.probeAtMs) continue;
    const size = mtu.probeBytes;
    probed.push(size);
    mtu.onProbeSent(size);
    if (size <= pathBytes) mtu.onProbeAcked(now, size);
    else mtu.onProbeLost(now, size, 10);
  }
  return probed;
}

describe("MTU discovery", () => {
  it("finds what the path carries to within 20 bytes, with a bounded number of probes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1200, max: 9000 }),
        fc.integer({ min: 1200, max: 9000 }),
        (pathBytes, ceiling) => {
          const mtu = new MtuDiscovery(0, ceiling);
          const probed = search(mtu, pathBytes);
          expect(mtu.currentBytes).toBeLessThanOrEqual(
            Math.max(DATAGRAM_FLOOR_BYTES, Math.min(pathBytes, ceiling)),
          );
          expect(mtu.currentBytes).toBeGreaterThan(Math.min(pathBytes, ceiling) - 21);
          expect(probed.length).toBeLessThan(40);
        },
      ),
    );
  });

  it("tries the ceiling first, so that a common path takes one probe", () => {
    expect(search(new MtuDiscovery(0, 1452), 1500)).toEqual([1452]);
  });

  it("gives a size three tries, since a lost probe may be plain loss", () => {
    expect(search(new MtuDiscovery(0, 1452), 1300).slice(0, 4)).toEqual([1452, 1452, 1452, 1326]);
  });

  it("falls back to the floor when large packets vanish, and finds the new size", () => {
    const mtu = new MtuDiscovery(0, 1452);
    search(mtu, 1452);
    expect(mtu.onLargeLost(1000, 3, 50)).toBe(false);
    mtu.onLargeAcked();
    expect(mtu.onLargeLost(1000, 3, 50)).toBe(false);
    expect(mtu.onLargeLost(1000, 1, 50)).toBe(true);
    expect(mtu.currentBytes).toBe(DATAGRAM_FLOOR_BYTES);
    search(mtu, 1280, 2000);
    expect(mtu.currentBytes).toBeGreaterThan(1259);
    expect(mtu.currentBytes).toBeLessThanOrEqual(1280);
  });

  it("tries again after ten minutes", () => {
    const mtu = new MtuDiscovery(0, 1452);
    search(mtu, 1300);
    expect(mtu.probeAtMs).toBeGreaterThan(500_000);
    expect(search(mtu, 1452, 700_000)[0]).toBe(1452);
    expect(mtu.currentBytes).toBe(1452);
  });

  it("tries what Ethernet carries at once when the ceiling is far above it and does not pass", () => {
    const mtu = new MtuDiscovery(0, 65_507);
    for (let tries = 0; tries < 3; tries++) {
      expect(mtu.probeBytes).toBe(65_507);
      mtu.onProbeSent(65_507);
      mtu.onProbeLost(10 * tries, 65_507, 1);
    }
    expect(mtu.probeBytes).toBe(1472);
    mtu.onProbeSent(1472);
    mtu.onProbeAcked(50, 1472);
    expect(mtu.currentBytes).toBe(1472);
    expect(mtu.probeBytes).toBeGreaterThan(1472);
  });
});

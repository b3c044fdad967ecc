import { describe, expect, it } from "vitest";
import { type Datagram, Link, type LinkOptions, median } from "./link.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

interface Arrival {
  at: number;
  index: number;
  bytes: Uint8Array;
}

/** Sends datagrams of `lengthBytes` at the given times through a link; each begins with its index. */
function passThrough(options: Partial<LinkOptions>, timesMs: readonly number[], lengthBytes = 1222) {
  const world = new World();
  const arrivals: Arrival[] = [];
  const link = new Link(world, new Random(11, "link"), options, (at, { bytes }) => {
    arrivals.push({ at, index: bytes[0]! * 256 + bytes[1]!, bytes });
  });
  for (const [index, at] of timesMs.entries()) {
    world.at(at, () => link.send(datagram(index, lengthBytes)));
  }
  return { world, link, arrivals };
}

function datagram(index: number, lengthBytes: number): Datagram {
  const bytes = new Uint8Array(lengthBytes);
  bytes[0] = index >>> 8;
  bytes[1] = index;
  return { bytes, lengthBytes, fromAddress: "a", fromPort: 1, toAddress: "b", toPort: 2 };
}

function run(options: Partial<LinkOptions>, timesMs: readonly number[], lengthBytes?: number) {
  const { world, link, arrivals } = passThrough(options, timesMs, lengthBytes);
  world.run(Number.POSITIVE_INFINITY);
  return { link, arrivals };
}

const burst = (count: number, at = 0): number[] => new Array<number>(count).fill(at);
const every = (count: number, stepMs: number): number[] =>
  Array.from({ length: count }, (_, n) => n * stepMs);

/** Longest run of missing indices. */
function longestGap(arrivals: readonly Arrival[], count: number): number {
  const present = new Set(arrivals.map(({ index }) => index));
  let longest = 0;
  let current = 0;
  for (let index = 0; index < count; index++) {
    current = present.has(index) ? 0 : current + 1;
    longest = Math.max(longest, current);
  }
  return longest;
}

describe("link", () => {
  it("delivers after transmission and delay, at the rate of the line", () => {
    // 1222 + 28 bytes at 10 Mbit/s take one millisecond.
    const { arrivals } = run({ rateMbit: 10, delayMs: 15 }, burst(5));
    expect(arrivals.map(({ at }) => at)).toEqual([16, 17, 18, 19, 20]);
  });

  it("drops what does not fit into a queue counted in packets", () => {
    const { arrivals, link } = run({ rateMbit: 10, queuePackets: 25 }, burst(40));
    expect(arrivals).toHaveLength(26); // one on the line, 25 behind it
    expect(link.counts.queueFull).toBe(14);
  });

  it("drops what does not fit into a queue counted in bytes, and takes again once it drained", () => {
    const { arrivals } = run({ rateMbit: 10, queueBytes: 4 * 1250 }, [...burst(10), ...burst(10, 100)]);
    expect(arrivals).toHaveLength(10);
  });

  it("keeps the order under jitter, or not, as asked", () => {
    const inOrder = run({ delayMs: 10, jitterMs: 50 }, every(300, 1)).arrivals;
    const free = run({ delayMs: 10, jitterMs: 50, jitterReorders: true }, every(300, 1)).arrivals;
    const isSorted = (list: readonly Arrival[]): boolean =>
      list.every(({ index }, n) => n === 0 || index > list[n - 1]!.index);
    expect([isSorted(inOrder), isSorted(free)]).toEqual([true, false]);
    for (const { at, index } of free) {
      expect(at - index).toBeGreaterThanOrEqual(10);
      expect(at - index).toBeLessThan(60);
    }
  });

  it("loses the share that it is told, and never more in a row than its cap", () => {
    const { arrivals, link } = run({ lossRate: 0.3, burstCapPackets: 3 }, every(10_000, 1));
    expect(link.counts.lost / 10_000).toBeGreaterThan(0.27);
    expect(link.counts.lost / 10_000).toBeLessThan(0.31);
    expect(longestGap(arrivals, 10_000)).toBe(3);
  });

  it("loses in bursts in the Gilbert model", () => {
    const gilbert = { enterRate: 0.01, leaveRate: 0.2, lossRate: 0.9 };
    const { arrivals, link } = run({ gilbert }, every(20_000, 1));
    // Share of time in the bad state: 0.01 / 0.21.
    expect(link.counts.lost / 20_000).toBeGreaterThan(0.03);
    expect(link.counts.lost / 20_000).toBeLessThan(0.06);
    expect(longestGap(arrivals, 20_000)).toBeGreaterThan(6);
  });

  it("duplicates with bytes of their own", () => {
    const { arrivals, link } = run({ duplicateRate: 0.1 }, every(1000, 1));
    expect(link.counts.duplicated).toBeGreaterThan(70);
    expect(arrivals).toHaveLength(1000 + link.counts.duplicated);
    expect(new Set(arrivals.map(({ bytes }) => bytes)).size).toBe(arrivals.length);
  });

  it("reorders by holding back", () => {
    const { arrivals, link } = run({ delayMs: 5, reorderRate: 0.1, reorderDelayMs: 7 }, every(1000, 1));
    expect(link.counts.reordered).toBeGreaterThan(70);
    expect(arrivals.filter(({ at, index }) => at - index === 12)).toHaveLength(link.counts.reordered);
    expect(arrivals.filter(({ at, index }) => at - index === 5)).toHaveLength(1000 - link.counts.reordered);
  });

  it("corrupts exactly one byte", () => {
    const { arrivals, link } = run({ corruptRate: 0.2, burstCapPackets: 2 }, every(1000, 1), 100);
    const changed = arrivals.map(({ bytes }, index) => {
      const original = datagram(index, 100).bytes;
      return bytes.reduce((count, byte, at) => count + (byte === original[at] ? 0 : 1), 0);
    });
    expect(Math.max(...changed)).toBe(1);
    expect(changed.filter((count) => count === 1)).toHaveLength(link.counts.corrupted);
    expect(link.counts.corrupted).toBeGreaterThan(120);
  });

  it("swallows what is larger than its MTU, which may change", () => {
    const { world, link, arrivals } = passThrough({ mtuBytes: 1250 }, every(10, 1), 1222);
    world.at(4.5, () => link.set({ mtuBytes: 1249 }));
    world.run(Number.POSITIVE_INFINITY);
    expect([arrivals.length, link.counts.tooLarge]).toEqual([5, 5]);
  });

  it("is a black hole while it is down, for what arrives then", () => {
    const { world, link, arrivals } = passThrough({ delayMs: 10 }, every(100, 1));
    world.at(29.5, () => link.set({ isDown: true }));
    world.at(59.5, () => link.set({ isDown: false }));
    world.run(Number.POSITIVE_INFINITY);
    expect(arrivals.filter(({ at }) => at > 29.5 && at < 59.5)).toHaveLength(0);
    expect([arrivals.length, link.counts.blackHoled]).toEqual([70, 30]);
  });

  it("polices to a rate after a burst", () => {
    // 1250 bytes per ms offered for two seconds: 10 Mbit/s against 5.
    const { arrivals } = run({ policer: { rateMbit: 5, burstBytes: 12_500 } }, every(2000, 1));
    expect(arrivals.slice(0, 10).map(({ index }) => index)).toEqual(every(10, 1));
    expect(Math.abs(arrivals.length - 1010)).toBeLessThanOrEqual(10);
  });

  it("drops by a script", () => {
    const { arrivals } = run({ drop: (index) => index >= 2 && index <= 7 }, every(10, 1));
    expect(arrivals.map(({ index }) => index)).toEqual([0, 7, 8, 9]);
  });

  it("tells how long datagrams waited", () => {
    const { link } = run({ rateMbit: 10 }, burst(5));
    expect(link.waitsMs).toEqual([0, 1, 2, 3, 4]);
    expect(median(link.waitsMs)).toBe(2);
  });
});

/** The link emulator itself, measured with plain datagrams: what other tests rely on. */

import { spawn } from "node:child_process";
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pause, within } from "../lib/deadline.ts";
import { type EmulatedLink, type EmulatedLinkOptions, startEmulator } from "../lib/emulator-process.ts";
import { builtFile } from "../lib/paths.ts";
import { openUdp } from "../lib/udp.ts";

const DATAGRAM_BYTES = 1200;
const MAX_BURST = 40;
const PACKET_BITS = (DATAGRAM_BYTES + 28) * 8;

let source: Socket;
let target: Socket;
let link: EmulatedLink | undefined;
/** What arrived at the target: the datagram's number, when, how long after it was sent, and from which port. */
let arrived: { n: number; atMs: number; tookMs: number; fromPort: number; intact: boolean }[];

beforeEach(async () => {
  source = await openUdp();
  target = await openUdp();
  target.setRecvBufferSize(1 << 20);
  arrived = [];
  target.on("message", (bytes, { port }) => {
    const atMs = performance.now();
    const intact = bytes.subarray(16).every((byte) => byte === 0x5a);
    arrived.push({
      n: bytes.readDoubleLE(0),
      atMs,
      tookMs: atMs - bytes.readDoubleLE(8),
      fromPort: port,
      intact,
    });
  });
});

afterEach(() => {
  link?.stop();
  link = undefined;
  source.close();
  target.close();
});

async function open(options: Omit<EmulatedLinkOptions, "targetPort">): Promise<EmulatedLink> {
  link = await startEmulator({ ...options, targetPort: target.address().port });
  return link;
}

function send(n: number, lengthBytes = DATAGRAM_BYTES): void {
  const bytes = Buffer.alloc(lengthBytes, 0x5a);
  bytes.writeDoubleLE(n, 0);
  bytes.writeDoubleLE(performance.now(), 8);
  source.send(bytes, link!.port, "127.0.0.1");
}

/** Sends datagrams 0 … count-1 at a steady pace, and waits until what can arrive has arrived. */
async function stream(
  count: number,
  perSecond: number,
  thenMs: number,
  lengthBytes: number = DATAGRAM_BYTES,
): Promise<void> {
  const startedMs = performance.now();
  for (let n = 0; n < count; ) {
    const due = Math.min(count, ((performance.now() - startedMs) * perSecond) / 1000);
    // After a pause of this process only part of what is due is sent at a time: the sockets' buffers are small.
    for (const until = Math.min(due, n + MAX_BURST); n < until; ) send(n++, lengthBytes);
    await pause(1);
  }
  await pause(thenMs);
}

/** Mbit/s at which datagrams arrived. */
function rateOf(some: readonly { readonly atMs: number }[]): number {
  return ((some.length - 1) * PACKET_BITS) / (some.at(-1)!.atMs - some[0]!.atMs) / 1000;
}

function quantile(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
}

describe("the link emulator", () => {
  it("delays by what was asked for, within a millisecond", async () => {
    await open({ both: { delayMs: 25 } });
    await stream(200, 500, 100);
    expect(arrived).toHaveLength(200);
    expect(Math.min(...arrived.map(({ tookMs }) => tookMs))).toBeGreaterThanOrEqual(25);
    // Other work on the machine delays this process: the fastest eighth of the datagrams shows the emulator's own delay.
    expect(
      quantile(
        arrived.map(({ tookMs }) => tookMs),
        1 / 8,
      ),
    ).toBeLessThan(26);
  });

  it.each([10, 100])("carries %d Mbit/s and no more", async (rateMbit) => {
    // A queue of 50 ms keeps the line busy while this process, which offers half as much again, is held up.
    await open({ both: { rateMbit, queueBytes: rateMbit * 6250, delayMs: 5 } });
    const perSecond = (rateMbit * 1.5e6) / PACKET_BITS;
    await stream(Math.round(perSecond), perSecond, 300);
    // No more on the whole. What else the machine does may hold this process up, so no less in its best tenth.
    expect(rateOf(arrived)).toBeLessThan(rateMbit * 1.05);
    const tenth = Math.floor(arrived.length / 10);
    const rates = Array.from({ length: 10 }, (_, i) => rateOf(arrived.slice(i * tenth, (i + 1) * tenth)));
    expect(Math.max(...rates)).toBeGreaterThan(rateMbit * 0.95);
    expect((await link!.report()).up.queueFull).toBeGreaterThan(0);
  });

  it("loses, duplicates, reorders and corrupts as often as asked", async () => {
    const both = {
      delayMs: 10,
      lossRate: 0.05,
      duplicateRate: 0.02,
      reorderRate: 0.05,
      reorderDelayMs: 10,
      corruptRate: 0.01,
    };
    await open({ both });
    // Small and slow: a quarter of a second without a processor fits into the sockets' buffers, so no other datagram is lost.
    await stream(4000, 1000, 400, 64);
    const { up } = await link!.report();
    // Three standard deviations of 4,000 draws are 1 % at most.
    expect(Math.abs(up.lost / 4000 - 0.05)).toBeLessThan(0.012);
    expect(Math.abs(up.duplicated / 3800 - 0.02)).toBeLessThan(0.008);
    expect(Math.abs(up.reordered / 3800 - 0.05)).toBeLessThan(0.012);
    expect(arrived).toHaveLength(4000 - up.lost + up.duplicated);
    expect(arrived.filter(({ intact, n }) => !intact || !Number.isInteger(n)).length).toBeGreaterThan(15);
    const late = arrived.filter(({ n }, at) => n < (arrived[at - 1]?.n ?? -1));
    // About 190 datagrams are held back by 10 ms; a process that falls behind sees fewer of them arrive late.
    expect(late.length).toBeGreaterThan(10);
  });

  it("never loses more in a row than the cap", async () => {
    await open({ both: { lossRate: 0.6, burstCapPackets: 3 } });
    await stream(1000, 4000, 100);
    const gaps = arrived.map(({ n }, at) => n - (arrived[at - 1]?.n ?? -1) - 1);
    expect(Math.max(...gaps)).toBe(3);
  });

  it("passes nothing in a black hole, and everything after it", async () => {
    await open({});
    await link!.blackHole(200, 500);
    await stream(400, 400, 100);
    const { up } = await link!.report();
    expect(up.blackHoled).toBeGreaterThan(80);
    expect(up.blackHoled).toBeLessThan(160);
    expect(arrived.at(-1)?.n).toBe(399);
  });

  it("drops what is larger than its MTU", async () => {
    await open({ both: { mtuBytes: DATAGRAM_BYTES + 28 } });
    send(0, DATAGRAM_BYTES + 1);
    send(1);
    await stream(0, 1, 100);
    expect(arrived.map(({ n }) => n)).toEqual([1]);
    expect((await link!.report()).up.tooLarge).toBe(1);
  });

  it("answers the right client, and shows the target another port after a rebind", async () => {
    await open({ both: { delayMs: 1 } });
    const echoed = async (): Promise<number> => {
      const answer = once(source, "message") as Promise<[Buffer]>;
      target.once("message", (bytes, { port, address }) => target.send(bytes, port, address));
      send(5);
      const [bytes] = await within(answer, 3000, () => "no echo");
      expect(bytes.readDoubleLE(0)).toBe(5);
      return arrived.at(-1)!.fromPort;
    };
    const before = await echoed();
    await link!.rebind("target");
    expect(await echoed()).not.toBe(before);
  });

  it("explains itself on the command line", async () => {
    const program = spawn(process.execPath, [
      fileURLToPath(builtFile("test/lib/emulator-main.js")),
      "--help",
    ]);
    const [[text], [status]] = await Promise.all([once(program.stdout, "data"), once(program, "exit")]);
    expect(String(text)).toContain("--reorder-delay");
    expect(status).toBe(0);
  });
});

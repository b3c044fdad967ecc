/**
 * Real transfers between real processes: both ways at once, into slow readers, through a bad path, under
 * junk. The sizes are those of CI; `npm run bench:pipe` carries the gigabytes.
 */
import { afterEach, describe, expect, it } from "vitest";
import { BytePattern } from "../lib/byte-pattern.ts";
import { pause } from "../lib/deadline.ts";
import { startEmulator } from "../lib/emulator-process.ts";
import { throwJunk } from "../lib/junk.ts";
import { type Pair, startPair } from "../lib/pair.ts";
import { endAll, type SrudpProcess } from "../lib/srudp-process.ts";

afterEach(endAll);

const MEBIBYTE = 1 << 20;
const MAX_RESIDENT_BYTES = 120e6;
const fromConnector = new BytePattern(1);
const fromListener = new BytePattern(2);

/** Both sides send `bytes` and check what they get; ends both, and compares what they say of it. */
async function exchange({ connector, listener }: Pair, bytes: number): Promise<void> {
  const send = async (from: SrudpProcess, pattern: BytePattern): Promise<void> => {
    await from.input.pump(pattern, bytes);
    from.input.end();
  };
  const [toListener, toConnector] = await Promise.all([
    listener.output.check(fromConnector),
    connector.output.check(fromListener),
    send(connector, fromConnector),
    send(listener, fromListener),
  ]);
  expect(toListener).toBe(bytes);
  expect(toConnector).toBe(bytes);
  expect(await connector.exit()).toBe(0);
  expect(await listener.exit()).toBe(0);
  const here = connector.events.findLast(({ event }) => event === "closed")!;
  const there = listener.events.findLast(({ event }) => event === "closed")!;
  expect(here.sent).toEqual({ bytes, sha256: fromConnector.sha256(bytes) });
  expect(there.sent).toEqual({ bytes, sha256: fromListener.sha256(bytes) });
  expect(there.received).toEqual(here.sent);
  expect(here.received).toEqual(there.sent);
}

describe("192 MiB each way at once", () => {
  // Some 106 to 117 MB, as the garbage collector's moments fall; what is sent is far more than what lies in between.
  const BOUND_BYTES = 160e6;

  it.each([4, 6] as const)("arrive whole over IPv%d, in bounded memory", async (family) => {
    const pair = await startPair({ family });
    await exchange(pair, 192 * MEBIBYTE);
    expect(pair.connector.meter.peakResidentBytes).toBeLessThan(BOUND_BYTES);
    expect(pair.listener.meter.peakResidentBytes).toBeLessThan(BOUND_BYTES);
  });
});

describe("backpressure", () => {
  it("holds the writer back while nothing is read, in bounded memory, and loses nothing", async () => {
    const { connector, listener } = await startPair();
    await connector.input.fill(fromConnector);
    // What was taken stands in windows and pipes: a few megabytes, not the writer's gigabytes.
    expect(connector.input.writtenBytes).toBeLessThan(32 * MEBIBYTE);
    expect(connector.meter.peakResidentBytes).toBeLessThan(MAX_RESIDENT_BYTES);
    expect(listener.meter.peakResidentBytes).toBeLessThan(MAX_RESIDENT_BYTES);
    connector.input.end();
    listener.input.end();
    expect(await listener.output.check(fromConnector)).toBe(connector.input.writtenBytes);
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("follows a slow reader", async () => {
    const { connector, listener } = await startPair();
    const total = 48 * MEBIBYTE;
    const sent = connector.input.pump(fromConnector, total).then(() => connector.input.end());
    const startedMs = performance.now();
    const isSlow = () => performance.now() - startedMs < 3000;
    let writtenWhileSlow = 0;
    const received = await listener.output.check(fromConnector, (soFar) => {
      if (!isSlow()) return undefined;
      writtenWhileSlow = connector.input.writtenBytes;
      // 1 MB/s
      return pause(Math.max(0, soFar / 1000 - (performance.now() - startedMs)));
    });
    await sent;
    expect(received).toBe(total);
    expect(writtenWhileSlow).toBeLessThan(32 * MEBIBYTE);
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
    expect(connector.meter.peakResidentBytes).toBeLessThan(MAX_RESIDENT_BYTES);
    expect(listener.meter.peakResidentBytes).toBeLessThan(MAX_RESIDENT_BYTES);
  });

  it("does not hold up small things: each byte comes through as it is written", async () => {
    const { connector, listener } = await startPair();
    for (let n = 0; n < 200; n++) {
      await connector.input.write("x");
      expect(await listener.output.takeText(1)).toBe("x");
    }
  });
});

describe("a path that loses 5 %, duplicates 2 %, reorders 5 %, corrupts 1 %, 50 ms there and back", () => {
  it("carries 2 MB each way intact", async () => {
    const seed = 2;
    let stop = (): void => {};
    const pair = await startPair({
      dialer: async (targetPort) => {
        const link = await startEmulator({
          targetPort,
          seed,
          both: {
            delayMs: 25,
            lossRate: 0.05,
            duplicateRate: 0.02,
            reorderRate: 0.05,
            reorderDelayMs: 10,
            corruptRate: 0.01,
          },
        });
        stop = link.stop;
        return link.peer;
      },
    });
    await exchange(pair, 2_000_000);
    stop();
  }, 120_000);
});

describe("junk from a third socket at 5,000 datagrams a second", () => {
  it("does not harm a transfer", async () => {
    const pair = await startPair();
    const { connector, listener } = pair;
    const floodMs = 3000;
    let isOver = false;
    const flood = throwJunk(pair, 5000, floodMs).finally(() => {
      isOver = true;
    });
    const sent = connector.input
      .pump(fromConnector, Number.MAX_SAFE_INTEGER, () => isOver)
      .then(() => connector.input.end());
    const received = await listener.output.check(fromConnector);
    await sent;
    expect(await flood).toBeGreaterThan((floodMs / 1000) * 4500);
    expect(received).toBe(connector.input.writtenBytes);
    expect(received).toBeGreaterThan(MEBIBYTE);
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });
});

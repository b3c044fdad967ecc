/** A path that changes under a transfer: outages, moved addresses, and the silence that is the end. */
import { afterEach, describe, expect, it } from "vitest";
import { BytePattern } from "../lib/byte-pattern.ts";
import { pause } from "../lib/deadline.ts";
import { type EmulatedLink, startEmulator } from "../lib/emulator-process.ts";
import { type Pair, type PairOptions, startPair } from "../lib/pair.ts";
import { endAll } from "../lib/srudp-process.ts";

let link: EmulatedLink | undefined;

afterEach(async () => {
  link?.stop();
  link = undefined;
  await endAll();
});

const pattern = new BytePattern(6);

async function startOverLink(options: PairOptions = {}): Promise<{ pair: Pair; link: EmulatedLink }> {
  const pair = await startPair({
    ...options,
    dialer: async (targetPort) => {
      link = await startEmulator({
        targetPort,
        seed: 6,
        both: { delayMs: 10, rateMbit: 20, queueBytes: 100_000 },
      });
      return link.peer;
    },
  });
  return { pair, link: link! };
}

/** Pumps for so long, lets `disturb` happen meanwhile, and sees that everything has arrived. */
async function pumpThrough(
  { connector, listener }: Pair,
  forMs: number,
  disturb: () => Promise<void>,
): Promise<void> {
  const startedMs = performance.now();
  const isOver = (): boolean => performance.now() - startedMs > forMs;
  const [received] = await Promise.all([
    listener.output.check(pattern),
    connector.input.pump(pattern, Number.MAX_SAFE_INTEGER, isOver).then(() => connector.input.end()),
    disturb(),
  ]);
  expect(received).toBe(connector.input.writtenBytes);
  expect(received).toBeGreaterThan(1_000_000);
  listener.input.end();
  expect(await connector.exit()).toBe(0);
  expect(await listener.exit()).toBe(0);
}

describe("a transfer", () => {
  it("survives two seconds in which nothing passes", async () => {
    const { pair, link } = await startOverLink();
    await pumpThrough(pair, 5000, async () => {
      await link.blackHole(1000, 3000);
    });
    expect((await link.report()).up.blackHoled).toBeGreaterThan(0);
  });

  it("goes on when the path takes only smaller datagrams than before", async () => {
    const { pair, link } = await startOverLink();
    await pumpThrough(pair, 6000, async () => {
      // By then the search has found what the path takes, and uses it.
      await pause(2000);
      await link.change({ up: { mtuBytes: 1308 }, down: { mtuBytes: 1308 } });
    });
    const { up } = await link.report();
    expect(up.tooLarge).toBeGreaterThan(0);
  });

  it.each(["target", "client", "both"] as const)(
    "goes on when the address changes (seen by: %s)",
    async (side) => {
      const { pair, link } = await startOverLink();
      await pumpThrough(pair, 4000, async () => {
        await pause(1000);
        await link.rebind(side);
      });
    },
  );
});

describe("a path that dies", () => {
  it("ends both sides with 74 after their idle timeout", async () => {
    const idle = ["--idle-timeout", "2"];
    const { pair, link } = await startOverLink({ listenWords: idle, connectWords: idle });
    await pair.connector.input.write("before\n");
    expect(await pair.listener.output.takeText(7)).toBe("before\n");
    await link.change({ up: { isDown: true }, down: { isDown: true } });
    for (const failed of await Promise.all([pair.connector.failure(6000), pair.listener.failure(6000)])) {
      expect(failed).toMatchObject({ status: 74, code: "ERR_LINK_LOST" });
    }
  });

  it("in one direction only ends both sides all the same", async () => {
    const idle = ["--idle-timeout", "2"];
    const { pair, link } = await startOverLink({ listenWords: idle, connectWords: idle });
    await link.change({ up: { isDown: true } });
    await pair.connector.input.write("into the dark\n");
    expect((await pair.connector.failure(8000)).status).toBe(74);
    expect((await pair.listener.failure(8000)).status).toBe(74);
  });
});

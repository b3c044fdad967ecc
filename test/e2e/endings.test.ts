/** The end of a link over a path that loses every third packet: nobody is left waiting for a goodbye. */
import { afterEach, describe, expect, it } from "vitest";
import { type EmulatedLink, startEmulator } from "../lib/emulator-process.ts";
import { startPair } from "../lib/pair.ts";
import { endAll } from "../lib/srudp-process.ts";

const links: EmulatedLink[] = [];

afterEach(async () => {
  for (const link of links.splice(0)) link.stop();
  await endAll();
});

const LOSSY = { delayMs: 10, rateMbit: 20, queueBytes: 100_000, lossRate: 0.3, burstCapPackets: 3 };
const RUNS = 8;
/** Data, its end and the receipts have to get through first; the goodbye itself takes 3 s at most. */
const EXIT_MS = 7000;
/** The goodbye, and the process's own end. */
const GOODBYE_MS = 4500;

async function over(seed: number): Promise<Awaited<ReturnType<typeof startPair>>> {
  return startPair({
    dialer: async (targetPort) => {
      const link = await startEmulator({ targetPort, seed, both: LOSSY });
      links.push(link);
      return link.peer;
    },
  });
}

describe("over a path that loses 30 % each way", () => {
  it(`both sides exit with 0 within ${EXIT_MS} ms of the end of input, ${RUNS} times`, async () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const { listener, connector } = await over(seed);
      await connector.input.write("all that there is\n");
      expect(await listener.output.takeText(18)).toBe("all that there is\n");
      connector.input.end();
      listener.input.end();
      const exits = await Promise.all([connector.exit(EXIT_MS), listener.exit(EXIT_MS)]);
      expect([seed, ...exits]).toEqual([seed, 0, 0]);
    }
  });

  it("Ctrl-C is known at the other side within seconds", async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const { listener, connector } = await over(seed);
      connector.kill("SIGINT");
      expect(await connector.exit(GOODBYE_MS)).toBe(130);
      expect(await listener.failure(GOODBYE_MS)).toMatchObject({ status: 74, code: "ERR_PEER_RESET" });
    }
  });
});

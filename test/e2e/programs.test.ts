/** Programs at one end of a link (`-e`): their output, their status, and what they leave unread. */
import { afterEach, describe, expect, it } from "vitest";
import { type Pair, startPair } from "../lib/pair.ts";
import { endAll } from "../lib/srudp-process.ts";

afterEach(endAll);

/** A listener that runs `script` for its peer. */
function startProgram(script: string): Promise<Pair> {
  return startPair({ listenWords: ["-e", "--", "sh", "-c", script] });
}

const RUNS = 8;
const MEBIBYTE = 1 << 20;

describe("a program that ends without reading its input", () => {
  it(`has its output delivered and its status passed on, ${RUNS} times`, async () => {
    for (let run = 1; run <= RUNS; run++) {
      const { listener, connector } = await startProgram("echo started; exit 3");
      // The program may have ended, and the link with it, before the connector is given its input.
      await connector.input.write("hello\n").catch(() => undefined);
      connector.input.end();
      expect((await connector.output.rest()).toString()).toBe("started\n");
      const statuses = await Promise.all([listener.exit(), connector.exit()]);
      expect([run, ...statuses]).toEqual([run, 3, 0]);
    }
  });

  it("ends the link while the peer's input goes on, and the peer says how many bytes were left unread", async () => {
    // One byte, so that the program is still there when some have been sent.
    const { listener, connector } = await startProgram("echo started; head -c 1 >/dev/null");
    const wrote = connector.input.write(Buffer.alloc(8 * MEBIBYTE)).catch(() => undefined);
    expect((await connector.output.rest()).toString()).toBe("started\n");
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
    connector.release();
    await wrote;
    const closed = await connector.event("closed");
    const unread = connector.events.find(({ event }) => event === "unread");
    expect(unread?.bytes).toBeGreaterThan(0);
    expect(unread?.bytes).toBeLessThanOrEqual(closed.sent.bytes);
  });
});

it("a program that a signal ends leaves its peer with status 74, after all of its output", async () => {
  const { listener, connector } = await startProgram("echo started; head -c 1 >/dev/null; kill -KILL $$");
  connector.input.write(Buffer.alloc(8 * MEBIBYTE)).catch(() => undefined);
  expect((await connector.output.rest()).toString()).toBe("started\n");
  expect(await connector.failure()).toMatchObject({ status: 74, code: "ERR_PEER_OUTPUT_CLOSED" });
  expect(await listener.exit()).toBe(137);
});

it("an output that is no program's and closes early leaves the peer with status 74", async () => {
  const { listener, connector } = await startPair();
  listener.output.close();
  connector.input.write(Buffer.alloc(MEBIBYTE)).catch(() => undefined);
  expect(await connector.failure()).toMatchObject({ status: 74, code: "ERR_PEER_OUTPUT_CLOSED" });
  expect(await listener.exit()).toBe(141);
});

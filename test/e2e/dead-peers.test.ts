/** `listen -k` after a peer that died without a word: whoever comes next is served, and nothing stays behind. */
import { afterEach, expect, it } from "vitest";
import { keyCommand, secretFile } from "../lib/identities.ts";
import { loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

afterEach(endAll);

/** A new peer has to be served within this, or be told that it will not be. */
const ROOM_MS = 10_000;
const ANSWER_MS = 3000;

interface KeepOpen {
  readonly listener: SrudpProcess;
  /** A connector that has its link. */
  connect(...words: string[]): Promise<SrudpProcess>;
}

async function keepOpen(...words: string[]): Promise<KeepOpen> {
  const trust = ["--secret-file", secretFile(await keyCommand(["secret"]))];
  const { listener, port } = await startListener(["-k", ...trust, ...words]);
  const connect = async (...more: string[]): Promise<SrudpProcess> => {
    const connector = SrudpProcess.start(["connect", loopback(port), ...trust, ...more]);
    await connector.event("connected");
    return connector;
  };
  return { listener, connect };
}

it("a peer that was killed makes room for the next one within 10 s", async () => {
  const { listener, connect } = await keepOpen();
  const first = await connect();
  await first.input.write("first\n");
  expect(await listener.output.takeText(6)).toBe("first\n");
  first.kill("SIGKILL");
  await first.ended;

  const startedMs = performance.now();
  const second = await connect();
  await second.input.write("second\n");
  second.input.end();
  expect(await listener.output.takeText(7)).toBe("second\n");
  expect(performance.now() - startedMs).toBeLessThan(ROOM_MS);
  expect(await listener.event("error")).toMatchObject({ code: "ERR_LINK_LOST" });
  await listener.input.write("answer\n");
  expect(await second.output.takeText(7)).toBe("answer\n");
});

it("of several that wait for the place of a killed peer, one gets it and the others hear that it is busy", async () => {
  const { listener, connect } = await keepOpen();
  const first = await connect();
  await first.input.write("first\n");
  expect(await listener.output.takeText(6)).toBe("first\n");
  first.kill("SIGKILL");
  await first.ended;
  const waiting = await Promise.all([connect(), connect(), connect()]);
  const outcomes = waiting.map(async (connector) => {
    await connector.input.write("x");
    return connector.ended;
  });
  expect(await listener.output.takeText(1)).toBe("x");
  const ended = new Set<number>();
  await expect
    .poll(
      () => {
        for (const [index, connector] of waiting.entries())
          if (connector.events.some(({ event }) => event === "error")) ended.add(index);
        return ended.size;
      },
      { timeout: ROOM_MS },
    )
    .toBe(2);
  for (const index of ended)
    expect(await waiting[index]!.failure()).toMatchObject({ status: 75, code: "ERR_BUSY" });
  for (const connector of waiting) connector.kill("SIGKILL");
  await Promise.all(outcomes.map((outcome) => outcome.catch(() => undefined)));
});

it("a peer that is alive keeps its place, and the next one is told so at once and without advice to use -k", async () => {
  const { listener, connect } = await keepOpen();
  const first = await connect();
  await first.input.write("first\n");
  expect(await listener.output.takeText(6)).toBe("first\n");
  const second = await connect();
  const failed = await second.failure(ANSWER_MS);
  expect(failed).toMatchObject({ status: 75, code: "ERR_BUSY" });
  expect(failed.message).not.toContain("-k");
  await first.input.write("still here\n");
  expect(await listener.output.takeText(11)).toBe("still here\n");
});

it("a killed peer's link ends after the idle timeout that the peer itself had", async () => {
  const { listener, connect } = await keepOpen("-e", "--", "sh", "-c", "echo ready; exec sleep 1000");
  const connector = await connect("--idle-timeout", "2");
  expect(await connector.output.takeText(6)).toBe("ready\n");
  connector.kill("SIGKILL");
  expect(await listener.event("error", ROOM_MS)).toMatchObject({ code: "ERR_LINK_LOST" });
});

/** Two machines whose clocks disagree meet all the same, or are told that it is the clock. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { CODE } from "../lib/pair.ts";
import { builtFile } from "../lib/paths.ts";
import { endAll, SrudpProcess, type StartOptions, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(endAll);

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const NO_NET = ["--no-dht", "--no-port-mapping"];

/** What starts a process with a clock that is off. */
function clockOffBy(shiftMs: number, env: Readonly<Record<string, string>> = {}): StartOptions {
  const preload = builtFile("test/lib/shifted-clock.js");
  return { env: { ...env, NODE_OPTIONS: `--import ${preload}`, SRUDP_TEST_CLOCK_SHIFT_MS: `${shiftMs}` } };
}

async function startRendezvous(shiftMs = 0): Promise<string> {
  const words = ["rendezvous", "--host", "127.0.0.1", "--port", "0"];
  const server = SrudpProcess.start(words, { stdin: "nothing", ...clockOffBy(shiftMs) });
  return /:(\d+)$/.exec((await server.event("rendezvous")).udp[0])![1]!;
}

async function link(
  listener: SrudpProcess,
  connector: SrudpProcess,
  timeoutMs?: number,
): Promise<[listener: number, connector: number]> {
  await Promise.all([listener.event("connected", timeoutMs), connector.event("connected", timeoutMs)]);
  for (const one of [listener, connector]) one.input.end();
  return await Promise.all([listener.exit(), connector.exit()]);
}

describe("a code", () => {
  const code = { SRUDP_CODE: CODE };

  it.each([
    ["udp", "an hour behind", -HOUR_MS, 0],
    ["ws", "an hour behind", -HOUR_MS, 0],
    ["udp", "seven hours apart, and both wrong", 3 * HOUR_MS, -4 * HOUR_MS],
  ])("links by a rendezvous server (%s) when the clocks are %s", async (scheme, _what, one, other) => {
    const ways = [...NO_NET, "--no-lan", "--rendezvous", `${scheme}://127.0.0.1:${await startRendezvous()}`];
    const listener = SrudpProcess.start(["listen", ...ways], clockOffBy(one, code));
    const connector = SrudpProcess.start(["connect", ...ways, "-w", "20"], clockOffBy(other, code));
    const reported = await listener.event("clock");
    expect(Math.abs(reported.aheadMs + one)).toBeLessThan(MINUTE_MS);
    expect(await link(listener, connector)).toEqual([0, 0]);
  });

  it("that finds nobody because a clock is days off says so", async () => {
    const ways = [...NO_NET, "--no-lan", "--rendezvous", `udp://127.0.0.1:${await startRendezvous()}`];
    SrudpProcess.start(["listen", ...ways], { env: code });
    const shifted = clockOffBy(-72 * HOUR_MS - 10 * MINUTE_MS, code);
    const failure = await SrudpProcess.start(["connect", ...ways, "-w", "4"], shifted).failure();
    expect(failure).toMatchObject({ status: 75, code: "ERR_TIMEOUT" });
    expect(failure.message).toContain("this machine's clock is 3 d behind the rendezvous server's");
  });

  it("links on the local network, without anybody who tells the time, when the clocks are 25 minutes apart", async () => {
    const stun = ["--stun", "127.0.0.1:9"];
    const listener = SrudpProcess.start(["listen", ...NO_NET, ...stun], { env: code });
    await listener.event("listening");
    const shifted = clockOffBy(-25 * MINUTE_MS, code);
    const connector = SrudpProcess.start(["connect", ...NO_NET, ...stun, "-w", "40"], shifted);
    expect(await link(listener, connector, 40_000)).toEqual([0, 0]);
  }, 60_000);
});

describe("a ticket", () => {
  it("from a machine whose clock is 15 minutes behind links, and the clock is named", async () => {
    const answerFile = join(temporaryFolder(), "answer");
    const stun = ["--stun", "127.0.0.1:9"];
    const listener = SrudpProcess.start(
      ["listen", "--ticket", "--answer-file", answerFile, ...NO_NET, "--no-lan", ...stun],
      clockOffBy(-15 * MINUTE_MS),
    );
    const { ticket } = await listener.event("ticket");
    const connector = SrudpProcess.start(["connect", ticket, ...NO_NET, "--no-lan", ...stun]);
    expect((await connector.event("clock")).expiredMs).toBeGreaterThan(4 * MINUTE_MS);
    const answer = await connector.event("answer");
    writeFileSync(answerFile, `${answer.ticket}\n`, { mode: 0o600 });
    expect(await link(listener, connector)).toEqual([0, 0]);
  });

  it("that is two days old has expired: 75", async () => {
    const listener = SrudpProcess.start(
      ["listen", "--ticket", "--answer-file", "/nonexistent/answer", ...NO_NET, "--no-lan"],
      clockOffBy(-48 * HOUR_MS),
    );
    const { ticket } = await listener.event("ticket");
    const failure = await SrudpProcess.start(["connect", ticket, ...NO_NET, "--no-lan"]).failure();
    expect(failure).toMatchObject({ status: 75, code: "ERR_TICKET_EXPIRED" });
  });
});

/** What is fast works without being fast: every cipher and the plain sockets, and the measuring of a link. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { BytePattern } from "../lib/byte-pattern.ts";
import { CODE, loopback, startListener, startPair } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

afterEach(endAll);

const BYTES = 3_000_000;

/** Node with this in NODE_OPTIONS has no koffi. */
function withoutKoffi(): string {
  const file = join(mkdtempSync(join(tmpdir(), "srudp-")), "without-koffi.cjs");
  writeFileSync(
    file,
    `const Module = require("node:module");
     const resolve = Module._resolveFilename;
     Module._resolveFilename = function (name, ...rest) {
       if (name === "koffi") throw Object.assign(new Error("none"), { code: "MODULE_NOT_FOUND" });
       return resolve.call(this, name, ...rest);
     };`,
  );
  return `--require ${file}`;
}

async function carries(listenEnv: Record<string, string>, connectEnv: Record<string, string>): Promise<void> {
  const pattern = new BytePattern(9);
  const { connector, listener } = await startPair({
    listen: { stdin: "nothing", env: listenEnv },
    connect: { stdout: "nothing", env: connectEnv },
  });
  const sent = connector.input.pump(pattern, BYTES).then(() => connector.input.end());
  expect(await listener.output.check(pattern)).toBe(BYTES);
  await sent;
  expect(await connector.exit()).toBe(0);
  expect(await listener.exit()).toBe(0);
}

describe("the pipe", () => {
  it.each(["node", "noble"])(
    "carries every byte between two ciphers, one of them by %s",
    async (provider) => {
      await carries({ SRUDP_PROVIDER: provider }, {});
      await carries({}, { SRUDP_PROVIDER: provider });
    },
  );

  it("carries every byte between sockets with and without offload", async () => {
    await carries({ SRUDP_OFFLOAD: "off" }, {});
    await carries({}, { SRUDP_OFFLOAD: "off" });
  });

  it("carries every byte where koffi is missing, and says what it does without", async () => {
    const env = { NODE_OPTIONS: withoutKoffi() };
    await carries(env, env);
    const { listener } = await startListener([], { env: { ...env, SRUDP_CODE: CODE } });
    expect(listener.events[0]).toMatchObject({ event: "hello", cipher: "node", offload: "none" });
  });

  it("refuses a cipher that there is none of", async () => {
    const process = SrudpProcess.start(["listen", "0"], {
      env: { SRUDP_PROVIDER: "rot13", SRUDP_CODE: CODE },
    });
    expect(await process.exit()).toBe(64);
  });
});

describe("srudp bench", () => {
  it("measures both directions, round trips and the path, and the listener ends well", async () => {
    const { listener, port } = await startListener(["--allow-bench"], { env: { SRUDP_CODE: CODE } });
    const bench = SrudpProcess.start(["bench", loopback(port), "-t", "0.3"], { env: { SRUDP_CODE: CODE } });
    const result = await bench.event("bench");
    for (const rate of [result.upRate, result.downRate]) expect(rate).toBeGreaterThan(1_000_000);
    expect(result.roundTripMs).toMatchObject({ count: expect.any(Number), median: expect.any(Number) });
    expect(result).toMatchObject({ path: "direct" });
    expect(await bench.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("is refused by a listener that does not allow it, and both sides say so", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const bench = SrudpProcess.start(["bench", loopback(port), "-t", "0.3"], { env: { SRUDP_CODE: CODE } });
    expect(await listener.event("unforwarded")).toMatchObject({ by: "peer", code: "ERR_BENCH_FORBIDDEN" });
    expect(await bench.failure()).toMatchObject({ status: 77, code: "ERR_BENCH_FORBIDDEN" });
  });
});

import { describe, expect, it } from "vitest";
import { connect, listen, meet } from "../../../src/index.ts";
import { LOOPBACK, SECRET } from "./loopback.ts";

const PEER = { host: LOOPBACK, port: 9, secret: SECRET };
/** Of what JavaScript may pass and TypeScript does not: the call as it would be made there. */
const untyped = { connect, listen, meet } as unknown as Record<
  "connect" | "listen" | "meet",
  (options?: unknown) => Promise<unknown>
>;

describe("connect() refuses at once", () => {
  it.each([
    ["no options", undefined],
    ["null", null],
    ["no host", { port: 9, secret: SECRET }],
    ["an empty host", { ...PEER, host: "" }],
    ["a host that is no text", { ...PEER, host: 7 }],
    ["no port", { host: LOOPBACK, secret: SECRET }],
    ["port 0", { ...PEER, port: 0 }],
    ["a port beyond 65535", { ...PEER, port: 99_999 }],
    ["a negative port", { ...PEER, port: -1 }],
    ["half a port", { ...PEER, port: 9.5 }],
    ["a port as text", { ...PEER, port: "9" }],
    ["a local port beyond 65535", { ...PEER, localPort: 65_536 }],
    ["a family that is none", { ...PEER, family: 5 }],
    ["a time that is no number", { ...PEER, timeoutMs: Number.NaN }],
    ["a negative time", { ...PEER, timeoutMs: -1 }],
    ["a negative idle time", { ...PEER, idleTimeoutMs: -1 }],
    ["an unknown controller", { ...PEER, congestion: "reno" }],
  ])("%s", async (_, options) => {
    await expect(untyped.connect(options)).rejects.toMatchObject({ code: "ERR_USAGE" });
  });

  it("and names the option and its value", async () => {
    await expect(connect({ ...PEER, port: 99_999 })).rejects.toThrow("port is 99999");
  });
});

describe("listen() refuses at once", () => {
  it.each([
    ["no options", undefined],
    ["a port beyond 65535", { secret: SECRET, port: 65_536 }],
    ["no links at all", { secret: SECRET, maxLinks: 0 }],
    ["a time that is no number", { secret: SECRET, timeoutMs: "5" }],
  ])("%s", async (_, options) => {
    await expect(untyped.listen(options)).rejects.toMatchObject({ code: "ERR_USAGE" });
  });
});

it("meet() refuses to be called without options", async () => {
  await expect(untyped.meet()).rejects.toMatchObject({ code: "ERR_USAGE" });
});

it("a time beyond what Node's timers know is waited for, not taken for none", async () => {
  const abort = new AbortController();
  const reaching = connect({ ...PEER, timeoutMs: 2 ** 31, signal: abort.signal });
  setTimeout(() => abort.abort(new Error("enough")), 50);
  await expect(reaching).rejects.toThrow("enough");
});

/** Strangers who guess without a pause at the code of a listener that stays open. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { utf8Encode } from "../../src/base/bytes.ts";
import { listen } from "../../src/index.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { guess } from "../lib/guesser.ts";
import { startListener } from "../lib/pair.ts";
import { endAll } from "../lib/srudp-process.ts";

const WRONG = { code: utf8Encode("7-abandon-ability-able") };

afterEach(endAll);
afterEach(() => {
  vi.restoreAllMocks();
});

describe("64 wrong guesses at the code of listen -k", () => {
  it("use up three codes at most, and are reported a few times", async () => {
    const { listener, port } = await startListener(["-k"]);
    for (let n = 0; n < 64; n++) {
      // Three from each address: none is refused.
      expect(["refused", "silence"]).toContain(await guess(port, `127.0.1.${Math.floor(n / 3) + 1}`, WRONG));
    }
    const burnt = listener.events.filter(({ event }) => event === "burnt");
    expect(burnt.length).toBeGreaterThan(0);
    expect(burnt.map(({ nextInMs }) => nextInMs)).toEqual([2000, 8000, 32_000].slice(0, burnt.length));
    expect(listener.events.filter(({ event }) => event === "code").length).toBeLessThanOrEqual(2);
    expect(listener.events.filter(({ event }) => event === "guess").length).toBeLessThanOrEqual(9);
  }, 60_000);
});

describe("codes that replace each other", () => {
  it("take scrypt one after another, and only for the first and the last of many", async () => {
    const scrypt = vi.spyOn(nodePrimitives, "scrypt");
    const ways = { dht: false, lan: false, portMapping: false, rendezvous: [], stun: [] };
    const listener = await listen({ code: "1-zoo-zoo-zoo", meet: ways, localAddress: "127.0.0.1" });
    for (let n = 2; n <= 21; n++) listener.setCode(`${n}-zoo-zoo-zoo`);
    await vi.waitUntil(
      () => scrypt.mock.settledResults.filter(({ type }) => type === "fulfilled").length >= 3,
      {
        timeout: 20_000,
      },
    );
    const codes = scrypt.mock.calls.map(([password]) => String.fromCharCode(...password));
    expect(codes).toEqual(["1-zoo-zoo-zoo", "21-zoo-zoo-zoo", "21-zoo-zoo-zoo"]);
    await listener.close();
  }, 60_000);
});

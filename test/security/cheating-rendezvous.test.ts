/** What the operator of a rendezvous server can do to two that meet there: hinder them, and nothing else. */
import { afterEach, describe, expect, it } from "vitest";
import { type Cheat, CheatingProxy } from "../lib/cheating-proxy.ts";
import { CODE } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

let proxy: CheatingProxy | undefined;

afterEach(async () => {
  await endAll();
  await proxy?.close();
  proxy = undefined;
});

const env = { SRUDP_CODE: CODE };

/** A server behind the proxy, and the options of two that know of no other place. */
async function cheatedPlace(cheat: Cheat, ...words: string[]): Promise<string[]> {
  const server = SrudpProcess.start(["rendezvous", "--port", "0", "--host", "127.0.0.1"], {
    stdin: "nothing",
  });
  const { ws } = await server.event("rendezvous");
  proxy = await CheatingProxy.start(Number(/:(\d+)$/.exec(ws)![1]), cheat);
  const elsewhere = [
    "--no-dht",
    "--no-lan",
    "--no-port-mapping",
    "--stun",
    `127.0.0.1:${await unusedPort()}`,
  ];
  return ["--rendezvous", `udp://127.0.0.1:${proxy.port}`, ...elsewhere, ...words];
}

async function cannotMeet(words: readonly string[]): Promise<void> {
  const listener = SrudpProcess.start(["listen", ...words], { env });
  await listener.event("listening");
  const connector = SrudpProcess.start(["connect", "-w", "8", ...words], { env });
  expect((await connector.failure()).status).toBe(75);
  expect(proxy!.changes).toBeGreaterThan(0);
  // Neither a link nor one of the three guesses.
  const reported = listener.events.map(({ event }) => event);
  expect(reported).not.toContain("connected");
  expect(reported).not.toContain("guess");
}

describe("a rendezvous server that", () => {
  // Without which the others would show nothing.
  it.each([
    ["by a direct path", []],
    ["by its relay", ["--relay-only"]],
  ])("is honest brings two together, %s", async (_, more) => {
    const words = await cheatedPlace("nothing", ...more);
    const listener = SrudpProcess.start(["listen", ...words], { env });
    await listener.event("listening");
    const connector = SrudpProcess.start(["connect", ...words], { env });
    await Promise.all([listener.event("connected"), connector.event("connected")]);
  });

  it("changes the signals gets no link and no guess", async () => {
    await cannotMeet(await cheatedPlace("change"));
  });

  it("gives everybody the own signal back gets no link and no guess", async () => {
    await cannotMeet(await cheatedPlace("reflect"));
  });

  it("garbles what it relays gets no link and no guess", async () => {
    await cannotMeet(await cheatedPlace("garble", "--relay-only"));
  });
});

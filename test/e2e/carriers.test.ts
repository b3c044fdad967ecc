/** Two processes that have nothing but a code in common, by each carrier of signals alone. */
import { afterEach, describe, expect, it } from "vitest";
import { DhtNode } from "../../src/traversal/signalling/dht-node.ts";
import { endAll, type SrudpEvent, SrudpProcess } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  await endAll();
  for (const close of closing.splice(0)) await close();
});

/** Nobody else is asked for anything: no public server, no router. */
async function alone(): Promise<string[]> {
  return ["--no-lan", "--no-port-mapping", "--stun", `127.0.0.1:${await unusedPort()}`];
}

/** A listener without a port and a connector with its code exchange a line each way and end in order. */
async function meet(words: readonly string[]): Promise<readonly SrudpEvent[]> {
  const listener = SrudpProcess.start(["listen", ...words]);
  const { code } = await listener.event("listening");
  expect(code).toMatch(/^\d+(-[a-z]+){3}$/);
  const connector = SrudpProcess.start(["connect", ...words, code]);
  const connected = await Promise.all([
    listener.event("connected", 40_000),
    connector.event("connected", 40_000),
  ]);
  await listener.input.write("from the listener\n");
  await connector.input.write("from the connector\n");
  listener.input.end();
  connector.input.end();
  expect((await connector.output.rest()).toString()).toBe("from the listener\n");
  expect((await listener.output.rest()).toString()).toBe("from the connector\n");
  expect([await listener.exit(), await connector.exit()]).toEqual([0, 0]);
  return connected;
}

async function startRendezvous(): Promise<number> {
  const server = SrudpProcess.start(["rendezvous", "--port", "0", "--host", "127.0.0.1"], {
    stdin: "nothing",
  });
  const { ws } = await server.event("rendezvous");
  return Number(/:(\d+)$/.exec(ws)![1]);
}

describe("a code alone", () => {
  it.each(["udp", "ws"])("links two by a rendezvous server's mailbox over %s", async (scheme) => {
    const url = `${scheme}://127.0.0.1:${await startRendezvous()}`;
    await meet(["--rendezvous", url, "--no-dht", ...(await alone())]);
  });

  it("links two by a DHT that nobody runs for them", async (context) => {
    const nodes: DhtNode[] = [];
    for (let i = 0; i < 8; i++) {
      const bootstrap = nodes[0] === undefined ? [] : [`127.0.0.1:${nodes[0].port}`];
      try {
        nodes.push(await DhtNode.start({ bootstrap, address: "127.0.0.1" }));
      } catch {
        context.skip("the optional package bittorrent-dht is not installed");
      }
    }
    closing.push(...nodes.map((node) => () => node.close()));
    await meet(["--dht-bootstrap", `127.0.0.1:${nodes[0]!.port}`, ...(await alone())]);
  });

  it("links two on one network with nothing else", async () => {
    await meet(["--no-dht", "--no-port-mapping", "--stun", `127.0.0.1:${await unusedPort()}`]);
  });
});

describe("a relay", () => {
  it("of the rendezvous server carries what may not go directly", async () => {
    const url = `udp://127.0.0.1:${await startRendezvous()}`;
    const ends = await meet(["--rendezvous", url, "--no-dht", "--relay-only", ...(await alone())]);
    expect(ends.map(({ path }) => path)).toEqual(["relay", "relay"]);
  });
});

/** More connections than the process may open files: refused with one report, and accepted again when there is room. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { endServers, secretWords, serve } from "../lib/forwarding.ts";
import { loopback } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

const clients: Socket[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  endServers();
  await endAll();
});

const CLIENTS = 150;
const FEW_FILES = ["sh", "-c", 'ulimit -n 100 && exec "$@"', "sh"];

/** Whether a client gets its byte: a refused one is reset, before or after. */
function isServed(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  clients.push(socket);
  return new Promise((resolve) => {
    socket.once("data", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("end", () => resolve(false));
  });
}

describe("with too few descriptors", () => {
  it.each(["forwarder", "listener"])("the %s refuses with one report, and recovers", async (poor) => {
    // One byte, and the connection stays until the client leaves.
    const target = await serve((socket) => {
      socket.resume().write("x");
      socket.once("end", () => socket.end());
    });
    const trust = secretWords();
    const launcher = (side: string) => (side === poor ? { launcher: FEW_FILES } : {});
    const listener = SrudpProcess.start(["listen", "0", "-k", ...trust, "--expose", `127.0.0.1:${target}`], {
      stdin: "nothing",
      ...launcher("listener"),
    });
    const { port } = await listener.event("listening");
    const forwarder = SrudpProcess.start(
      ["forward", loopback(port), ...trust, "-L", `0:127.0.0.1:${target}`],
      launcher("forwarder"),
    );
    const local = Number((await forwarder.event("forwarding")).bind.split(":").pop());
    await forwarder.event("connected");

    const served = await Promise.all(Array.from({ length: CLIENTS }, () => isServed(local)));
    const count = served.filter((one) => one).length;
    expect(count).toBeGreaterThan(20);
    expect(count).toBeLessThan(CLIENTS);
    const side = poor === "forwarder" ? forwarder : listener;
    expect(await side.event("unforwarded")).toMatchObject({
      by: poor === "forwarder" ? "own" : "peer",
      code: "ERR_DESCRIPTORS",
    });
    expect(await isServed(local)).toBe(false);

    await Promise.all(
      clients.splice(0).map((client) => {
        const closed = client.closed ? undefined : once(client, "close");
        client.destroy();
        return closed;
      }),
    );
    await expect.poll(() => isServed(local), { timeout: 10_000 }).toBe(true);
    expect(side.events.filter(({ event }) => event === "unforwarded")).toHaveLength(1);
    for (const one of [forwarder, listener]) {
      one.kill("SIGTERM");
      expect(await one.exit()).toBe(143);
    }
  });
});

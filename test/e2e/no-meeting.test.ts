/**
 * Where two cannot meet, or not yet: the reason in one sentence, the right status at the right time, and the direct
 * way untouched.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { pause } from "../lib/deadline.ts";
import { CODE, loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

afterEach(endAll);

const ALONE = ["--no-dht", "--no-lan", "--no-port-mapping"];
/** Long enough for a server to be found silent, which takes three seconds. */
const SOON = ["-w", "4"];
const env = { SRUDP_CODE: CODE };

/** A UDP port that takes everything and answers nothing. */
async function silentPort(): Promise<{ port: number; close(): void }> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { port: socket.address().port, close: () => socket.close() };
}

/** One that nobody has. */
async function closedPort(): Promise<number> {
  const { port, close } = await silentPort();
  close();
  return port;
}

describe("connect with a code and", () => {
  it.each(["udp", "ws"])("a rendezvous server that is down, by %s", async (scheme) => {
    const url = `${scheme}://127.0.0.1:${await closedPort()}`;
    const words = ["connect", ...ALONE, ...SOON, "--rendezvous", url];
    const connector = SrudpProcess.start(words, { env });
    const failure = await connector.failure();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
    expect(failure.message).toContain(url);
    // Both places and both transports have run into it; it is one outage.
    expect(connector.events.filter(({ event }) => event === "meeting")).toHaveLength(1);
  });

  it("a rendezvous server that says nothing", async () => {
    const { port, close } = await silentPort();
    const url = `udp://127.0.0.1:${port}`;
    const words = ["connect", ...ALONE, ...SOON, "--rendezvous", url];
    const failure = await SrudpProcess.start(words, { env }).failure();
    close();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
    expect(failure.message).toContain(url);
  });

  it("a rendezvous server whose name means nothing", async () => {
    const url = "udp://nobody.invalid:3478";
    const words = ["connect", ...ALONE, ...SOON, "--rendezvous", url];
    const failure = await SrudpProcess.start(words, { env }).failure();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
    expect(failure.message).toContain("nobody.invalid");
  });

  it("an address that is none of a rendezvous server", async () => {
    const words = ["connect", ...ALONE, "--rendezvous", "http://127.0.0.1:3478"];
    expect(await SrudpProcess.start(words, { env }).failure()).toMatchObject({
      status: 64,
      code: "ERR_USAGE",
    });
  });

  it.each([
    ["nothing to meet by", []],
    ["a name for its only server that may not be looked up", ["-n", "--rendezvous", "udp://a.invalid"]],
  ])("%s: 69 at once", async (_what, words) => {
    const before = performance.now();
    const failure = await SrudpProcess.start(["connect", ...ALONE, ...words], { env }).failure();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
    expect(performance.now() - before).toBeLessThan(5000);
  });

  it("a DHT without nodes beside a local network that works: a time-out that names the DHT", async () => {
    const words = ["--dht-bootstrap", `127.0.0.1:${await closedPort()}`, "--no-port-mapping", "--stun"];
    const stun = await silentPort();
    const connector = SrudpProcess.start(["connect", ...words, `127.0.0.1:${stun.port}`, "-w", "12"], {
      env,
    });
    const trouble = await connector.event("meeting");
    expect(trouble).toMatchObject({ channel: "dht", trouble: expect.stringContaining("DHT") });
    expect(trouble.trouble).not.toContain("No meeting place");
    const failure = await connector.failure();
    expect(failure).toMatchObject({ status: 75, code: "ERR_TIMEOUT" });
    expect(failure.message).toContain("DHT");
    stun.close();
  });
});

describe("a rendezvous server that comes back", () => {
  it("after five seconds links a connector and a listener that have waited for it", async () => {
    const rendezvous = (port: number): SrudpProcess =>
      SrudpProcess.start(["rendezvous", "--host", "127.0.0.1", "--port", `${port}`], { stdin: "nothing" });
    const first = rendezvous(0);
    const port = Number(/:(\d+)$/.exec((await first.event("rendezvous")).udp[0])![1]);
    first.kill("SIGKILL");
    await first.ended;
    const ways = [...ALONE, "--rendezvous", `udp://127.0.0.1:${port}`, "-w", "30"];
    const connector = SrudpProcess.start(["connect", ...ways], { env });
    const listener = SrudpProcess.start(["listen", ...ways], { env });
    // Told after three seconds; two more have to pass.
    await Promise.all([connector.event("meeting"), listener.event("meeting")]);
    await pause(2000);
    await rendezvous(port).event("rendezvous");
    await Promise.all([connector.event("connected", 30_000), listener.event("connected", 30_000)]);
    expect(connector.events.filter(({ event, trouble }) => event === "meeting" && trouble)).toHaveLength(1);
    for (const one of [connector, listener]) one.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  }, 60_000);

  it("and goes before the peer comes was there: 75", async () => {
    const server = SrudpProcess.start(["rendezvous", "--host", "127.0.0.1", "--port", "0"], {
      stdin: "nothing",
    });
    const url = `udp://${(await server.event("rendezvous")).udp[0]}`;
    const words = ["connect", ...ALONE, "--rendezvous", url, "-w", "9", "-vv"];
    const connector = SrudpProcess.start(words, { env });
    await connector.event("signal");
    server.kill("SIGTERM");
    const failure = await connector.failure();
    expect(failure).toMatchObject({ status: 75, code: "ERR_TIMEOUT" });
  });
});

describe("listen with a code and a rendezvous server that is down", () => {
  it("says so at once, and ends with 69 when its time is over", async () => {
    const url = `udp://127.0.0.1:${await closedPort()}`;
    const listener = SrudpProcess.start(["listen", ...ALONE, "--rendezvous", url, "-w", "6"], { env });
    expect((await listener.event("meeting")).trouble).toContain(url);
    const failure = await listener.failure();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
    expect(failure.message).toContain(url);
  });
});

describe("an address still works", () => {
  it("while the rendezvous server is down and the STUN server silent", async () => {
    const stun = await silentPort();
    const url = `udp://127.0.0.1:${await closedPort()}`;
    const ways = [...ALONE, "--rendezvous", url, "--stun", `127.0.0.1:${stun.port}`];
    const { listener, port } = await startListener(ways, { env });
    const connector = SrudpProcess.start(["connect", loopback(port), ...ways], { env });
    await Promise.all([connector.event("connected"), listener.event("connected")]);
    await connector.input.write("through");
    expect(await listener.output.takeText(7)).toBe("through");
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
    stun.close();
  });
});

/** Where two cannot meet: the reason in one sentence, the right status, and the direct way untouched. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { CODE, loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

afterEach(endAll);

const ALONE = ["--no-dht", "--no-lan"];
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
    const failure = await SrudpProcess.start(["connect", ...ALONE, "--rendezvous", url], { env }).failure();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
    expect(failure.message).toContain(url);
  });

  it("a rendezvous server that says nothing", async () => {
    const { port, close } = await silentPort();
    const url = `udp://127.0.0.1:${port}`;
    const failure = await SrudpProcess.start(["connect", ...ALONE, "--rendezvous", url], { env }).failure();
    close();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
    expect(failure.message).toContain(url);
  });

  it("a rendezvous server whose name means nothing", async () => {
    const url = "udp://nobody.invalid:3478";
    const failure = await SrudpProcess.start(["connect", ...ALONE, "--rendezvous", url], { env }).failure();
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

  it("no way to meet at all", async () => {
    const failure = await SrudpProcess.start(["connect", ...ALONE], { env }).failure();
    expect(failure).toMatchObject({ status: 69, code: "ERR_NO_MEETING_PLACE" });
  });
});

describe("listen with a code and a rendezvous server that is down", () => {
  it("says so at once, and ends when nobody has come in time", async () => {
    const url = `udp://127.0.0.1:${await closedPort()}`;
    const listener = SrudpProcess.start(["listen", ...ALONE, "--rendezvous", url, "-w", "6"], { env });
    expect((await listener.event("meeting")).trouble).toContain(url);
    expect(await listener.failure()).toMatchObject({ status: 75, code: "ERR_TIMEOUT" });
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

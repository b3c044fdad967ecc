/** What one peer does, or what goes wrong with its link, leaves the other links of a listener alone. */
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { connect, type Link, listen } from "../../src/index.ts";
import { loopback, startListener } from "../lib/pair.ts";
import { builtFile } from "../lib/paths.ts";
import { newSecret, type SharedSecret } from "../lib/shared-secret.ts";
import { endAll, SrudpProcess, type StartOptions, temporaryFolder } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

/** A record type that nothing uses. */
const FAULTY_RECORD = 77;

/** More listeners for one event than Node takes for usual. */
const PEERS = 14;

const links: Link[] = [];

afterEach(async () => {
  for (const link of links.splice(0)) link.destroy();
  await endAll();
});

/** A peer of the library's, which can do what the command never does. */
async function newPeer(port: number, { secret }: SharedSecret, pipe = true): Promise<Link> {
  const link = await connect({ host: "127.0.0.1", port, localPort: 0, secret, pipe, timeoutMs: 10_000 });
  link.on("error", () => undefined);
  links.push(link);
  return link;
}

/** A listener that runs `cat` for each peer, and one peer that is connected to it. */
async function startEchoes(options: StartOptions = {}): Promise<Echoes> {
  const trust = newSecret();
  const words = [...trust.words, "-k", "-e", "--", "cat"];
  const { listener, port } = await startListener(words, options);
  const bystander = SrudpProcess.start(["connect", loopback(port), ...trust.words]);
  await Promise.all([bystander.event("connected"), listener.event("connected")]);
  await expectEcho(bystander, "before\n");
  return { trust, listener, port, bystander };
}

interface Echoes {
  readonly trust: SharedSecret;
  readonly listener: SrudpProcess;
  readonly port: number;
  readonly bystander: SrudpProcess;
}

async function expectEcho(connector: SrudpProcess, text: string): Promise<void> {
  await connector.input.write(text);
  expect(await connector.output.takeText(text.length)).toBe(text);
}

/** The environment of a process in which records of type FAULTY_RECORD meet a bug. */
function faultyEnvironment(): Record<string, string> {
  return {
    NODE_OPTIONS: `--import ${builtFile("test/lib/fault-injection.js").href}`,
    SRUDP_TEST_FAULTY_RECORD: `${FAULTY_RECORD}`,
  };
}

describe("a fault while one link is served", () => {
  it("ends that link alone with -k, and is reported and counted", async () => {
    const runtime = temporaryFolder();
    const env = { ...faultyEnvironment(), XDG_RUNTIME_DIR: runtime };
    const { trust, listener, port, bystander } = await startEchoes({ env });
    const peer = await newPeer(port, trust);
    const failed = once(peer, "error");
    await listener.event("connected");
    peer.sendRecord(FAULTY_RECORD, new Uint8Array(1));
    expect((await failed)[0]).toMatchObject({ code: "ERR_PEER_INTERNAL" });
    const fault = await listener.event("fault");
    expect(fault).toMatchObject({ message: "TypeError: an injected fault", faults: 1 });
    expect(fault.remote).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(fault.trace.join("\n")).toContain("fault-injection");
    const status = SrudpProcess.start(["status"], { env: { XDG_RUNTIME_DIR: runtime } });
    const [line] = (await status.output.rest()).toString().split("\n");
    expect(JSON.parse(line!)).toMatchObject({ pid: listener.pid, faults: 1, links: [{ isAlive: true }] });
    await expectEcho(bystander, "after\n");
    bystander.input.end();
    expect(await bystander.exit()).toBe(0);
    expect(listener.events.filter(({ event }) => event === "error")).toEqual([]);
  });

  it("is told in prose, with -v by its stack", async () => {
    const { words, secret } = newSecret();
    const options = { prose: true, env: faultyEnvironment() } as const;
    for (const verbosity of [[], ["-v"]]) {
      const port = await unusedPort();
      const listener = SrudpProcess.start(["listen", `${port}`, ...words, "-k", ...verbosity], options);
      const peer = await newPeer(port, { words, secret });
      peer.sendRecord(FAULTY_RECORD, new Uint8Array(1));
      await once(peer, "error");
      listener.kill("SIGINT");
      await listener.exit();
      expect(listener.said).toMatch(
        /internal error while serving 127\.0\.0\.1:\d+: TypeError: an injected fault/,
      );
      expect(listener.said.includes("fault-injection")).toBe(verbosity.length > 0);
    }
  });

  it("ends a listener without -k with status 70", async () => {
    const trust = newSecret();
    const { listener, port } = await startListener(trust.words, { env: faultyEnvironment() });
    const peer = await newPeer(port, trust);
    await listener.event("connected");
    peer.sendRecord(FAULTY_RECORD, new Uint8Array(1));
    expect(await listener.failure()).toMatchObject({ status: 70, code: "ERR_INTERNAL" });
  });

  it.each(["connect", "forward"])("ends %s with status 70", async (command) => {
    const { words, secret } = newSecret();
    const listener = await listen({ localAddress: "127.0.0.1", secret });
    listener.on("link", (link) => {
      links.push(link);
      link.on("error", () => undefined);
      link.on("forward", (stream) => stream.on("error", () => undefined));
      link.sendRecord(FAULTY_RECORD, new Uint8Array(1));
    });
    const forwards = command === "forward" ? ["-L", "0:localhost:1"] : [];
    const process = SrudpProcess.start([command, loopback(listener.port), ...words, ...forwards], {
      env: faultyEnvironment(),
    });
    expect(await process.failure()).toMatchObject({ status: 70, code: "ERR_INTERNAL" });
    await listener.close();
  });
});

describe("many peers at once", () => {
  it.each([
    ["with a program for each", ["-e", "--", "cat"], true],
    ["that forward", ["--expose", "127.0.0.1:1"], false],
  ] as const)("leave nothing but events on stderr (%s)", async (_what, words, hasPipe) => {
    const trust = newSecret();
    const { listener, port } = await startListener([...trust.words, "-k", ...words]);
    const peers = await Promise.all(Array.from({ length: PEERS }, () => newPeer(port, trust, hasPipe)));
    for (let i = 0; i < PEERS; i++) await listener.event("connected");
    const closed = Promise.all(peers.map((peer) => new Promise((resolve) => peer.once("close", resolve))));
    listener.kill("SIGINT");
    await closed;
    expect(await listener.exit()).toBe(130);
    expect(listener.strayLines).toEqual([]);
  });
});

describe("a peer that ends its link with an internal error", () => {
  it("is reported as the peer's error, and the listener serves the others", async () => {
    const { trust, listener, port, bystander } = await startEchoes();
    const peer = await newPeer(port, trust);
    await listener.event("connected");
    peer.reset("ERR_INTERNAL");
    expect(await listener.event("error")).toMatchObject({ code: "ERR_PEER_INTERNAL", exit: 74 });
    await expectEcho(bystander, "after\n");
    bystander.input.end();
    expect(await bystander.exit()).toBe(0);
  });
});

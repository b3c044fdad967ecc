/** A network whose DNS server swallows every question: nothing waits for it that needs no name, not even the exit. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { startForwarding } from "../lib/forwarding.ts";
import { CODE } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { Namespace, whyNoLab } from "./namespaces.ts";

const reason = whyNoLab();
const env = { SRUDP_CODE: CODE };
/** Far below the ten seconds that the system's resolver waits. */
const SOON_MS = 7000;

afterEach(endAll);

/** Words that start a command in a namespace with its own hosts file and a DNS server that says nothing. */
function silentNetwork(label: string): readonly string[] {
  const namespace = new Namespace(label);
  onTestFinished(() => namespace.remove());
  namespace.nft("table inet t {\n chain c {\n type filter hook input priority 0; udp dport 53 drop\n }\n}\n");
  const folder = temporaryFolder();
  const [hosts, resolver] = [join(folder, "hosts"), join(folder, "resolv.conf")];
  writeFileSync(hosts, "127.0.0.1 localhost\n127.0.0.1 meet.example\n");
  writeFileSync(resolver, "nameserver 127.0.0.1\n");
  const mounts = `mount --bind ${hosts} /etc/hosts && mount --bind ${resolver} /etc/resolv.conf`;
  return [...namespace.launcher, "sh", "-c", `${mounts} && exec "$@"`, "sh"];
}

async function exitWithin(process: SrudpProcess, limitMs: number): Promise<number> {
  const before = performance.now();
  const status = await process.exit();
  expect(performance.now() - before).toBeLessThan(limitMs);
  return status;
}

describe.skipIf(reason !== undefined)("where DNS is silent", () => {
  it.each(["ws", "udp"])(
    "a server in the hosts file links two by %s, and both commands exit when they have finished",
    async (scheme) => {
      const launcher = silentNetwork(`dns-${scheme}`);
      const server = SrudpProcess.start(["rendezvous", "--port", "0", "--host", "127.0.0.1"], {
        launcher,
        stdin: "nothing",
      });
      const port = /:(\d+)$/.exec((await server.event("rendezvous")).udp[0])![1];
      // With public STUN servers and the DHT's first nodes, none of which can be looked up.
      const stun = ["a", "b", "c", "d", "e"].flatMap((name) => ["--stun", `${name}.stun.example:3478`]);
      const ways = ["--no-lan", "--rendezvous", `${scheme}://meet.example:${port}`, ...stun];
      const before = performance.now();
      const listener = SrudpProcess.start(["listen", ...ways], { env, launcher });
      const connector = SrudpProcess.start(["connect", ...ways], { env, launcher });
      await Promise.all([connector.event("connected"), listener.event("connected")]);
      expect(performance.now() - before).toBeLessThan(SOON_MS);
      await connector.input.write("through");
      expect(await listener.output.takeText(7)).toBe("through");
      connector.input.end();
      listener.input.end();
      expect(await exitWithin(connector, SOON_MS)).toBe(0);
      expect(await exitWithin(listener, SOON_MS)).toBe(0);
    },
    60_000,
  );

  it("an address is connected to at once", async () => {
    const launcher = silentNetwork("dns-address");
    const listener = SrudpProcess.start(["listen", "--no-lan"], { env, launcher });
    const { port } = await listener.event("listening");
    const before = performance.now();
    const connector = SrudpProcess.start(["connect", `127.0.0.1:${port}`], { env, launcher });
    await Promise.all([connector.event("connected"), listener.event("connected")]);
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
    expect(performance.now() - before).toBeLessThan(SOON_MS);
  }, 60_000);

  it.each([
    ["a name that only DNS could know", "connect", ["peer.example:4242"]],
    ["a name without a dot", "connect", ["peer:4242"]],
  ])("%s: the command ends when its time is over", async (_what, command, words) => {
    const launcher = silentNetwork("dns-name");
    const before = performance.now();
    const failure = await SrudpProcess.start([command, ...words, "-w", "1"], { env, launcher }).failure();
    expect([68, 75]).toContain(failure.status);
    expect(performance.now() - before).toBeLessThan(SOON_MS);
  });

  it("the failure says that DNS does not answer", async () => {
    const launcher = silentNetwork("dns-said");
    const failure = await SrudpProcess.start(["connect", "peer.example:4242"], { env, launcher }).failure();
    expect(failure).toMatchObject({ status: 68, code: "ERR_HOST_UNKNOWN" });
    expect(failure.message).toContain("DNS does not answer");
  }, 30_000);

  it.each([["target.example:80"], ["*:80"]])(
    "connections that wait for a name exposed as %s hold up neither another connection nor the exit",
    async (exposed) => {
      const folder = temporaryFolder();
      const [byName, byPath, echo] = ["name", "path", "echo"].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      const server = createServer((socket) => socket.pipe(socket)).listen(echo);
      onTestFinished(() => void server.close());
      const { listener, forwarder } = await startForwarding({
        launcher: silentNetwork("dns-forward"),
        listen: ["--expose", exposed, "--expose", echo],
        forward: ["-L", `${byName}:target.example:80`, "-L", `${byPath}:${echo}`],
      });
      const open = (): Socket => connect(byName).on("error", () => undefined);
      const waiting = Array.from({ length: 8 }, open);
      onTestFinished(() => {
        for (const socket of waiting) socket.destroy();
      });
      await Promise.all(waiting.map((socket) => once(socket, "connect")));
      const before = performance.now();
      const quick = connect(byPath);
      quick.end("through");
      expect(await text(quick)).toBe("through");
      expect(performance.now() - before).toBeLessThan(1000);
      // The peer answers each of them as soon as it has given the name up.
      await Promise.all(waiting.map((socket) => once(socket.resume(), "close")));
      waiting.push(...Array.from({ length: 8 }, open));
      await once(waiting.at(-1)!, "connect");
      forwarder.kill("SIGTERM");
      listener.kill("SIGTERM");
      await exitWithin(listener, SOON_MS);
      await exitWithin(forwarder, SOON_MS);
    },
    60_000,
  );
});

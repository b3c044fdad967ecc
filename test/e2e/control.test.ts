/** `srudp status` and `srudp control`: running links seen and changed from outside. */
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join, relative } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { endServers, freePort, serve, startForwarding } from "../lib/forwarding.ts";
import { loopback, startPair } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(async () => {
  endServers();
  await endAll();
});

/** What a command says on stdout, and its status. */
async function says(
  words: readonly string[],
  env: Record<string, string>,
): Promise<{ status: number; said: string; process: SrudpProcess }> {
  const process = SrudpProcess.start(words, { env, stdin: "nothing" });
  const said = (await process.output.rest()).toString();
  return { status: await process.exit(), said, process };
}

/** The processes of `status --json`, that of `command` first. */
function inOrder(said: string, command: string): Record<string, unknown>[] {
  const all = said
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return all.sort((one, other) => Number(other.command === command) - Number(one.command === command));
}

describe("a running forward", () => {
  it("is listed, gets another port and loses it, and is gone when it ends", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const target = await serve((socket) => socket.end("here"));
    const link = await startForwarding({
      listen: ["--expose", `127.0.0.1:${target}`],
      forward: ["-L", `0:127.0.0.1:${target}`],
      env,
    });
    await link.forwarder.event("connected");

    const folder = join(env.XDG_RUNTIME_DIR, "srudp");
    const sockets = readdirSync(folder);
    expect(sockets).toHaveLength(2);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of sockets) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);

    const listed = await says(["status", "--json"], env);
    const processes = listed.said
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(processes.map(({ command }) => command).sort()).toEqual(["forward", "listen"]);
    const mine = processes.find(({ command }) => command === "forward");
    expect(mine).toMatchObject({ pid: link.forwarder.pid, name: `127.0.0.1:${link.port}` });
    expect(mine.links).toHaveLength(1);
    expect(mine.links[0]).toMatchObject({
      path: "direct",
      auth: "secret",
      isAlive: true,
      lossPct: expect.any(Number),
    });
    expect(mine.links[0].rttMs).toBeGreaterThan(0);
    expect(mine.forwards).toMatchObject([{ kind: "local", target: `127.0.0.1:${target}`, connections: 0 }]);

    const pid = String(link.forwarder.pid);
    const added = await says(["control", pid, "add", "-L", `0:127.0.0.1:${target}`], env);
    // The same words name the same forward: twice is once too often.
    expect(added).toMatchObject({ status: 64 });
    const other = ["-L", `127.0.0.1:0:127.0.0.1:${target}`];
    const once = await says(["control", `127.0.0.1:${link.port}`, "add", ...other], env);
    expect(once.status).toBe(0);
    const port = Number((await once.process.event("forwarding")).bind.split(":").pop());
    expect(await text(connect(port, "127.0.0.1"))).toBe("here");
    expect((await says(["control", pid, "cancel", ...other], env)).status).toBe(0);
    await expect(text(connect(port, "127.0.0.1"))).rejects.toMatchObject({ code: "ECONNREFUSED" });

    link.listener.kill("SIGSTOP");
    const silent = await says(["status", "--json"], env);
    const [shown, stopped] = inOrder(silent.said, "forward");
    expect(shown).toMatchObject({ command: "forward", links: [{ isAlive: false }] });
    expect(stopped).toEqual({ pid: link.listener.pid, isAnswering: false });
    link.listener.kill("SIGCONT");

    link.forwarder.kill("SIGTERM");
    expect(await link.forwarder.exit()).toBe(143);
    const after = await says(["status", "--json"], env);
    expect(after.said.trim().split("\n")).toHaveLength(1);
  });

  it("that asks for what the peer forbids says so", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const link = await startForwarding({ forward: ["-L", "0:127.0.0.1:1"], env });
    await link.forwarder.event("connected");
    const words = ["control", String(link.forwarder.pid), "add", "-R", "0:127.0.0.1:1"];
    const refused = await says(words, env);
    expect(refused.status).toBe(77);
    expect(await refused.process.failure()).toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
    expect(await link.listener.event("unforwarded")).toMatchObject({
      code: "ERR_TARGET_FORBIDDEN",
      by: "peer",
    });
  });

  it("from the start keeps it for the next link, and lists it as not open", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const link = await startForwarding({ forward: ["-D", "0"] });
    const words = ["forward", loopback(link.port), ...link.trust, "-D", "0", "-R", "0:127.0.0.1:1"];
    const second = SrudpProcess.start(words, { env });
    await second.event("unforwarded");
    const listed = await says(["status", "--json"], env);
    expect(JSON.parse(listed.said).forwards).toMatchObject([
      { kind: "remote", isOpen: false },
      { kind: "dynamic", isOpen: true },
    ]);
  });
});

describe("a link that began without forwards", () => {
  it("of connect gets some beside its pipe", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const target = await serve((socket) => socket.end("here"));
    const remote = await freePort();
    const pair = await startPair({
      listenWords: ["--expose", `127.0.0.1:${target}`, "--permit-listen", String(remote)],
      listen: { env },
      connect: { env },
    });
    const pid = String(pair.connector.pid);
    const added = await says(
      ["control", pid, "add", "-L", `0:127.0.0.1:${target}`, "-R", `${remote}:127.0.0.1:${target}`],
      env,
    );
    expect(added.status).toBe(0);
    const local = Number((await pair.connector.event("forwarding")).bind.split(":").pop());
    expect(await text(connect(local, "127.0.0.1"))).toBe("here");
    expect(await text(connect(remote, "127.0.0.1"))).toBe("here");
    const listed = await says(["status", "--json"], env);
    const mine = listed.said.split("\n").find((line) => line.includes('"connect"'));
    expect(JSON.parse(mine!).links[0].forwards).toMatchObject([{ kind: "local" }, { kind: "remote" }]);

    await pair.connector.input.write("beside them\n");
    expect(await pair.listener.output.takeText(12)).toBe("beside them\n");
    const cancelled = await says(["control", pid, "cancel", "-R", `${remote}:127.0.0.1:${target}`], env);
    expect(cancelled.status).toBe(0);
    await expect
      .poll(() => text(connect(remote, "127.0.0.1")).catch(({ code }) => code))
      .toBe("ECONNREFUSED");
    pair.connector.input.end();
    pair.listener.input.end();
    expect([await pair.connector.exit(), await pair.listener.exit()]).toEqual([0, 0]);
  });

  it("of a listener with several is named by its number, and takes its ports along when it ends", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const target = await serve((socket) => socket.end("here"));
    // Here the connecting sides are those that expose.
    const forward = ["--expose", `127.0.0.1:${target}`];
    const first = await startForwarding({ forward, env });
    await first.forwarder.event("connected");
    const second = SrudpProcess.start(["forward", loopback(first.port), ...first.trust, ...forward], { env });
    await second.event("connected");
    const add = ["control", String(first.port), "add", "-L", `0:127.0.0.1:${target}`];

    const vague = await says(add, env);
    expect(await vague.process.failure()).toMatchObject({
      status: 64,
      message: expect.stringMatching(/--link, 1 \(.*2 \(/),
    });
    expect((await says([...add, "--link", "3"], env)).status).toBe(64);
    const ports: number[] = [];
    for (const link of ["1", "2"]) {
      const added = await says([...add, "--link", link], env);
      expect(added.status).toBe(0);
      ports.push(Number((await added.process.event("forwarding")).bind.split(":").pop()));
    }
    for (const port of ports) expect(await text(connect(port, "127.0.0.1"))).toBe("here");

    second.kill("SIGTERM");
    expect(await second.exit()).toBe(143);
    await expect
      .poll(() => text(connect(ports[1]!, "127.0.0.1")).catch(({ code }) => code))
      .toBe("ECONNREFUSED");
    expect(await text(connect(ports[0]!, "127.0.0.1"))).toBe("here");
    // The only one left needs no number.
    expect((await says([...add.slice(0, 3), "-D", "0"], env)).status).toBe(0);
  });
});

describe("a process that was killed", () => {
  it("is not listed any more, and what it left behind is cleared away", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const link = await startForwarding({ forward: ["-D", "0"], env });
    await link.forwarder.event("connected");
    link.listener.kill("SIGKILL");
    await link.listener.ended;
    expect(readdirSync(join(env.XDG_RUNTIME_DIR, "srudp"))).toHaveLength(2);
    const listed = await says(["status", "--json"], env);
    expect(listed.status).toBe(0);
    expect(JSON.parse(listed.said)).toMatchObject({ command: "forward" });
    await expect.poll(() => readdirSync(join(env.XDG_RUNTIME_DIR, "srudp"))).toHaveLength(1);
  });

  it("nor does junk on its socket harm one that runs", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const link = await startForwarding({ forward: ["-D", "0"], env });
    await link.forwarder.event("connected");
    const socket = connect({ path: join(env.XDG_RUNTIME_DIR, "srudp", `${link.forwarder.pid}.sock`) });
    socket.setEncoding("utf8");
    socket.write('no JSON\n{"do":"nothing"}\nnull\n');
    let heard = "";
    socket.on("data", (piece) => {
      heard += piece;
    });
    await expect.poll(() => heard.split("\n").length - 1).toBe(3);
    expect(heard.match(/"error"/g)).toHaveLength(3);
    socket.destroy();
    expect((await says(["status", "--json"], env)).said.trim().split("\n")).toHaveLength(2);
  });
});

describe("a file of standing tunnels", () => {
  it("has peer, forwards and options", async () => {
    const target = await serve((socket) => socket.end("here"));
    const link = await startForwarding({
      listen: ["--expose", `127.0.0.1:${target}`],
      forward: ["-L", `0:127.0.0.1:${target}`],
    });
    const file = join(temporaryFolder(), "tunnels.toml");
    const secret = relative(dirname(file), link.trust[1]!);
    writeFileSync(
      file,
      `peer = "127.0.0.1:${link.port}"\nsecret-file = "${secret}"\ntimeout = 20\n\n[forward]\nlocal = ["0:127.0.0.1:${target}"]\ndynamic = ["0"]\n`,
    );
    // What is typed comes on top.
    const typed = ["-L", `127.0.0.1:0:127.0.0.1:${target}`];
    const second = SrudpProcess.start(["forward", "--config", file, ...typed]);
    const port = Number((await second.event("forwarding")).bind.split(":").pop());
    expect((await second.event("forwarding")).kind).toBe("local");
    expect((await second.event("forwarding")).kind).toBe("dynamic");
    await second.event("connected");
    expect(await text(connect(port, "127.0.0.1"))).toBe("here");
  });

  it.each([
    ["no TOML", "peer = ", "line 1"],
    ["an unknown word", 'peer = "a:1"\nforwards = []\n', "forwards"],
    ["a forward that is none", 'peer = "a:1"\n[forward]\nlocal = ["80:"]\n', "-L 80:"],
    ["a wrong type", 'peer = "a:1"\ntimeout = "soon"\n', "timeout"],
    ["no peer", '[forward]\nlocal = ["1:a:1"]\n', "peer"],
  ])("with %s is refused before anything is done", async (_, words, hint) => {
    const file = join(temporaryFolder(), "tunnels.toml");
    writeFileSync(file, words);
    const failed = await SrudpProcess.start(["forward", "--config", file]).failure();
    expect(failed).toMatchObject({ status: 78, code: "ERR_CONFIG" });
    expect(failed.message).toContain(hint);
  });
});

/** Control sockets that belong to somebody else, to nobody, or to a program that is not srudp. */
import { chmodSync, chownSync, mkdirSync, readdirSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { startForwarding } from "../lib/forwarding.ts";
import { startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

const servers = new Set<Server>();

afterEach(async () => {
  for (const server of servers) server.close();
  servers.clear();
  await endAll();
});

/** A folder of control sockets in which something listens as process 4242. */
async function impostor(
  onConnection: (socket: Socket) => void,
): Promise<{ env: Record<string, string>; folder: string; path: string }> {
  const env = { XDG_RUNTIME_DIR: temporaryFolder() };
  const folder = join(env.XDG_RUNTIME_DIR, "srudp");
  mkdirSync(folder, { mode: 0o700 });
  const path = join(folder, "4242.sock");
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  servers.add(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  chmodSync(path, 0o600);
  return { env, folder, path };
}

const STATUS = { pid: 4242, command: "listen", name: "1", links: [], forwards: [] };
const isRoot = process.geteuid?.() === 0;
const NOBODY = 65534;

describe("a control socket that another user could have made", () => {
  it.each([
    ["in a folder that others can write to", (folder: string) => chmodSync(folder, 0o777), true],
    ["in a folder of another user", (folder: string) => chownSync(folder, NOBODY, NOBODY), isRoot],
    ["that others can connect to", (_: string, path: string) => chmodSync(path, 0o666), true],
    ["of another user", (_: string, path: string) => chownSync(path, NOBODY, NOBODY), isRoot],
  ])("%s is sent nothing, by status and control alike", async (_, spoil, isPossible) => {
    if (!isPossible) return; // Only root can give a file away.
    let callers = 0;
    const { env, folder, path } = await impostor((socket) => {
      callers++;
      socket.end(`${JSON.stringify({ status: STATUS })}\n`);
    });
    spoil(folder, path);
    for (const words of [["status"], ["control", "4242", "add", "-D", "0"]]) {
      const failed = await SrudpProcess.start(words, { env, stdin: "nothing" }).failure();
      expect(failed).toMatchObject({ status: 78, code: "ERR_CONTROL_FOLDER" });
      expect(failed.message).toContain(folder);
    }
    expect(callers).toBe(0);
  });
});

describe("a control socket behind which is no srudp", () => {
  it.each([
    ["no JSON", "hello there\n"],
    ["JSON of another shape", '{"status":{"pid":1}}\n'],
    ["null", "null\n"],
    ["links that are none", `${JSON.stringify({ status: { ...STATUS, links: [{ peer: 7 }] } })}\n`],
    ["a line without an end", "x".repeat(5 * 1024 * 1024)],
  ])("and that answers with %s is an error, behind those that do answer", async (_, answer) => {
    const { env } = await impostor((socket) => socket.write(answer));
    const { listener } = await startListener([], { env });
    const status = SrudpProcess.start(["status"], { env, stdin: "nothing" });
    const listed = (await status.output.rest()).toString().trim().split("\n");
    expect(listed.map((line) => JSON.parse(line).pid)).toEqual([listener.pid]);
    expect(await status.failure()).toMatchObject({ status: 76, code: "ERR_CONTROL_ANSWER" });
    const control = SrudpProcess.start(["control", "4242", "add", "-D", "0"], { env, stdin: "nothing" });
    expect(await control.failure()).toMatchObject({ status: 76, code: "ERR_CONTROL_ANSWER" });
  });

  it("puts no control characters on stdout, with --json or without", async () => {
    const status = { ...STATUS, name: "\u009b31m\u001b[2J\u202e" };
    const { env } = await impostor((socket) => socket.write(`${JSON.stringify({ status })}\n`));
    for (const prose of [true, false]) {
      const shown = SrudpProcess.start(["status"], { env, stdin: "nothing", prose });
      const text = (await shown.output.rest()).toString();
      expect(text).toContain("4242");
      expect(text).not.toMatch(/\p{Cf}|(?!\n)\p{Cc}/u);
      expect(await shown.exit()).toBe(0);
    }
  });
});

describe("a process that does not answer", () => {
  it("is listed as not answering, and cannot be controlled", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const { listener } = await startListener([], { env });
    listener.kill("SIGSTOP");
    const shown = SrudpProcess.start(["status"], { env, stdin: "nothing", prose: true });
    expect((await shown.output.rest()).toString()).toBe(`${listener.pid} not answering\n`);
    const listed = SrudpProcess.start(["status"], { env, stdin: "nothing" });
    expect(JSON.parse((await listed.output.rest()).toString())).toEqual({
      pid: listener.pid,
      isAnswering: false,
    });
    const control = SrudpProcess.start(["control", String(listener.pid), "add", "-D", "0"], { env });
    expect(await control.failure()).toMatchObject({ status: 75, code: "ERR_CONTROL_TIMEOUT" });
    // It is only stopped: its socket stays.
    expect(readdirSync(join(env.XDG_RUNTIME_DIR, "srudp"))).toHaveLength(1);
  });
});

describe("the control socket", () => {
  it("is settled before anything is reported that a reader could act on", async () => {
    // Where there can be none, that is told, and the order shows when it was tried.
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    mkdirSync(join(env.XDG_RUNTIME_DIR, "srudp"));
    chmodSync(join(env.XDG_RUNTIME_DIR, "srudp"), 0o777);
    const { listener, forwarder } = await startForwarding({ forward: ["-D", "0"], env });
    await forwarder.event("connected");
    for (const { events } of [listener, forwarder])
      expect(events.slice(0, 2).map(({ event }) => event)).toEqual(["hello", "uncontrolled"]);
  });

  it("is there when a listener says that it listens", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    await startListener([], { env });
    expect(readdirSync(join(env.XDG_RUNTIME_DIR, "srudp"))).toHaveLength(1);
  });
});

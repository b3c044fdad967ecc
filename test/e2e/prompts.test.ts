/** Questions on the terminal while stdin and stdout carry data; needs `python3` to make a terminal. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { CODE, loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { canMakeTerminals, Terminal, terminalLauncher } from "../lib/terminal.ts";
import { openUdp } from "../lib/udp.ts";

afterEach(endAll);

if (!canMakeTerminals)
  console.log("skipped: prompts on a terminal, since python3 with its pty module is absent");

/** A connector that has asked its question. */
async function connectAtTerminal(port: number): Promise<{ connector: SrudpProcess; terminal: Terminal }> {
  const connector = SrudpProcess.start(["connect", loopback(port)], { terminal: true });
  const terminal = connector.terminal!;
  await terminal.shown();
  return { connector, terminal };
}

describe.skipIf(!canMakeTerminals)("a code typed at the terminal", () => {
  it("links, while stdin and stdout stay data", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const { connector, terminal } = await connectAtTerminal(port);
    terminal.type(`${CODE}\r`);
    await listener.event("connected");
    await connector.input.write("data\n");
    expect(await listener.output.takeText(5)).toBe("data\n");
    await listener.input.write("more\n");
    expect(await connector.output.takeText(5)).toBe("more\n");
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("is completed by Tab and checked word by word", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const { terminal } = await connectAtTerminal(port);
    terminal.type("42-ocean-lix");
    // A bell reports the wrong letter, which one key takes away.
    await terminal.shown("\u0007");
    terminal.type("\u007fz\t");
    await terminal.shown("42-ocean-lizard-");
    terminal.type("maple\r");
    await listener.event("connected");
  });

  it("ends with 130 on Ctrl-C", async () => {
    const { port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const { connector, terminal } = await connectAtTerminal(port);
    terminal.type("\u0003");
    expect(await connector.exit()).toBe(130);
  });

  it("is missed with Ctrl-D, and nobody says that there is no terminal", async () => {
    const { connector, terminal } = await connectAtTerminal(9);
    terminal.type("\u0004");
    const { status, code, message } = await connector.failure();
    expect({ status, code }).toEqual({ status: 64, code: "ERR_CODE_NEEDED" });
    expect(message).not.toContain("no terminal");
  });
});

describe.skipIf(!canMakeTerminals)("a spinner", () => {
  it.each([
    [{ LANG: "C.UTF-8" }, true, true],
    [{ LANG: "C.UTF-8", NO_COLOR: "1" }, false, true],
    [{ LC_ALL: "C" }, true, false],
    [{ LC_ALL: "C", NO_COLOR: "1" }, false, false],
  ])("with %j is coloured: %s, and has braille dots: %s", async (environment, isColoured, hasDots) => {
    const silent = await openUdp();
    const size = ["sh", "-c", 'stty cols 80 rows 24; exec "$0" "$@"'];
    const words = [...terminalLauncher([0, 1, 2]), ...size, process.execPath, "bin/srudp.js"];
    const env = { PATH: process.env.PATH, HOME: temporaryFolder(), TERM: "xterm-256color", ...environment };
    const peer = loopback(silent.address().port);
    const child = spawn(words[0]!, [...words.slice(1), "connect", peer, "-w", "2"], {
      env: { ...env, SRUDP_CODE: CODE },
    });
    const ended = once(child, "close");
    const terminal = new Terminal(child.stdin, child.stdout);
    await terminal.shown(`reaching ${peer}`);
    await ended;
    silent.close();
    // The spinner's colour is cyan.
    expect(terminal.text.includes("\u001b[36m")).toBe(isColoured);
    expect(/[\u2800-\u28ff]/.test(terminal.text)).toBe(hasDots);
    // The cursor is shown again.
    expect(terminal.text.lastIndexOf("\u001b[?25h")).toBeGreaterThan(
      terminal.text.lastIndexOf("\u001b[?25l"),
    );
  });
});

describe.skipIf(!canMakeTerminals)("a terminal that reports no size", () => {
  it("gets no spinner, and a connect whose peer is silent ends in time", async () => {
    const silent = await openUdp();
    const words = [...terminalLauncher([0, 1, 2]), process.execPath, "bin/srudp.js"];
    const child = spawn(words[0]!, [
      ...words.slice(1),
      "connect",
      loopback(silent.address().port),
      "-w",
      "2",
    ]);
    const ended = once(child, "close");
    const terminal = new Terminal(child.stdin, child.stdout);
    await terminal.shown();
    terminal.type(`${CODE}\r`);
    // Where a spinner runs wild, no timer fires any more.
    const late = setTimeout(() => child.kill("SIGKILL"), 20_000);
    const [status] = await ended;
    clearTimeout(late);
    silent.close();
    expect([status, terminal.text]).toEqual([75, expect.stringContaining("Nobody answered in time")]);
  }, 30_000);
});

describe.skipIf(!canMakeTerminals)("the answer to a ticket, pasted at the terminal", () => {
  // Nothing answers at port 9: own addresses are all that can be told.
  const WAYS = ["-4", "-n", "--stun", "127.0.0.1:9", "--no-port-mapping", "--no-dht", "--no-lan"];

  it("is asked for again after an empty line, a stray line and the half of it", async () => {
    const listener = SrudpProcess.start(["listen", "--ticket", ...WAYS], { terminal: true });
    const terminal = listener.terminal!;
    const { ticket } = await listener.event("ticket");
    const connector = SrudpProcess.start(["connect", ...WAYS, ticket]);
    const answer: string = (await connector.event("answer")).ticket;
    const half = answer.length >> 1;
    await terminal.shown("answer: ");
    terminal.type("\n");
    terminal.type("here it is\n");
    await terminal.shown("begins with srudpt1");
    terminal.type(`> "${answer.slice(0, half)}\n`);
    await terminal.shown("the rest of it");
    terminal.type(`> ${answer.slice(half)}"\n`);
    await connector.event("connected");
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
    expect(terminal.text.match(/^answer: /gm)).toHaveLength(4);
  });
});

/**
 * Transfers end by themselves at a terminal: a peer that has sent something and then ended ends the input too.
 * Each mode is tried with a terminal and without one, at each side. Needs `python3` to make a terminal.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { secretWords } from "../lib/forwarding.ts";
import { CODE, loopback, startListener, startPair } from "../lib/pair.ts";
import { commandFile } from "../lib/paths.ts";
import { endAll, SrudpProcess, type StartOptions, temporaryFolder } from "../lib/srudp-process.ts";
import { canMakeTerminals, Terminal, terminalLauncher } from "../lib/terminal.ts";

const servers: Server[] = [];
const shells: ChildProcess[] = [];

afterEach(async () => {
  for (const shell of shells.splice(0)) shell.kill("SIGKILL");
  await endAll();
  for (const server of servers.splice(0)) server.close();
});

if (!canMakeTerminals)
  console.log("skipped: endings at a terminal, since python3 with its pty module is absent");

type Side = "listener" | "connector";

interface Mode {
  readonly name: string;
  readonly words: readonly string[];
  readonly sides: readonly Side[];
  /** How the tested side ends once its peer has sent its data and ended, with stdin at a terminal and elsewhere. */
  readonly atTerminal: "ends" | "ends the link";
  readonly elsewhere: "ends" | "stays";
}

const MODES: readonly Mode[] = [
  { name: "plain", words: [], sides: ["listener", "connector"], atTerminal: "ends", elsewhere: "stays" },
  { name: "-d", words: ["-d"], sides: ["listener", "connector"], atTerminal: "ends", elsewhere: "ends" },
  { name: "-k", words: ["-k"], sides: ["listener"], atTerminal: "ends the link", elsewhere: "stays" },
  {
    name: "-e",
    words: ["-e", "--", "cat"],
    sides: ["listener", "connector"],
    atTerminal: "ends",
    elsewhere: "ends",
  },
  {
    name: "-q 0",
    words: ["-q", "0"],
    sides: ["listener", "connector"],
    atTerminal: "ends",
    elsewhere: "stays",
  },
  { name: "-W", words: [], sides: ["connector"], atTerminal: "ends", elsewhere: "stays" },
];
const CELLS = MODES.flatMap((mode) =>
  mode.sides.flatMap((side) =>
    ([true, false] as const).flatMap((stdin) =>
      ([true, false] as const).map((stdout) => ({
        mode,
        side,
        stdin,
        stdout,
        name: `${mode.name}: ${side}, stdin ${stdin ? "" : "not "}a terminal, stdout ${stdout ? "" : "not "}a terminal`,
      })),
    ),
  ),
);

/** What the tested side's peer is: the other command, or the target of -W. */
interface Peer {
  send(text: string): Promise<void>;
  end(): void;
  /** The next bytes from the tested side. */
  take(length: number): Promise<string>;
  ended(): Promise<number>;
}

function peerOf(process: SrudpProcess): Peer {
  return {
    send: (text) => process.input.write(text),
    end: () => process.input.end(),
    take: (length) => process.output.takeText(length),
    ended: () => process.exit(),
  };
}

async function startTarget(): Promise<{ port: number; peer: Promise<Peer> }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const peer = accepted.then(([socket]): Peer => {
    let heard = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      heard += text;
    });
    return {
      send: async (text) => void socket.write(text),
      end: () => void socket.end(),
      take: async (length) => {
        await expect.poll(() => heard.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(length);
        const taken = heard.slice(0, length);
        heard = heard.slice(length);
        return taken;
      },
      ended: async () => {
        if (!socket.closed) await once(socket, "close");
        return 0;
      },
    };
  });
  return { port: (server.address() as { port: number }).port, peer };
}

async function startCell(cell: (typeof CELLS)[number]): Promise<{ tested: SrudpProcess; peer: Peer }> {
  const { mode, side } = cell;
  const own: StartOptions = {
    ...((cell.stdin || cell.stdout) && { terminal: true }),
    stdin: cell.stdin ? "terminal" : "socket",
    stdout: cell.stdout ? "terminal" : "socket",
  };
  const trust = secretWords();
  if (mode.name === "-W") {
    const { port, peer } = await startTarget();
    const words = ["-W", loopback(port)];
    const pair = await startPair({
      trust,
      listenWords: ["-k", "--expose", loopback(port)],
      connectWords: words,
      connect: own,
    });
    return { tested: pair.connector, peer: await peer };
  }
  if (side === "listener") {
    const { listener, connector } = await startPair({ trust, listenWords: mode.words, listen: own });
    return { tested: listener, peer: peerOf(connector) };
  }
  const { listener, connector } = await startPair({ trust, connectWords: mode.words, connect: own });
  return { tested: connector, peer: peerOf(listener) };
}

describe.skipIf(!canMakeTerminals)("after a peer that has sent its data and ended", () => {
  it.each(CELLS)("$name", async (cell) => {
    const { tested, peer } = await startCell(cell);
    const ending = cell.stdin ? cell.mode.atTerminal : cell.mode.elsewhere;
    const isCat = cell.mode.name === "-e";
    await peer.send("data\n");
    if (isCat) expect(await peer.take(5)).toBe("data\n");
    else if (cell.stdout) await tested.terminal!.shown("data");
    else expect(await tested.output.takeText(5)).toBe("data\n");
    peer.end();
    if (ending === "stays") {
      // stdout has ended, and so the peer's end was seen; the other direction still works.
      if (!cell.stdout && cell.mode.name !== "-k") await tested.output.end();
      await tested.input.write("answer\n");
      expect(await peer.take(7)).toBe("answer\n");
      tested.input.end();
    }
    expect(await peer.ended()).toBe(0);
    if (ending === "ends the link" || cell.mode.name === "-k") {
      await tested.event("closed");
      expect(tested.events.some(({ event }) => event === "error")).toBe(false);
    } else expect(await tested.exit()).toBe(0);
  });
});

describe.skipIf(!canMakeTerminals)("at a terminal", () => {
  const atTerminal: StartOptions = { terminal: true, stdin: "terminal" };

  it("lines that were entered before the peer's end are sent", async () => {
    const { listener, connector } = await startPair({ connect: atTerminal });
    await listener.input.write("question\n");
    expect(await connector.output.takeText(9)).toBe("question\n");
    connector.terminal!.type("first\nsecond\nunfinished");
    // The terminal echoes what has been entered.
    await connector.terminal!.shown("unfinished");
    listener.input.end();
    expect((await listener.output.rest()).toString()).toBe("first\nsecond\n");
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("lines that the command had no time to read before it heard of the peer's end are sent", async () => {
    const { listener, connector } = await startPair({ connect: atTerminal });
    await listener.input.write("question\n");
    expect(await connector.output.takeText(9)).toBe("question\n");
    // The command itself, whose parent holds the terminal.
    const child = Number(readFileSync(`/proc/${connector.pid}/task/${connector.pid}/children`, "utf8"));
    process.kill(child, "SIGSTOP");
    listener.input.end();
    const lines = Array.from({ length: 20 }, (_, n) => `line ${n}\n`).join("");
    connector.terminal!.type(lines);
    await connector.terminal!.shown("line 19");
    process.kill(child, "SIGCONT");
    expect((await listener.output.rest()).toString()).toBe(lines);
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it.each([["--half-close"], ["-q", "-1"], ["--send-only"]])(
    "%s %s keeps the session open",
    async (...words) => {
      const connectWords = words.filter((word) => word !== undefined);
      const { listener, connector } = await startPair({ connect: atTerminal, connectWords });
      await listener.input.write("data\n");
      if (words[0] !== "--send-only") expect(await connector.output.takeText(5)).toBe("data\n");
      listener.input.end();
      if (words[0] !== "--send-only") await connector.output.end();
      connector.terminal!.type("still here\n");
      expect(await listener.output.takeText(11)).toBe("still here\n");
      connector.terminal!.type("\u0004");
      expect(await connector.exit()).toBe(0);
      expect(await listener.exit()).toBe(0);
    },
  );

  it("a peer that ends without having sent a byte ends nothing", async () => {
    const { listener, connector } = await startPair({ connect: atTerminal, listen: { stdin: "nothing" } });
    await connector.output.end();
    connector.terminal!.type("still here\n");
    expect(await listener.output.takeText(11)).toBe("still here\n");
    connector.terminal!.type("\u0004");
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("a listener with -k serves the next peer after the first has ended the link", async () => {
    const trust = secretWords();
    const first = await startPair({ trust, listenWords: ["-k"], listen: atTerminal });
    await first.connector.input.write("one\n");
    first.connector.input.end();
    expect(await first.listener.output.takeText(4)).toBe("one\n");
    expect(await first.connector.exit()).toBe(0);
    const second = SrudpProcess.start(["connect", loopback(first.port), ...trust]);
    await second.event("connected");
    await second.input.write("two\n");
    expect(await first.listener.output.takeText(4)).toBe("two\n");
    first.listener.terminal!.type("answer\n");
    expect(await second.output.takeText(7)).toBe("answer\n");
    second.input.end();
    expect(await second.exit()).toBe(0);
  });

  it("a file goes from one terminal to another without a key pressed", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, Buffer.alloc(300_000, "all of it"));
    const copy = join(temporaryFolder(), "copy");
    const { listener, connector } = await startPair({
      listen: { terminal: true, stdin: openSync(file, "r"), stdout: "terminal" },
      connect: { terminal: true, stdin: "terminal", stdout: openSync(copy, "w") },
    });
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
    expect(readFileSync(copy).equals(readFileSync(file))).toBe(true);
  });
});

describe.skipIf(!canMakeTerminals)("a job in the background", () => {
  /** A shell with job control at a terminal. */
  function startShell(): Terminal {
    const [program, ...words] = [...terminalLauncher([0, 1, 2]), "sh", "-i"];
    const shell = spawn(program!, words, {
      stdio: ["pipe", "pipe", "inherit", "ignore", "ignore", "ignore"],
      detached: true,
      env: {
        PATH: process.env.PATH,
        HOME: "/nonexistent",
        XDG_CONFIG_HOME: temporaryFolder(),
        SRUDP_CODE: CODE,
        PS1: "$ ",
      },
    });
    shells.push(shell);
    return new Terminal(shell.stdin!, shell.stdout!);
  }

  it("is not stopped by its terminal, and ends with the transfer", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const copy = join(temporaryFolder(), "copy");
    const terminal = startShell();
    const command = `${process.execPath} ${fileURLToPath(commandFile)} connect ${loopback(port)} --quiet`;
    terminal.type(`${command} > ${copy} &\n`);
    await listener.event("connected");
    await listener.input.write("half ");
    await expect.poll(() => readFileSync(copy, "utf8"), { timeout: 10_000 }).toBe("half ");
    // The shell reads what is typed, and the job would be stopped by reading it too.
    terminal.type("echo shell-$((40 + 2))\n");
    await terminal.shown("shell-42");
    await listener.input.write("and half");
    listener.input.end();
    expect(await listener.exit()).toBe(0);
    expect(readFileSync(copy, "utf8")).toBe("half and half");
    terminal.type("wait; echo status-$?; jobs\n");
    await terminal.shown("status-0");
    expect(terminal.text).not.toMatch(/stopped/i);
  });

  it("reads its terminal once it is in the foreground", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const terminal = startShell();
    const command = `${process.execPath} ${fileURLToPath(commandFile)} connect ${loopback(port)} --quiet`;
    terminal.type(`${command} &\n`);
    await listener.event("connected");
    terminal.type("echo shell-$((40 + 2))\n");
    await terminal.shown("shell-42");
    terminal.type("fg\n");
    terminal.type("to the peer\n");
    expect(await listener.output.takeText(12)).toBe("to the peer\n");
    terminal.type("\u0004");
    listener.input.end();
    expect(await listener.exit()).toBe(0);
  });
});

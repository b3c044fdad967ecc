/** The processes of a program (`-e`) end with their link, and with the command. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { keyCommand, secretFile } from "../lib/identities.ts";
import { type Pair, type PairOptions, startPair } from "../lib/pair.ts";
import { endAll, type SrudpProcess } from "../lib/srudp-process.ts";
import { canMakeTerminals } from "../lib/terminal.ts";

afterEach(endAll);

const MODES = [{ words: [] }, { words: ["-k"] }];
/** Hanging up takes no time when everyone obeys. */
const SOON_MS = 3000;
/** SIGKILL comes after 5 s. */
const GRACE_MS = 5000;

/** Says its process ID and that of a child, and goes on for ever. */
const FAMILY = "sleep 1000 & echo $$ $!; wait";
const STUBBORN_FAMILY = `trap '' HUP; ${FAMILY}`;

interface Family extends Pair {
  /** The program and its child. */
  readonly pids: readonly number[];
}

/** A listener, or a connector, that runs `script` for its peer. */
async function startFamily(
  script: string,
  words: readonly string[] = [],
  { side = "listen", ...options }: PairOptions & { side?: "listen" | "connect" } = {},
): Promise<Family> {
  const program = [...words, "-e", "--", "sh", "-c", script];
  const pair = await startPair({
    trust: ["--secret-file", secretFile(await keyCommand(["secret"]))],
    ...(side === "listen" ? { listenWords: program } : { connectWords: program }),
    ...options,
  });
  return { ...pair, pids: await readPids(side === "listen" ? pair.connector : pair.listener) };
}

async function readPids(peer: SrudpProcess): Promise<number[]> {
  let line = "";
  while (!line.endsWith("\n")) line += await peer.output.takeText(1);
  return line.trim().split(" ").map(Number);
}

/** Whether a process exists and is more than a zombie that init has not reaped yet. */
function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z ");
  } catch {
    return false;
  }
}

async function expectGone(pids: readonly number[], timeoutMs: number): Promise<void> {
  expect(pids).toHaveLength(2);
  await expect.poll(() => pids.filter(isRunning), { timeout: timeoutMs }).toEqual([]);
}

describe.each(MODES)("a program and its child at `listen $words`", ({ words }) => {
  it.each(["SIGINT", "SIGTERM"] as const)("are gone when the listener has ended by %s", async (signal) => {
    const { listener, pids } = await startFamily(FAMILY, words);
    listener.kill(signal);
    expect(await listener.exit(SOON_MS)).toBe(signal === "SIGINT" ? 130 : 143);
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it("are killed after 5 s when they ignore SIGHUP, and the listener waits for that", async () => {
    const { listener, pids } = await startFamily(STUBBORN_FAMILY, words);
    const startedMs = performance.now();
    listener.kill("SIGTERM");
    expect(await listener.exit(GRACE_MS + SOON_MS)).toBe(143);
    expect(performance.now() - startedMs).toBeGreaterThan(GRACE_MS - 100);
    await expectGone(pids, 100);
  });

  it("are killed at once by a second Ctrl-C", async () => {
    const { listener, connector, pids } = await startFamily(STUBBORN_FAMILY, words);
    listener.kill("SIGINT");
    // The peer learns of the end, so the first signal has been handled.
    await connector.ended;
    listener.kill("SIGINT");
    expect(await listener.exit(SOON_MS)).toBe(130);
    await expectGone(pids, 100);
  });

  it("are gone when the connector has been interrupted", async () => {
    const { connector, pids } = await startFamily(FAMILY, words);
    connector.kill("SIGINT");
    await expectGone(pids, SOON_MS);
  });

  it("are gone when the connector has ended in order", async () => {
    const { connector, pids } = await startFamily(FAMILY, words, { connectWords: ["-q", "0"] });
    connector.input.end();
    expect(await connector.exit()).toBe(0);
    await expectGone(pids, SOON_MS);
  });

  it("are gone when the connector was killed and has been silent for too long", async () => {
    const { connector, pids } = await startFamily(FAMILY, [...words, "--idle-timeout", "1"]);
    connector.kill("SIGKILL");
    await expectGone(pids, SOON_MS + 2000);
  });
});

it("a child that outlives its program is hung up when the link has ended", async () => {
  const { listener, connector, pids } = await startFamily("sleep 1000 >/dev/null & echo $$ $!", ["-k"]);
  expect(await connector.exit()).toBe(0);
  await expectGone(pids, SOON_MS);
  listener.kill("SIGTERM");
  expect(await listener.exit(SOON_MS)).toBe(143);
});

it("a program at the connecting side is gone when the listener has ended", async () => {
  const { listener, pids } = await startFamily(FAMILY, [], { side: "connect" });
  listener.kill("SIGINT");
  await expectGone(pids, SOON_MS);
});

it("a program that has closed its output finishes its work after the link has ended", async () => {
  const script = 'exec >&-; while read -r line; do last=$line; done; sleep 1; [ "$last" = end ] && exit 7';
  const { listener, connector } = await startPair({ listenWords: ["-e", "--", "sh", "-c", script] });
  await connector.input.write("begin\nend\n");
  connector.input.end();
  expect(await connector.exit()).toBe(0);
  expect(await listener.exit()).toBe(7);
});

it.skipIf(!canMakeTerminals)("a program has no terminal to open", async () => {
  const { listener, connector } = await startPair({
    listenWords: ["-e", "--", "sh", "-c", "(: < /dev/tty) 2> /dev/null && echo terminal || echo none"],
    listen: { terminal: true },
  });
  expect((await connector.output.rest()).toString()).toBe("none\n");
  expect(await listener.exit()).toBe(0);
});

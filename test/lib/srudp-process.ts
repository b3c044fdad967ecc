/**
 * Starts the real command and talks to it as a script would: bytes by its stdin and stdout, events by name
 * from its `--json` lines. Nothing here sleeps or reads prose; what does not come in time fails with
 * everything that the process has said.
 */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Input, Output } from "./byte-streams.ts";
import { within } from "./deadline.ts";
import { checkLeftovers } from "./leftovers.ts";
import { newMark } from "./marked-processes.ts";
import { commandFile } from "./paths.ts";
import { ProcessMeter } from "./process-meter.ts";
import { ownEnd, realPipe } from "./real-pipe.ts";
import { areLinksAlive, type Held, heldBy } from "./resources.ts";
import { Terminal, terminalLauncher } from "./terminal.ts";

/** One `--json` line of the command. */
export interface SrudpEvent {
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: the fields depend on the event, and a wrong one fails its test
  readonly [field: string]: any;
}

/**
 * What stands at a descriptor: a socket (Node's own habit), a real pipe (a shell's), nothing (`/dev/null`), its
 * terminal, or an open descriptor of the caller's.
 */
export type ConnectionHandle = "socket" | "pipe" | "nothing" | "terminal" | number;

export interface StartOptions {
  readonly stdin?: ConnectionHandle;
  readonly stdout?: ConnectionHandle;
  readonly env?: Readonly<Record<string, string>>;
  /** The process's XDG_CONFIG_HOME; by default a fresh one that is deleted afterwards. */
  readonly configHome?: string;
  /** Prose instead of events. */
  readonly prose?: boolean;
  /** Open descriptors for the child's 3, 4, …. */
  readonly extraDescriptors?: readonly number[];
  /** Gives it a terminal to ask on; without, it has none. */
  readonly terminal?: true;
  /** Words before the command line, as `ip netns exec NAME`; the program they start must become the command. */
  readonly launcher?: readonly string[];
}

/** The test's ends of a process's descriptors. */
interface Ends {
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable;
  readonly terminal: Terminal | undefined;
}

const EVENT_TIMEOUT_MS = 20_000;
const EXIT_TIMEOUT_MS = 30_000;

const started = new Set<SrudpProcess>();
const folders = new Set<string>();

/** A temporary folder that `endAll` deletes. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "srudp-test-"));
  folders.add(folder);
  return folder;
}

/**
/**
 * Ends what still runs and deletes the temporary folders: the last act of every test.
 *
 * @throws Error when a process held more after its links than before, left processes behind, or has said on stderr what
 *   is none of its own lines
 */
export async function endAll(): Promise<void> {
  const all = [...started];
  started.clear();
  try {
    await checkLeftovers(all);
  } finally {
    for (const one of all) one.kill("SIGKILL");
    await Promise.all(all.map((one) => one.ended));
    for (const one of all) one.release();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    folders.clear();
  }
  const complaints = all.flatMap((one) => one.strayLines.map((line) => `${one.name}: ${line}`));
  if (complaints.length > 0) throw new Error(`not srudp's own lines on stderr:\n${complaints.join("\n")}`);
}

/** What Node says by itself. */
const NODE_LINE = /^\(node:\d+\)|^\(Use `node |^Trace:|^\s*(Deprecation|MaxListenersExceeded)Warning/;

export class SrudpProcess {
  /** The command line, for messages. */
  readonly name: string;
  readonly input: Input;
  readonly output: Output;
  readonly meter: ProcessMeter;
  /** Its terminal, where it was given one. */
  readonly terminal: Terminal | undefined;
  /** Resolves with the exit status (128 + signal for a killed process) and never rejects. */
  readonly ended: Promise<number>;
  /** Every event so far. */
  readonly events: SrudpEvent[] = [];
  /** Everything said on stderr. */
  said = "";
  /** Lines on stderr that are no events, or with prose, those of Node's. */
  readonly strayLines: string[] = [];
  /** In its environment, and in that of what it starts. */
  readonly mark: string;
  /** What kind of links it has, one after the other: those of anybody who comes, or those to one peer. */
  readonly longLived: "listener" | "forward" | undefined;
  /** What it held before its first link, or with its first one where it is a forward. */
  heldBefore: Held | undefined;
  readonly #child: ChildProcess;
  readonly #prose: boolean;
  readonly #controlSocket: string;
  readonly #heardAtMs = new WeakMap<SrudpEvent, number>();
  /** Events before this index were waited for already. */
  #seen = 0;
  #unfinishedLine = "";
  #hasEnded = false;
  #waiting: (() => void)[] = [];

  private constructor(
    words: readonly string[],
    child: ChildProcess,
    ends: Ends,
    { prose, mark, runtimeFolder }: { prose: boolean; mark: string; runtimeFolder: string },
  ) {
    const name = `srudp ${words.join(" ")}`;
    this.name = name;
    this.mark = mark;
    this.longLived = longLivedKind(words);
    this.#controlSocket = join(runtimeFolder, "srudp", `${child.pid}.sock`);
    this.#child = child;
    this.#prose = prose;
    this.input = new Input(ends.stdin, name);
    this.output = new Output(ends.stdout, name);
    this.terminal = ends.terminal;
    this.meter = new ProcessMeter(child.pid!);
    const { stderr } = ends;
    stderr.setEncoding("utf8");
    stderr.on("data", (text: string) => this.#hear(text));
    started.add(this);
    this.ended = new Promise((resolve) => {
      // "close" comes after stderr was read to its end, unlike "exit"; stdin and stdout may stay open.
      let status = 0;
      const isOver = { exit: false, stderr: false };
      const settle = (): void => {
        if (!isOver.exit || !isOver.stderr) return;
        this.meter.stop();
        this.#hasEnded = true;
        this.#wake();
        resolve(status);
      };
      child.once("exit", (code, signal) => {
        status = code ?? 128 + (SIGNAL_NUMBERS[signal!] ?? 0);
        isOver.exit = true;
        settle();
      });
      stderr.once("close", () => {
        isOver.stderr = true;
        settle();
      });
    });
  }

  /** @param words the arguments of `srudp` */
  static start(words: readonly string[], options: StartOptions = {}): SrudpProcess {
    const { stdin = "socket", stdout = "socket", prose = false } = options;
    const allWords = prose ? [...words] : withJson(words);
    const inPipe = stdin === "pipe" ? realPipe() : undefined;
    const outPipe = stdout === "pipe" ? realPipe() : undefined;
    const own: StdioOptions = [
      inPipe?.readEnd ?? connectionHandle(stdin),
      outPipe?.writeEnd ?? connectionHandle(stdout),
      "pipe",
      ...(options.extraDescriptors ?? []),
    ];
    // The launcher's own first three descriptors are the terminal; the command's follow.
    const atTerminal = options.terminal === true;
    const terminals = [stdin, stdout].flatMap((one, descriptor) => (one === "terminal" ? [descriptor] : []));
    const stdio: StdioOptions = atTerminal ? ["pipe", "pipe", "inherit", ...own] : own;
    const commandLine = [
      ...(options.launcher ?? []),
      ...(atTerminal ? terminalLauncher(terminals) : []),
      process.execPath,
      fileURLToPath(commandFile),
      ...allWords,
    ];
    const { mark, env: markEnv } = newMark();
    const runtimeFolder = options.env?.XDG_RUNTIME_DIR ?? temporaryFolder();
    const child = spawn(commandLine[0]!, commandLine.slice(1), {
      stdio,
      // A session of its own has no terminal, and cannot ask on the one of whoever runs the tests.
      detached: true,
      env: {
        PATH: process.env.PATH ?? "",
        HOME: "/nonexistent",
        XDG_CONFIG_HOME: options.configHome ?? temporaryFolder(),
        XDG_RUNTIME_DIR: runtimeFolder,
        ...markEnv,
        ...options.env,
      },
    });
    if (inPipe !== undefined) closeSync(inPipe.readEnd);
    if (outPipe !== undefined) closeSync(outPipe.writeEnd);
    const [ownIn, ownOut, stderr] = child.stdio.slice(atTerminal ? 3 : 0);
    const ends: Ends = {
      stdin: inPipe === undefined ? ((ownIn ?? null) as Writable | null) : ownEnd(inPipe.writeEnd, "write"),
      stdout: outPipe === undefined ? ((ownOut ?? null) as Readable | null) : ownEnd(outPipe.readEnd, "read"),
      stderr: stderr as Readable,
      terminal: atTerminal ? new Terminal(child.stdin!, child.stdout!) : undefined,
    };
    return new SrudpProcess(words, child, ends, { prose, mark, runtimeFolder });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The next event of this name that was not waited for yet; rejects when the process ends without it. */
  async event(name: string, timeoutMs: number = EVENT_TIMEOUT_MS): Promise<SrudpEvent> {
    const event = await within(
      this.#next(name),
      timeoutMs,
      () => `${this.name}: no event "${name}"\n${this.said}`,
    );
    // The test does nothing with this process until it has the event.
    if (this.heldBefore === undefined && name === FIRST_EVENT[this.longLived ?? "none"])
      this.heldBefore = await this.held();
    return event;
  }

  /** Whether it has ended. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** What it holds at present; undefined when it does not answer. */
  held(): Promise<Held | undefined> {
    return heldBy(this.pid, this.#controlSocket);
  }

  /** Whether the peer of each of its links answers; false when it does not answer itself. */
  areLinksAlive(): Promise<boolean> {
    return areLinksAlive(this.#controlSocket);
  }

  /** When an event of this process was heard, by `performance.now()`. */
  heardAtMs(event: SrudpEvent): number {
    return this.#heardAtMs.get(event)!;
  }

  /** The exit status; rejects when it takes too long, or when there are stray lines on stderr. */
  async exit(timeoutMs: number = EXIT_TIMEOUT_MS): Promise<number> {
    const status = await within(this.ended, timeoutMs, () => `${this.name}: still running\n${this.said}`);
    if (this.strayLines.length > 0)
      throw new Error(`${this.name}: not its own lines on stderr:\n${this.strayLines.join("\n")}`);
    return status;
  }

  /** What the process failed of; rejects when it ended without an event "error". */
  async failure(timeoutMs?: number): Promise<{ status: number; code: string; message: string }> {
    const status = await this.exit(timeoutMs);
    const error = this.events.findLast(({ event }) => event === "error");
    if (error === undefined)
      throw new Error(`${this.name}: ended with ${status} and without an error\n${this.said}`);
    return { status, code: error.code, message: error.message };
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Closes this side of its descriptors. */
  release(): void {
    this.input.close();
    this.output.close();
  }

  async #next(name: string): Promise<SrudpEvent> {
    for (;;) {
      for (let at = this.#seen; at < this.events.length; at++) {
        if (this.events[at]!.event !== name) continue;
        this.#seen = at + 1;
        return this.events[at]!;
      }
      if (this.#hasEnded) throw new Error(`${this.name}: ended without the event "${name}"\n${this.said}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #hear(text: string): void {
    this.said += text;
    const lines = (this.#unfinishedLine + text).split("\n");
    this.#unfinishedLine = lines.pop()!;
    for (const line of lines) {
      const event = this.#prose ? undefined : eventOf(line);
      if (event !== undefined) {
        this.#heardAtMs.set(event, performance.now());
        this.events.push(event);
      } else if (!this.#prose || NODE_LINE.test(line)) this.strayLines.push(line);
    }
    this.#wake();
  }
}

function eventOf(line: string): SrudpEvent | undefined {
  try {
    const event = JSON.parse(line);
    return typeof event?.event === "string" ? event : undefined;
  } catch {
    return undefined;
  }
}

/** The event with which a long-lived command begins to hold what it holds from then on. */
const FIRST_EVENT: Readonly<Record<string, string>> = { listener: "listening", forward: "connected" };

function longLivedKind(words: readonly string[]): "listener" | "forward" | undefined {
  if (words[0] === "forward") return "forward";
  const own = words.includes("--") ? words.slice(0, words.indexOf("--")) : words;
  const keepsOpen = own.some((word) => word === "--keep-open" || /^-[46ndNev]*k[46ndNev]*$/.test(word));
  return words[0] === "listen" && keepsOpen ? "listener" : undefined;
}

/** `--json` goes before a `--`, behind which all belongs to the program of `-e`. */
function withJson(words: readonly string[]): string[] {
  const at = words.indexOf("--");
  return at < 0 ? [...words, "--json"] : [...words.slice(0, at), "--json", ...words.slice(at)];
}

function connectionHandle(kind: ConnectionHandle): "pipe" | "ignore" | number {
  if (typeof kind === "number") return kind;
  return kind === "nothing" || kind === "terminal" ? "ignore" : "pipe";
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGINT: 2,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

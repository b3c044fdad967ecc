/** One end of a measurement as a process of its own (`speed-peer.ts`), and what it says: JSON, one object a line. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { within } from "../../lib/deadline.ts";
import { builtFile } from "../../lib/paths.ts";

export type Said =
  /** It accepts on this port. */
  | { readonly kind: "ready"; readonly port: number }
  /** The measured time begins. */
  | { readonly kind: "counting" }
  /** It is over: what came in it. */
  | { readonly kind: "received"; readonly bytes: number; readonly tookMs: number }
  /** Single events, each timed, in their order. */
  | { readonly kind: "timed"; readonly tookMs: readonly number[] };

export type Say = (what: Said) => void;

export type Role = "receive" | "send" | "echo" | "ping" | "greet" | "meet" | "drain" | "pour";

export interface PeerTask {
  readonly role: Role;
  /** Of `contenders.ts`; of no use to `drain` and `pour`. */
  readonly contender?: string;
  /** To accept at, or to connect to. */
  readonly address?: string;
  /** To connect to. */
  readonly port?: number;
  /** Milliseconds to be measured, or how many events. */
  readonly amount?: number;
}

const TIMEOUT_MS = 60_000;

export interface PeerOptions {
  /** Words before the command line. */
  readonly launcher?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What `drain` reads, what `pour` writes: descriptors that stay the caller's. */
  readonly stdin?: number;
  readonly stdout?: number;
}

export class PeerProcess {
  /** Rejects when it ends with a failure; what of is on stderr. */
  readonly failure: Promise<never>;
  readonly #child: ChildProcess;
  readonly #said: Said[] = [];
  #hasEnded = false;
  #wake: () => void = () => undefined;

  constructor(task: PeerTask, { launcher = [], environment = {}, stdin, stdout }: PeerOptions = {}) {
    const command = [
      ...launcher,
      process.execPath,
      fileURLToPath(builtFile("test/bench/speed-peer.js")),
      JSON.stringify(task),
    ];
    const stdio: StdioOptions = [stdin ?? "pipe", stdout ?? "pipe", "inherit"];
    this.#child = spawn(command[0]!, command.slice(1), { env: { ...process.env, ...environment }, stdio });
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on("line", (line) => {
        this.#said.push(JSON.parse(line) as Said);
        this.#wake();
      });
    }
    this.failure = new Promise((_, reject) => {
      this.#child.once("exit", (status) => {
        if (status !== 0 && status !== null) reject(new Error(`the end that is to ${task.role} failed`));
      });
    });
    // It may well come when nobody waits any more.
    this.failure.catch(() => undefined);
    this.#child.once("close", () => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it says of this kind, now or later; rejects when it ends without, or takes longer than a minute. */
  says<K extends Said["kind"]>(kind: K): Promise<Extract<Said, { kind: K }>> {
    return within(this.#next(kind), TIMEOUT_MS, () => `no "${kind}" from ${this.#child.spawnargs.join(" ")}`);
  }

  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "close");
  }

  async #next<K extends Said["kind"]>(kind: K): Promise<Extract<Said, { kind: K }>> {
    for (;;) {
      const found = this.#said.find((said) => said.kind === kind);
      if (found !== undefined) return found as Extract<Said, { kind: K }>;
      if (this.#hasEnded) throw new Error(`${this.#child.spawnargs.join(" ")}: ended without "${kind}"`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

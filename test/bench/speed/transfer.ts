/** One transfer of one contender between two processes, measured at the receiver. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { builtFile } from "../../lib/paths.ts";
import { ProcessMeter } from "../../lib/process-meter.ts";
import type { BenchPath } from "./path.ts";

/** What goes before the measurement: slow start, the search for the packet size, V8's compilers. */
export const WARM_UP_MS = 1000;
const PATIENCE_MS = 60_000;

export interface Transfer {
  readonly gigabitsPerSecond: number;
  /** Of both ends together, for each gigabyte that arrived. */
  readonly cpuSecondsPerGigabyte: number;
  readonly senderMegabytes: number;
  readonly receiverMegabytes: number;
}

type Said =
  | { readonly kind: "ready"; readonly port: number }
  | { readonly kind: "received"; readonly bytes: number; readonly tookMs: number; readonly cpuMs: number }
  | { readonly kind: "sent"; readonly cpuMs: number; readonly tookMs: number };

/** @throws where one end fails, or nothing has come within a minute */
export async function transfer(
  path: BenchPath,
  contender: string,
  environment: Readonly<Record<string, string>>,
  measuredMs: number,
): Promise<Transfer> {
  const receiver = new Peer(
    path.receiver,
    ["receive", contender, path.address, "0", String(measuredMs)],
    environment,
  );
  let sender: Peer | undefined;
  try {
    const { port } = await receiver.says("ready");
    sender = new Peer(
      path.sender,
      ["send", contender, path.address, String(port), String(measuredMs)],
      environment,
    );
    const [received, sent] = await Promise.all([receiver.says("received"), sender.says("sent")]);
    const gigabytes = received.bytes / 1e9;
    // The sender's cost is that of its whole run: its share of the measured time counts.
    const sentCpuMs = sent.cpuMs * (received.tookMs / sent.tookMs);
    return {
      gigabitsPerSecond: (received.bytes * 8) / received.tookMs / 1e6,
      cpuSecondsPerGigabyte: (received.cpuMs + sentCpuMs) / 1000 / gigabytes,
      senderMegabytes: sender.peakMegabytes,
      receiverMegabytes: receiver.peakMegabytes,
    };
  } finally {
    sender?.stop();
    receiver.stop();
  }
}

class Peer {
  readonly #child: ChildProcess;
  readonly #meter: ProcessMeter;
  readonly #said: Said[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(
    prefix: readonly string[],
    words: readonly string[],
    environment: Readonly<Record<string, string>>,
  ) {
    const command = [
      ...prefix,
      process.execPath,
      fileURLToPath(builtFile("test/bench/speed-peer.js")),
      ...words,
    ];
    this.#child = spawn(command[0]!, command.slice(1), {
      env: { ...process.env, ...environment },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#meter = new ProcessMeter(this.#child.pid!);
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      this.#said.push(JSON.parse(line) as Said);
      this.#meter.sample();
      this.#wake?.();
    });
    this.#child.on("close", () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  get peakMegabytes(): number {
    return this.#meter.peakResidentBytes / 1e6;
  }

  async says<K extends Said["kind"]>(kind: K): Promise<Extract<Said, { kind: K }>> {
    const endsAtMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.#said.find((said) => said.kind === kind);
      if (found !== undefined) return found as Extract<Said, { kind: K }>;
      if (this.#ended || performance.now() >= endsAtMs)
        throw new Error(`no "${kind}" from ${this.#child.spawnargs}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  stop(): void {
    this.#meter.stop();
    this.#child.stdin?.end();
    this.#child.kill("SIGKILL");
  }
}

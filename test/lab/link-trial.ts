/**
 * One link between two hosts of the lab, from the start of the commands to their ends: by which path, how soon,
 * and whether every byte came through both ways.
 */
import { performance } from "node:perf_hooks";
import { BytePattern } from "../lib/byte-pattern.ts";
import { pause, within } from "../lib/deadline.ts";
import { type SrudpEvent, SrudpProcess } from "../lib/srudp-process.ts";
import type { Namespace } from "./namespaces.ts";

/** One end of a trial: the words of its command, and where and when it is started. */
export interface TrialEnd {
  readonly host: Namespace;
  readonly words: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface TrialOptions {
  /** The first is started first; where it listens, the second waits until it does. */
  readonly ends: readonly [TrialEnd, TrialEnd];
  /** Between the starts of two that both connect. */
  readonly skewMs?: number;
  /** Each way. */
  readonly bytes: number;
  /** A relayed link is held open for so long, or until it has become direct. */
  readonly patienceForDirectMs?: number;
  readonly timeoutMs?: number;
}

export interface TrialResult {
  /** The path of the first `connected`, and the one at the end. */
  readonly firstPath?: string;
  readonly path?: string;
  /** The peer's address at the end, as the second command tells it. */
  readonly remote?: string;
  /** From the second command's start of work (`hello`) to its `connected`, and to the first direct path. */
  readonly connectedMs?: number;
  readonly directMs?: number;
  /** Every byte there both ways, and both commands ended with 0. */
  readonly isWhole: boolean;
  /** Why not, with what both said. */
  readonly trouble?: string;
}

const TIMEOUT_MS = 90_000;
const RELAYED = "relay";
const patterns = [new BytePattern(11), new BytePattern(12)] as const;

/** Runs a trial to its end; whatever goes wrong is in the result. */
export async function linkTrial(options: TrialOptions): Promise<TrialResult> {
  const processes: SrudpProcess[] = [];
  const paths = new PathRecord();
  try {
    await within(
      carry(options, processes, paths),
      options.timeoutMs ?? TIMEOUT_MS,
      () => "the trial takes too long",
    );
    return { ...paths.summary(), isWhole: true };
  } catch (error) {
    const said = processes.map((one) => `--- ${one.name}\n${one.said}`);
    return { ...paths.summary(), isWhole: false, trouble: [String(error), ...said].join("\n") };
  } finally {
    for (const one of processes) one.kill("SIGKILL");
    await Promise.all(processes.map((one) => one.ended));
    for (const one of processes) one.release();
  }
}

/** Starts an end of a trial. */
export function startEnd({ host, words, env = {} }: TrialEnd): SrudpProcess {
  return SrudpProcess.start(words, { launcher: host.launcher, env });
}

async function carry(options: TrialOptions, processes: SrudpProcess[], paths: PathRecord): Promise<void> {
  const [first, second] = options.ends;
  const one = startEnd(first);
  processes.push(one);
  await one.event(first.words[0] === "listen" ? "listening" : "hello");
  await pause(options.skewMs ?? 0);
  const other = startEnd(second);
  processes.push(other);
  const hello = await other.event("hello");
  paths.follow(other, hello);
  const limitMs = options.timeoutMs ?? TIMEOUT_MS;
  await Promise.all([one.event("connected", limitMs), other.event("connected", limitMs)]);

  const ends = [one, other] as const;
  const checks = ends.map((end, at) => end.output.check(patterns[1 - at]!, undefined, limitMs));
  // A check that fails early is told when its turn comes.
  for (const check of checks) check.catch(() => undefined);
  await Promise.all(ends.map((end, at) => end.input.pump(patterns[at]!, options.bytes)));
  await paths.waitForDirect(other, options.patienceForDirectMs ?? 0);
  for (const [at, end] of ends.entries()) {
    // Something crosses the path that was found in the end, too.
    await end.input.pump(patterns[at]!, LAST_BYTES);
    end.input.end();
  }
  const total = options.bytes + LAST_BYTES;
  for (const received of await Promise.all(checks)) {
    if (received !== total) throw new Error(`${received} of ${total} bytes came`);
  }
  for (const end of ends) {
    const status = await end.exit();
    if (status !== 0) throw new Error(`${end.name}: ended with ${status}`);
  }
}

const LAST_BYTES = 65_536;

/** What a command says of its path, in the order it says so. */
class PathRecord {
  #process: SrudpProcess | undefined;
  #startedAtMs = 0;

  follow(process: SrudpProcess, hello: SrudpEvent): void {
    this.#process = process;
    this.#startedAtMs = process.heardAtMs(hello);
  }

  /** Until the path is direct, for so long at most. */
  async waitForDirect(process: SrudpProcess, timeoutMs: number): Promise<void> {
    const endAtMs = performance.now() + timeoutMs;
    while (this.#stations().at(-1)?.path === RELAYED) {
      const leftMs = endAtMs - performance.now();
      if (leftMs <= 0) return;
      // Without an event in time the link stays as it is; a process that ended is found out by its bytes.
      await process.event("path", leftMs).catch(() => undefined);
    }
  }

  summary(): Pick<TrialResult, "firstPath" | "path" | "remote" | "connectedMs" | "directMs"> {
    const stations = this.#stations();
    const [first] = stations;
    if (first === undefined) return {};
    const direct = stations.find(({ path }) => path !== RELAYED);
    return {
      firstPath: first.path,
      path: stations.at(-1)!.path,
      remote: stations.at(-1)!.remote,
      connectedMs: first.afterMs,
      ...(direct !== undefined && { directMs: direct.afterMs }),
    };
  }

  #stations(): readonly { readonly path: string; readonly remote: string; readonly afterMs: number }[] {
    const process = this.#process;
    if (process === undefined) return [];
    return process.events
      .filter(({ event }) => event === "connected" || event === "path")
      .map((event) => ({
        path: String(event.path).split("→").at(-1)!,
        remote: String(event.remote),
        afterMs: process.heardAtMs(event) - this.#startedAtMs,
      }));
  }
}

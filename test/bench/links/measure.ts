/** One measurement: two processes, the emulator between them, one transfer from the one that connects. */
import { type ChildProcess, fork } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import type { EmulatorReport } from "../../lib/emulator.ts";
import { type EmulatedLink, startEmulator } from "../../lib/emulator-process.ts";
import { builtFile } from "../../lib/paths.ts";
import { ProcessMeter } from "../../lib/process-meter.ts";
import { idealMbit, type LinkRow, linkOptions } from "./rows.ts";
import type { PeerAnswer, PeerOrder, TracePoint, TransportName, TransportReport } from "./transport.ts";

export interface SideReport extends TransportReport {
  readonly peakResidentBytes: number;
  readonly cpuMs: number;
}

export interface Measurement {
  readonly link: string;
  readonly transport: TransportName;
  readonly seed: number;
  readonly goodputMbit: number;
  /** The transfer was too slow to be waited for: the figures are those of its first part. */
  readonly isCut: boolean;
  /** From the call to connect to the last byte at the receiver. */
  readonly tookMs: number;
  /** Until the sender could write. */
  readonly handshakeMs: number;
  readonly sender: SideReport;
  readonly receiver: SideReport;
  readonly emulator: EmulatorReport;
  /** What else this machine did meanwhile: processors busy with others, of all there are. */
  readonly othersShare: number;
  /** Time that no processor was free, of all there are: near 1, the figure is the machine's and not ours. */
  readonly busyShare: number;
  readonly load: number;
  readonly trace: readonly TracePoint[];
}

export interface MeasureOptions {
  readonly link: LinkRow;
  readonly transport: TransportName;
  readonly seed: number;
  /** Time between two looks at the sender's state; 0 for none. */
  readonly traceEveryMs: number;
}

/** A transfer is cut off after so many times the ideal. */
const PATIENCE_FACTOR = 8;
const ANSWER_MS = 20_000;

/** Carries the bytes once. Rejects with the reason when that fails, or what arrives is not what was sent. */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const { link, transport, seed, traceEveryMs } = options;
  const { bytes } = link;
  const timeoutMs = (PATIENCE_FACTOR * bytes * 8) / 1000 / idealMbit(link);
  const receiver = new PeerProcess();
  const sender = new PeerProcess();
  let emulated: EmulatedLink | undefined;
  try {
    await Promise.all([receiver.answer("ready", ANSWER_MS), sender.answer("ready", ANSWER_MS)]);
    receiver.order({ kind: "receive", transport, bytes });
    const { port } = await receiver.answer("listening", ANSWER_MS);
    emulated = await startEmulator({ targetPort: port, seed, both: linkOptions(link) });
    const before = processorTimes();
    const ownBeforeMs = sender.cpuMs + receiver.cpuMs;
    sender.order({ kind: "send", transport, bytes, port: emulated.port, traceEveryMs });
    const { startedMs, connectedMs } = await sender.answer("connected", ANSWER_MS);
    const finished = await Promise.race([receiver.answerOr("received", timeoutMs), sender.failure]);
    const after = processorTimes();
    const report = await emulated.report();
    const ownMs = sender.cpuMs + receiver.cpuMs - ownBeforeMs + report.cpuMs;
    sender.order({ kind: "report" });
    receiver.order({ kind: "report" });
    const sent = await sender.answer("report", ANSWER_MS);
    const got = await receiver.answer("report", ANSWER_MS);
    const tookMs = (finished ?? got).atMs - startedMs;
    const elapsedMs = after.allMs - before.allMs;
    return {
      link: link.name,
      transport,
      seed,
      goodputMbit: (got.receivedBytes * 8) / 1000 / tookMs,
      isCut: finished === undefined,
      tookMs,
      handshakeMs: connectedMs - startedMs,
      sender: sender.side(sent.report),
      receiver: receiver.side(got.report),
      emulator: report,
      othersShare: Math.max(0, (after.busyMs - before.busyMs - ownMs) / elapsedMs),
      busyShare: (after.busyMs - before.busyMs) / elapsedMs,
      load: loadavg()[0]!,
      trace: sent.trace,
    };
  } finally {
    sender.stop();
    receiver.stop();
    emulated?.stop();
  }
}

type Answer<K extends PeerAnswer["kind"]> = Extract<PeerAnswer, { kind: K }>;

class PeerProcess {
  /** Rejects when the process says that it failed, or ends. */
  readonly failure: Promise<never>;
  readonly #child: ChildProcess;
  readonly #meter: ProcessMeter;
  readonly #answers: PeerAnswer[] = [];
  #waiting: (() => void) | undefined;

  constructor() {
    this.#child = fork(fileURLToPath(builtFile("test/bench/links-peer.js")), [], {
      execArgv: [],
      serialization: "advanced",
    });
    this.#meter = new ProcessMeter(this.#child.pid!);
    this.failure = new Promise((_, reject) => {
      this.#child.on("exit", (code) => reject(new Error(`a peer ended with ${code}`)));
      this.#child.on("message", (answer: PeerAnswer) => {
        if (answer.kind === "failed") reject(new Error(answer.reason));
        this.#answers.push(answer);
        this.#waiting?.();
      });
    });
    // It ends in any case, mostly when nobody waits any more.
    this.failure.catch(() => {});
  }

  get cpuMs(): number {
    this.#meter.sample();
    return this.#meter.cpuMs;
  }

  order(order: PeerOrder): void {
    this.#child.send(order);
  }

  /** The next answer of this kind; rejects when it takes too long. */
  async answer<K extends PeerAnswer["kind"]>(kind: K, timeoutMs: number): Promise<Answer<K>> {
    const answer = await this.answerOr(kind, timeoutMs);
    if (answer === undefined) throw new Error(`no answer "${kind}" of a peer within ${timeoutMs} ms`);
    return answer;
  }

  /** The same; undefined when it takes too long. */
  async answerOr<K extends PeerAnswer["kind"]>(kind: K, timeoutMs: number): Promise<Answer<K> | undefined> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    const arrival = new Promise<Answer<K>>((resolve) => {
      this.#waiting = () => {
        const at = this.#answers.findIndex((answer) => answer.kind === kind);
        if (at >= 0) resolve(this.#answers.splice(at, 1)[0] as Answer<K>);
      };
      this.#waiting();
    });
    try {
      return await Promise.race([arrival, late, this.failure]);
    } finally {
      clearTimeout(timer);
    }
  }

  side(report: TransportReport): SideReport {
    this.#meter.sample();
    const { peakResidentBytes, cpuMs } = this.#meter;
    return { ...report, peakResidentBytes, cpuMs };
  }

  stop(): void {
    this.#meter.stop();
    this.#child.removeAllListeners("exit");
    this.#child.kill("SIGKILL");
  }
}

/** Time of all processors since the system's start, ms. */
function processorTimes(): { allMs: number; busyMs: number } {
  let allMs = 0;
  let idleMs = 0;
  for (const { times } of cpus()) {
    allMs += times.user + times.nice + times.sys + times.idle + times.irq;
    idleMs += times.idle;
  }
  return { allMs, busyMs: allMs - idleMs };
}

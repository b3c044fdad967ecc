/** The command under attack: in this process, where everything can be counted, or the real program beside it. */
import { readdirSync, readFileSync } from "node:fs";
import { type SrudpEvent, SrudpProcess } from "../../lib/srudp-process.ts";
import type { Counts } from "./inventory.ts";

export type CommandName = "listen" | "forward" | "rendezvous";

export interface Victim {
  /** What it ended with, once it has ended. */
  readonly end: string | undefined;
  /** What it reported as a fault of its own, should it have. */
  readonly internal: string | undefined;
  /** The next event of this name. */
  event(name: string): Promise<SrudpEvent>;
  /** What it holds at the moment and has to give back. */
  held(): Counts;
  /** Resident memory of a process of its own. */
  readonly residentBytes?: number | undefined;
  /** Ends it as a signal does. */
  stop(): Promise<void>;
}

export type StartVictim = (
  name: CommandName,
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
) => Victim;

/** The real program. */
export class ProcessVictim implements Victim {
  readonly #process: SrudpProcess;
  end: string | undefined;

  constructor(name: CommandName, words: readonly string[], environment: NodeJS.ProcessEnv) {
    const { XDG_CONFIG_HOME: configHome = "", XDG_RUNTIME_DIR = "" } = environment;
    const env = { XDG_RUNTIME_DIR };
    this.#process = SrudpProcess.start([name, ...words], {
      stdin: "nothing",
      stdout: "nothing",
      env,
      configHome,
    });
    void this.#process.ended.then((status) => {
      this.end = `status ${status}: ${this.#process.said.slice(-2000)}`;
    });
  }

  get internal(): string | undefined {
    const event = this.#process.events.find((one) => one.code === "ERR_INTERNAL" || one.event === "fault");
    return event === undefined ? undefined : `${event.message} ${String(event.trace ?? "")}`;
  }

  event(name: string): Promise<SrudpEvent> {
    return this.#process.event(name);
  }

  held(): Counts {
    const { pid } = this.#process;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return new Map([
      ["descriptors", readdirSync(`/proc/${pid}/fd`).length],
      ["children", children === "" ? 0 : children.split(" ").length],
    ]);
  }

  /** Resident memory, bytes. */
  get residentBytes(): number {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, "utf8");
    return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
  }

  async stop(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.ended;
    this.#process.release();
  }
}

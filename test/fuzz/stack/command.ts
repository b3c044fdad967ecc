/**
 * A command of srudp inside this process: the whole stack from the options down to the sockets, but for the
 * process itself. What it says on stderr is taken as events, and how it ends is kept.
 */
import { Command } from "commander";
import { SrudpError } from "../../../src/base/errors.ts";
import { runForward } from "../../../src/cli/actions/run-forward.ts";
import { runListen } from "../../../src/cli/actions/run-listen.ts";
import { runRendezvous } from "../../../src/cli/actions/run-rendezvous.ts";
import type { CommandContext } from "../../../src/cli/context.ts";
import { asSrudpError } from "../../../src/cli/exit.ts";
import { FaultReports } from "../../../src/cli/faults.ts";
import { addLinkOptions } from "../../../src/cli/options/common-options.ts";
import { addRendezvousOptions } from "../../../src/cli/options/rendezvous-options.ts";
import { Reporter } from "../../../src/cli/terminal/reporter.ts";
import { within } from "../../lib/deadline.ts";
import type { SrudpEvent } from "../../lib/srudp-process.ts";
import { type Counts, handles } from "./inventory.ts";
import type { CommandName, Victim } from "./victim.ts";

const EVENT_TIMEOUT_MS = 15_000;

export class InProcessCommand implements Victim {
  /** What it ended with, once it has ended. */
  end: string | undefined;
  /** What it reported as a fault of its own. */
  internal: string | undefined;
  readonly #interrupt: AbortController = new AbortController();
  readonly #over: Promise<void>;
  /** Events that nobody has waited for yet, the newest few. */
  #events: SrudpEvent[] = [];
  #wake: () => void = () => undefined;

  constructor(name: CommandName, words: readonly string[], environment: NodeJS.ProcessEnv) {
    const at = words.indexOf("--");
    const program = at < 0 ? undefined : words.slice(at + 1);
    const options = at < 0 ? words : words.slice(0, at);
    const reporter = new Reporter(
      { write: (text) => this.#hear(text) },
      { json: true, quiet: false, verbosity: 0 },
    );
    const context: CommandContext = {
      reporter,
      faults: new FaultReports(reporter),
      interrupt: { signal: this.#interrupt.signal, release: () => undefined },
      environment,
      version: "0",
      program,
    };
    this.#over = start(name, options, context).then(
      () => this.#finish(undefined),
      (error: unknown) => this.#finish(asSrudpError(error)),
    );
  }

  /** The next event of this name. */
  async event(name: string): Promise<SrudpEvent> {
    const next = async (): Promise<SrudpEvent> => {
      for (;;) {
        const at = this.#events.findIndex(({ event }) => event === name);
        if (at >= 0) return this.#events.splice(0, at + 1).at(-1)!;
        if (this.end !== undefined) throw new Error(`no event "${name}": ${this.end}`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    };
    return within(next(), EVENT_TIMEOUT_MS, () => `no event "${name}"`);
  }

  /** It shares this process, whose own things do not change meanwhile. */
  held(): Counts {
    return handles();
  }

  /** Ends the command as a signal does. */
  async stop(): Promise<void> {
    this.#interrupt.abort(new SrudpError("ERR_INTERRUPTED"));
    await within(this.#over, EVENT_TIMEOUT_MS, () => "the command does not end");
  }

  #finish(error: SrudpError | undefined): void {
    this.end = error === undefined ? "in order" : `${error.code} ${error.message}`;
    if (error?.code === "ERR_INTERNAL") this.internal ??= traceOf(error);
    this.#wake();
  }

  #hear(text: string): void {
    for (const line of text.split("\n")) {
      if (line === "") continue;
      const event = JSON.parse(line) as SrudpEvent;
      if (event.code === "ERR_INTERNAL" || event.event === "fault")
        this.internal ??= `${event.message} ${String(event.trace ?? "")}`;
      this.#events.push(event);
      if (this.#events.length > 100) this.#events.shift();
    }
    this.#wake();
  }
}

function traceOf(error: SrudpError): string {
  return (error.cause instanceof Error ? error.cause : error).stack ?? String(error);
}

async function start(name: CommandName, words: readonly string[], context: CommandContext): Promise<unknown> {
  const command = new Command(name).exitOverride();
  // One turn later: whoever makes the command hears its first events.
  await Promise.resolve();
  switch (name) {
    case "listen":
      addLinkOptions(command).argument("[port]").parse(words, { from: "user" });
      return runListen(context, command.args[0], command.opts());
    case "forward":
      addLinkOptions(command).argument("[peer...]").parse(words, { from: "user" });
      return runForward(context, command.args, command.opts(), command);
    case "rendezvous":
      addRendezvousOptions(command).parse(words, { from: "user" });
      return runRendezvous(context, command.opts());
  }
}

/** Whether this version of a command knows an option. */
export function hasOption(name: CommandName, option: string): boolean {
  const command =
    name === "rendezvous" ? addRendezvousOptions(new Command(name)) : addLinkOptions(new Command(name));
  return command.options.some(({ long }) => long === option);
}

/**
 * The commander program: the list of commands, and what becomes of an error. Each command registers itself and
 * loads its action when it runs, so that help costs nothing but commander.
 */
import { Command, CommanderError } from "commander";
import { endPrograms } from "../app/program-group.ts";
import type { SrudpError } from "../base/errors.ts";
import { unlessAborted } from "../platform/deadline.ts";
import { checkDescriptorLimit } from "../platform/descriptors.ts";
import { shutdownHooksDone } from "../platform/shutdown-hooks.ts";
import { register as registerBench } from "./commands/bench-command.ts";
import { register as registerComplete } from "./commands/complete-command.ts";
import { register as registerCompletion } from "./commands/completion-command.ts";
import { register as registerConnect } from "./commands/connect-command.ts";
import { register as registerControl } from "./commands/control-command.ts";
import { register as registerDoctor } from "./commands/doctor-command.ts";
import { register as registerForward } from "./commands/forward-command.ts";
import { register as registerKey } from "./commands/key-command.ts";
import { register as registerListen } from "./commands/listen-command.ts";
import { register as registerPeers } from "./commands/peers-command.ts";
import { register as registerRendezvous } from "./commands/rendezvous-command.ts";
import { register as registerStatus } from "./commands/status-command.ts";
import type { CommandContext } from "./context.ts";
import { asSrudpError, exitStatusOf, outliveTerminal } from "./exit.ts";
import { FaultReports } from "./faults.ts";
import { hideCodes, splitWords, usage } from "./options/operands.ts";
import { catchSignals, type Interrupt } from "./terminal/interrupt.ts";
import { Reporter } from "./terminal/reporter.ts";

/** In the order of `srudp --help`. */
const REGISTRATIONS: readonly ((program: Command, context: CommandContext) => void)[] = [
  registerListen,
  registerConnect,
  registerRendezvous,
  registerForward,
  registerBench,
  registerStatus,
  registerControl,
  registerDoctor,
  registerKey,
  registerPeers,
  registerCompletion,
  registerComplete,
];

const EXAMPLES = `
Example:
  machine A$ srudp listen < file
  machine B$ srudp connect 42-ocean-lizard-maple > file       the code that A printed

\`srudp <command> --help\` tells more.`;

/** What commander puts before each of its messages. */
const MESSAGE_PREFIX = "error: ";

/**
 * Runs one command line to its end, and the process with it.
 *
 * @param words the command line without node and the script
 */
export async function run(words: readonly string[], version: string): Promise<void> {
  const { options, program } = splitWords(words);
  // A mistake in the options is reported in the form that the options ask for, so both are known before commander
  // parses them. The verbosity matters to actions only.
  const settings = { json: options.includes("--json"), quiet: options.includes("--quiet"), verbosity: 0 };
  const reporter = new Reporter(process.stderr, settings);
  // The reader of the events may go away, which does not end a transfer.
  process.stderr.on("error", () => undefined);
  outliveTerminal();
  const interrupt = catchSignals(() => reporter.setLiveLine(undefined));
  const fail = (thrown: unknown): never => {
    const error = asSrudpError(thrown);
    reporter.setLiveLine(undefined);
    reporter.error(error);
    process.exit(exitStatusOf(error));
  };
  process.on("uncaughtException", fail);
  try {
    checkDescriptorLimit();
    await reporter.useColors(process.env);
    const faults = new FaultReports(reporter);
    const context: CommandContext = {
      reporter,
      interrupt,
      faults,
      environment: process.env,
      version,
      program,
    };
    await parse(options, context);
    await settleAll(interrupt);
    process.exit();
  } catch (thrown) {
    await settleAll(interrupt);
    fail(thrown);
  }
}

/** Waits for what has to end before the process does. A signal ends the wait. */
async function settleAll({ signal }: Interrupt): Promise<void> {
  const settled = Promise.all([shutdownHooksDone(), endPrograms()]).then(() => undefined);
  if (signal.aborted) await settled;
  else await unlessAborted(signal, settled).catch(() => undefined);
}

/** Runs the command that `words` name. Its action sets `process.exitCode`. */
async function parse(words: readonly string[], context: CommandContext): Promise<void> {
  const program = new Command("srudp")
    .helpCommand("help [command]", "help for a command")
    .description("A secure pipe and port forwarder between two machines, each perhaps behind NAT.")
    .version(context.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .exitOverride((error) => {
      // Help and version are "errors" that have printed what was asked for.
      throw error.exitCode === 0 ? error : usageError(error);
    })
    .configureOutput({ writeErr: () => undefined })
    .addHelpText("after", EXAMPLES)
    .hook("preAction", (_, command) => {
      context.reporter.verbosity = command.opts<{ verbose?: number }>().verbose ?? 0;
    });
  for (const register of REGISTRATIONS) register(program, context);
  try {
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
  }
}

/** A mistake that commander found, with its message on one line. */
function usageError({ code, message }: CommanderError): SrudpError {
  if (code === "commander.help") return usage("A command is missing");
  const text = message.startsWith(MESSAGE_PREFIX) ? message.slice(MESSAGE_PREFIX.length) : message;
  // A suggestion ("Did you mean") is on a line of its own.
  const line = text.split("\n").join(" ");
  return usage(hideCodes(line.endsWith(".") ? line.slice(0, -1) : line));
}

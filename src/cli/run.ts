/**
 * Runs one command line: the parts that all commands share, error reporting, and the wait before
 * the process exits.
 */
import { endPrograms } from "../app/program-group.ts";
import { unlessAborted } from "../platform/deadline.ts";
import { checkDescriptorLimit } from "../platform/descriptors.ts";
import { shutdownHooksDone } from "../platform/shutdown-hooks.ts";
import type { CommandContext } from "./context.ts";
import { asSrudpError, exitStatusOf, outliveTerminal } from "./exit.ts";
import { FaultReports } from "./faults.ts";
import { splitWords } from "./options/operands.ts";
import { catchSignals, type Interrupt } from "./terminal/interrupt.ts";
import { Reporter } from "./terminal/reporter.ts";

/**
 * Runs one command line, then exits the process.
 *
 * @param words the command line without node and the script
 */
export async function run(words: readonly string[], version: string): Promise<void> {
  const { options, program } = splitWords(words);
  // These options are read before commander parses the command line, because they determine how a
  // usage error is reported. The verbosity only matters to actions.
  const settings = { json: options.includes("--json"), quiet: options.includes("--quiet"), verbosity: 0 };
  const reporter = new Reporter(process.stderr, settings);
  // The reader of the events may close stderr. This does not end a transfer.
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
    // Node opens the files of all commands at once, which exceeds a low limit.
    const { parse } = await import("./program.ts");
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

/** Waits for work that must finish before the process exits. A signal ends the wait. */
async function settleAll({ signal }: Interrupt): Promise<void> {
  const settled = Promise.all([shutdownHooksDone(), endPrograms()]).then(() => undefined);
  if (signal.aborted) await settled;
  else await unlessAborted(signal, settled).catch(() => undefined);
}

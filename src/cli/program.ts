/**
 * The commander program: the list of commands, and the handling of usage errors. Each command
 * registers itself and loads its action when it runs, so that help loads only commander.
 */
import { Command, CommanderError } from "commander";
import type { SrudpError } from "../base/errors.ts";
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
import { hideCodes, usage } from "./options/operands.ts";

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

/** The prefix of commander's messages. */
const MESSAGE_PREFIX = "error: ";

/** Runs the command that `words` name. The action sets `process.exitCode`. */
export async function parse(words: readonly string[], context: CommandContext): Promise<void> {
  const program = new Command("srudp")
    .helpCommand("help [command]", "help for a command")
    .description("A secure pipe and port forwarder between two machines, each perhaps behind NAT.")
    .version(context.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .exitOverride((error) => {
      // Commander reports help and version as errors, after it has printed them.
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

/** Converts an error of commander, with its message on one line. */
function usageError({ code, message }: CommanderError): SrudpError {
  if (code === "commander.help") return usage("A command is missing");
  const text = message.startsWith(MESSAGE_PREFIX) ? message.slice(MESSAGE_PREFIX.length) : message;
  // A suggestion ("Did you mean") is on a separate line.
  const line = text.split("\n").join(" ");
  return usage(hideCodes(line.endsWith(".") ? line.slice(0, -1) : line));
}

/** How the command ends: its exit status, and whether it prints the error. */
import { isatty } from "node:tty";
import { type ErrorCode, SrudpError } from "../base/errors.ts";
import { descriptorError } from "../platform/descriptors.ts";
import { closeStandardDescriptor } from "../platform/standard-descriptors.ts";
import { exitStatusFor } from "./failures.ts";

/** The first signal, which ends the command in order. */
export class Interruption extends SrudpError {
  /** The exit status for this signal. */
  readonly exitStatus: number;

  constructor(signal: NodeJS.Signals) {
    super("ERR_INTERRUPTED");
    this.exitStatus = SIGNAL_STATUS[signal] ?? exitStatusFor("ERR_INTERRUPTED");
  }
}

/** The exit status of the command after `error`. */
export function exitStatusOf(error: SrudpError): number {
  return error instanceof Interruption ? error.exitStatus : exitStatusFor(error.code);
}

/** 128 plus the number of the signal, as a shell reports it. */
export const SIGNAL_STATUS: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
};

/** Codes that end the command without a message, because the user caused them. */
const QUIET: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["ERR_INTERRUPTED", "ERR_OUTPUT_CLOSED"]);

/** Converts `thrown` to an SrudpError. Any other value is a bug, ERR_INTERNAL. */
export function asSrudpError(thrown: unknown): SrudpError {
  if (thrown instanceof SrudpError) return thrown;
  const descriptors = descriptorError(thrown);
  if (descriptors !== undefined) return descriptors;
  const what = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return new SrudpError("ERR_INTERNAL", what, thrown);
}

/** Whether this error is not reported as prose. */
export function isQuiet(error: SrudpError): boolean {
  return QUIET.has(error.code);
}

/**
 * Lets the process exit in order after its terminal has disappeared.
 *
 * At exit Node restores the settings of a terminal that was a standard descriptor at the start. If
 * that fails because the terminal has gone, Node aborts with a core dump. Node does not touch a
 * descriptor that was replaced in the meantime.
 */
export function outliveTerminal(): void {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  if (terminals.length === 0) return;
  process.once("exit", () => {
    for (const descriptor of terminals) {
      if (!isatty(descriptor)) closeStandardDescriptor(descriptor);
    }
  });
}

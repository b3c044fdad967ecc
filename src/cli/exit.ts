/** How the command ends: which status, and whether anything is said about it. */
import { isatty } from "node:tty";
import { ERRORS, type ErrorCode, SrudpError } from "../base/errors.ts";
import { descriptorError } from "../platform/descriptors.ts";
import { closeStandardDescriptor } from "../platform/standard-descriptors.ts";

/** The first signal asked for an end in order; a subclass so that `ERR_INTERRUPTED` knows which signal. */
export class Interruption extends SrudpError {
  readonly #status: number;

  constructor(signal: NodeJS.Signals) {
    super("ERR_INTERRUPTED");
    this.#status = SIGNAL_STATUS[signal] ?? ERRORS.ERR_INTERRUPTED.exit;
  }

  override get exit(): number {
    return this.#status;
  }
}

/** 128 and the number of the signal, as a shell reports it. */
export const SIGNAL_STATUS: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
};

/** Codes that end the command without a sentence: whoever caused them knows. */
const QUIET: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["ERR_INTERRUPTED", "ERR_OUTPUT_CLOSED"]);

/** Whatever was thrown, as an error of the table: what the table does not know is a bug of ours. */
export function asSrudpError(thrown: unknown): SrudpError {
  if (thrown instanceof SrudpError) return thrown;
  const descriptors = descriptorError(thrown);
  if (descriptors !== undefined) return descriptors;
  const what = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return new SrudpError("ERR_INTERNAL", what, thrown);
}

/** Whether the prose is silent about this error. */
export function isQuiet(error: SrudpError): boolean {
  return QUIET.has(error.code);
}

/**
 * Lets the process end in order although its terminal was closed under it.
 *
 * At exit Node restores the settings of a terminal that a standard descriptor had at the start, and aborts with
 * a core dump where the terminal refuses because it has gone. A descriptor that leads elsewhere by then is left alone.
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

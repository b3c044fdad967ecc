/** `srudp control`: adds forwards to a running link, and cancels them. */
import { runningProcesses, sendRequest } from "../../app/control/control-client.ts";
import { controlFolder } from "../../app/control/control-folder.ts";
import { parseForward } from "../../app/forward/spec.ts";
import { ERRORS, type ErrorCode, SrudpError } from "../../base/errors.ts";
import type { CommandContext } from "../context.ts";
import type { ForwardOptions } from "../options/common-options.ts";
import { usage } from "../options/operands.ts";
import { reportForwarding } from "../reports/forward-reports.ts";
import { escapeText } from "../terminal/escape.ts";

export interface ControlOptions extends ForwardOptions {
  /** Number of the link, as `srudp status` prints it. */
  readonly link?: number;
}

/**
 * @returns the exit status. @throws SrudpError ERR_USAGE; the error in the answer of the process
 */
export async function runControl(
  context: CommandContext,
  process: string,
  action: string,
  options: ControlOptions,
): Promise<number> {
  if (action !== "add" && action !== "cancel")
    throw usage(`"${escapeText(action)}" is neither add nor cancel`);
  const wanted = (["L", "R", "D"] as const).flatMap((option) =>
    (options[option] ?? []).map((forward) => ({ option, forward })),
  );
  if (wanted.length === 0) throw usage("Name a forward with -L, -R or -D");
  for (const { option, forward } of wanted) parseForward(option, forward);

  const path = await find(context, process);
  for (const { option, forward } of wanted) {
    const answer = await sendRequest(path, { do: action, option, forward, link: options.link });
    if (answer === undefined) throw new SrudpError("ERR_CONTROL_TIMEOUT", `${escapeText(process)} has ended`);
    if ("error" in answer) throw errorOf(answer.error);
    if ("forward" in answer && answer.forward !== undefined)
      reportForwarding(context.reporter, answer.forward);
    else
      context.reporter.event("cancelled", { option, forward }, `cancelled -${option} ${escapeText(forward)}`);
  }
  return 0;
}

/** The control socket of the only process with this ID or name. */
async function find({ environment }: CommandContext, wanted: string): Promise<string> {
  const running = await runningProcesses(controlFolder(environment));
  const found = running.filter(
    ({ pid, state }) => String(pid) === wanted || (!(state instanceof SrudpError) && state.name === wanted),
  );
  if (found.length === 0) throw usage(`Nothing runs as ${escapeText(wanted)}; see \`srudp status\``);
  if (found.length > 1) throw usage(`Several processes go by ${escapeText(wanted)}: name one by its number`);
  const { path, state } = found[0]!;
  if (state instanceof SrudpError) throw new SrudpError(state.code, escapeText(wanted), state);
  return path;
}

/**
 * Converts an answer to an error. The message ends with the text of the error table, which is not
 * part of the detail.
 */
function errorOf({ code, message }: { readonly code: string; readonly message: string }): SrudpError {
  if (!(code in ERRORS)) return new SrudpError("ERR_USAGE", message);
  const ending = `: ${ERRORS[code as ErrorCode].message}`;
  const detail = message.endsWith(ending) ? message.slice(0, -ending.length) : undefined;
  return new SrudpError(code as ErrorCode, detail);
}

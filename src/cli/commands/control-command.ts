/** `srudp control` on the command line. */
import type { Command } from "commander";
import type { ControlOptions } from "../actions/run-control.ts";
import type { CommandContext } from "../context.ts";
import { addForwardOptions, optionParser } from "../options/common-options.ts";
import { parseLinkNumber } from "../options/operands.ts";

const DESCRIPTION =
  "Add forwards to a running link, or cancel them; `srudp status` has its number and name. " +
  "Those of `srudp forward` stay when the link is made again; those of other commands end with it.";

export function register(program: Command, context: CommandContext): void {
  const command = program
    .command("control")
    .summary("change the forwards of a running link")
    .description(DESCRIPTION)
    .argument("<process>", "its number, or the peer or port that it was given")
    .argument("<action>", "add or cancel")
    .option(
      "--link <n>",
      "which of several links (`srudp listen -k`), by its number",
      optionParser(parseLinkNumber),
    )
    .option("--json", "events as JSON, one a line");
  addForwardOptions(command).action(async (running: string, action: string, options: ControlOptions) => {
    const { runControl } = await import("../actions/run-control.ts");
    process.exitCode = await runControl(context, running, action, options);
  });
}

/** `srudp status` on the command line. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";

const DESCRIPTION =
  "List the links of this user's running processes: path, round trip, rate, loss, forwards.";

export function register(program: Command, context: CommandContext): void {
  program
    .command("status")
    .summary("this user's running links")
    .description(DESCRIPTION)
    .option("--json", "as JSON on stdout, a process a line")
    .action(async (options: { json?: true }) => {
      const { runStatus } = await import("../actions/run-status.ts");
      process.exitCode = await runStatus(context, options);
    });
}

/** The hidden command that the completion scripts call: `srudp __complete -- WORDS`. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";

export const COMPLETE_COMMAND = "__complete";

export function register(program: Command, { program: words = [], environment }: CommandContext): void {
  program.command(COMPLETE_COMMAND, { hidden: true }).action(async () => {
    const { runComplete } = await import("../actions/run-complete.ts");
    process.exitCode = await runComplete(program, words, environment);
  });
}

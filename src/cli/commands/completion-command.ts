/** `srudp completion` on the command line. */
import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("completion")
    .summary("completion script for a shell")
    .description("Print a completion script for a shell.")
    .argument("<shell>", "bash, zsh or fish")
    .action(async (shell: string) => {
      const { runCompletion } = await import("../actions/run-completion.ts");
      process.exitCode = runCompletion(shell);
    });
}

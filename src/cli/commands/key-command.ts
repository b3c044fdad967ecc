/** `srudp key` on the command line: a subcommand for each action. */
import type { Command } from "commander";
import type { KeyAction } from "../actions/run-key.ts";
import type { CommandContext } from "../context.ts";

const DESCRIPTION = "Show this user's key (the default), make one, or make a secret to share.";

const ACTIONS: readonly (readonly [KeyAction, string])[] = [
  ["show", "Print this user's public key; it is made at first need."],
  ["new", "Make a key where there is none, and print its public half."],
  ["secret", "Print a new 256-bit secret, to be shared by two sides beforehand."],
];

export function register(program: Command, context: CommandContext): void {
  const key = program.command("key").summary("own key, and secrets to share").description(DESCRIPTION);
  for (const [name, description] of ACTIONS) {
    const action = key
      .command(name, { isDefault: name === "show" })
      .description(description)
      .option("--json", "errors as JSON");
    if (name !== "secret") action.option("--identity <file>", "a key file other than the usual one");
    if (name === "secret") action.argument("[file]", "where to write it, readable by this user only");
    action.action(async (...words: unknown[]) => {
      // The arguments that commander passes: the operands, the options, and the command.
      const [options] = words.slice(-2) as [{ identity?: string }, Command];
      const file = name === "secret" ? (words[0] as string | undefined) : options.identity;
      const { runKey } = await import("../actions/run-key.ts");
      process.exitCode = await runKey(context, name, file);
    });
  }
}

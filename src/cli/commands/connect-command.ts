/** `srudp connect` on the command line. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";
import { addLinkOptions, type LinkOptions } from "../options/common-options.ts";

const DESCRIPTION =
  "Reach a peer and bridge it to stdin and stdout.\n\n" +
  "Without a secret, passphrase or key, the code that the other side printed is asked for on the terminal.";

const EXAMPLES = `
Examples:
  srudp connect 42-ocean-lizard-maple > file                     the peer that printed this code
  srudp connect laptop > file                                    a peer that was saved (--save)
  srudp connect a.example.org:4242 > file                        asks for the code
  srudp connect [2001:db8::7]:4242 --peer srudp1…                trusts one key only
  srudp connect a.example.org 4242 --passphrase-file f -e -- sh  bridges to a program`;

export function register(program: Command, context: CommandContext): void {
  const command = program
    .command("connect")
    .summary("reach a peer")
    .description(DESCRIPTION)
    .argument("[peer...]", "a code, host:port, [address]:port, a saved name, a key or a ticket");
  addLinkOptions(command)
    .addHelpText("after", EXAMPLES)
    .action(async (peer: string[], options: LinkOptions) => {
      const { runConnect } = await import("../actions/run-connect.ts");
      process.exitCode = await runConnect(context, peer, options);
    });
}

/** `srudp listen` on the command line. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";
import { addLinkOptions, type LinkOptions } from "../options/common-options.ts";

const DESCRIPTION =
  "Wait for a peer and bridge it to stdin and stdout: at a port, or, without one, at the meeting places where " +
  "a peer with the code looks.\n\n" +
  "Without a secret, passphrase or keys that may connect, a one-use code is made and printed: " +
  "share it with the person who connects.";

const EXAMPLES = `
Examples:
  srudp listen < file                             send a file to a peer that has the code, wherever it is
  srudp listen 4242 < file                        the same, to be reached at this port
  srudp listen 4242 -k --secret-file s -e -- cat  run a program for each authenticated peer`;

export function register(program: Command, context: CommandContext): void {
  const command = program
    .command("listen")
    .summary("wait for a peer")
    .description(DESCRIPTION)
    .argument("[port]", "UDP port");
  addLinkOptions(command)
    .addHelpText("after", EXAMPLES)
    .action(async (port: string | undefined, options: LinkOptions) => {
      const { runListen } = await import("../actions/run-listen.ts");
      process.exitCode = await runListen(context, port, options);
    });
}

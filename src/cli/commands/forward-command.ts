/** `srudp forward` on the command line. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";
import { addLinkOptions, type ForwardOptions } from "../options/common-options.ts";

const DESCRIPTION =
  "Hold a link to a peer and carry ports over it, both ways, until it is stopped.\n\n" +
  "The peer decides what may be reached through it (`srudp listen --expose`). A link that is lost is made again; " +
  "the ports stay open meanwhile.";

const EXAMPLES = `
Examples:
  srudp forward a.example.org:4242 -L 2222:localhost:22     then: ssh -p 2222 localhost
  srudp forward a.example.org:4242 -R 8080:localhost:3000   the peer's port 8080 leads here
  srudp forward a.example.org:4242 -D 1080                  a SOCKS proxy
  srudp forward a.example.org:4242 -L 5353:9.9.9.9:53/udp
  srudp forward 42-ocean-lizard-maple --save office -L 8022:localhost:22    from now on: srudp forward office -L …`;

export function register(program: Command, context: CommandContext): void {
  const command = program
    .command("forward")
    .summary("carry ports over a link to a peer")
    .description(DESCRIPTION)
    .argument("[peer...]", "a code, host:port, [address]:port, a saved name, a key or a ticket");
  addLinkOptions(command)
    .addHelpText("after", EXAMPLES)
    .action(async (peer: string[], options: ForwardOptions) => {
      const { runForward } = await import("../actions/run-forward.ts");
      process.exitCode = await runForward(context, peer, options, command);
    });
}

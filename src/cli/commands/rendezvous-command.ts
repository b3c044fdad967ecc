/** `srudp rendezvous` on the command line. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";
import { addRendezvousOptions, type RendezvousCommandOptions } from "../options/rendezvous-options.ts";

const DESCRIPTION =
  "Run a meeting place for peers behind NAT: STUN, a mailbox for sealed signals, and a relay where no direct " +
  "path exists. It can read nothing of what it carries. SIGUSR1 has it tell its numbers.";

const EXAMPLES = `
Examples:
  srudp rendezvous                                      on UDP 3478 and 3479 and TCP 3478
  srudp rendezvous --tls-cert c.pem --tls-key k.pem --port 443
  srudp listen --rendezvous udp://meet.example.org:3478     peers that use it`;

export function register(program: Command, context: CommandContext): void {
  const command = program.command("rendezvous").summary("run a meeting place").description(DESCRIPTION);
  addRendezvousOptions(command)
    .addHelpText("after", EXAMPLES)
    .action(async (options: RendezvousCommandOptions) => {
      const { runRendezvous } = await import("../actions/run-rendezvous.ts");
      process.exitCode = await runRendezvous(context, options);
    });
}

/** `srudp doctor` on the command line. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";
import { addDoctorOptions, type LinkOptions } from "../options/common-options.ts";

const DESCRIPTION =
  "Find out how this machine stands in the network: addresses, what its NAT maps and lets in, whether the router " +
  "gives a port, which relays work. With the code of a peer that listens: how a link to it would go, and the one " +
  "thing that would help most. No link is made, and the code stays good.";

export function register(program: Command, context: CommandContext): void {
  const command = program
    .command("doctor")
    .summary("how this machine, and a peer, can be reached")
    .description(DESCRIPTION)
    .argument("[code...]", "the code of a peer that listens");
  addDoctorOptions(command).action(async (code: string[], options: LinkOptions) => {
    const { runDoctor } = await import("../actions/run-doctor.ts");
    process.exitCode = await runDoctor(context, code, options);
  });
}

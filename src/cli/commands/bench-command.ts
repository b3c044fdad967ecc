/** `srudp bench` on the command line. */
import type { Command } from "commander";
import type { CommandContext } from "../context.ts";
import { addLinkOptions, type LinkOptions } from "../options/common-options.ts";

const DESCRIPTION =
  "Measure the link to a peer that listens: throughput both ways, round trips of one byte, loss, and the path.";

export function register(program: Command, context: CommandContext): void {
  const command = program
    .command("bench")
    .summary("measure a link")
    .description(DESCRIPTION)
    .argument("[peer...]", "host:port, [address]:port, host and port, or a saved name");
  addLinkOptions(command).action(async (peer: string[], options: LinkOptions & { seconds?: number }) => {
    const { runBench } = await import("../actions/run-bench.ts");
    process.exitCode = await runBench(context, peer, options);
  });
}

/** `srudp peers` on the command line: a subcommand for each action. */
import type { Command } from "commander";
import type { PeersCheckOptions } from "../actions/peers-check.ts";
import type { PeersAction } from "../actions/run-peers.ts";
import type { CommandContext } from "../context.ts";
import { collect } from "../options/common-options.ts";

const DESCRIPTION =
  "Peers that were paired with --save, trusted at first use, or may connect.\n\n" +
  "A saved name stands wherever a peer or a key is asked for.";

type Operand = readonly [word: string, description: string];

const ACTIONS: readonly (readonly [PeersAction, readonly Operand[], string])[] = [
  ["list", [], "Print who is known: name, why, key, address."],
  [
    "add",
    [
      ["<name>", "what to call it"],
      ["<key>", "what `srudp key` prints there"],
      ["[address]", "host:port"],
    ],
    "Save a peer whose key came by another way; it has to save this side's key too.",
  ],
  [
    "forget",
    [["<peer>", "a name, host:port or key of the list"]],
    "Let a key go: it may not connect any more, and is expected nowhere.",
  ],
  [
    "check",
    [
      ["<peer>", "its key, saved name, or name in authorized_peers"],
      ["<target>", "host:port, host:port/udp, or a socket's path"],
    ],
    "Say whether a peer may reach a target through here, and by which rule. Exits with 77 when it may not.",
  ],
];

export function register(program: Command, context: CommandContext): void {
  const peers = program.command("peers").summary("peers that are known").description(DESCRIPTION);
  for (const [name, operands, description] of ACTIONS) {
    const action = peers
      .command(name, { isDefault: name === "list" })
      .description(description)
      .option("--json", "the list, and errors, as JSON");
    if (name === "check")
      action.option("--expose <target>", "what `srudp listen` exposes to all (repeatable)", collect);
    for (const [word, meaning] of operands) action.argument(word, meaning);
    action.action(async () => {
      const { runPeers } = await import("../actions/run-peers.ts");
      process.exitCode = await runPeers(context, name, action.args, action.opts<PeersCheckOptions>());
    });
  }
}

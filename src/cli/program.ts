/**
 * The commander program: which commands there are, and what becomes of an error. Each command's code is
 * loaded when it runs, so that help costs nothing but commander.
 */
import { Command, CommanderError } from "commander";
import { endPrograms } from "../app/program-group.ts";
import { checkDescriptorLimit } from "../platform/descriptors.ts";
import { shutdownHooksDone } from "../platform/shutdown-hooks.ts";
import type { ControlOptions } from "./commands/control-command.ts";
import type { KeyAction } from "./commands/key-command.ts";
import type { PeersCheckOptions } from "./commands/peers-check.ts";
import type { PeersAction } from "./commands/peers-command.ts";
import type { CommandContext } from "./context.ts";
import { asSrudpError, outliveTerminal } from "./exit.ts";
import { FaultReports } from "./faults.ts";
import {
  addDoctorOptions,
  addForwardOptions,
  addLinkOptions,
  collected,
  type ForwardOptions,
  type LinkOptions,
  taken,
} from "./options/common-options.ts";
import { hideCodes, parseLinkNumber, splitWords, usage } from "./options/operands.ts";
import { addRendezvousOptions, type RendezvousCommandOptions } from "./options/rendezvous-options.ts";
import { catchSignals, type Interrupt, unlessAborted } from "./terminal/interrupt.ts";
import { Reporter } from "./terminal/reporter.ts";

/**
 * Runs one command line to its end, and the process with it.
 *
 * @param words the command line without node and the script
 */
export async function run(words: readonly string[], version: string): Promise<void> {
  const { options, program } = splitWords(words);
  // Known before the options are parsed, so that mistakes in them are told in the right form.
  const settings = {
    json: options.includes("--json"),
    quiet: options.includes("--quiet"),
    verbosity: verbosityOf(options),
  };
  const reporter = new Reporter(process.stderr, settings);
  // Whoever reads the events may go away; that is no reason to break a transfer off.
  process.stderr.on("error", () => undefined);
  outliveTerminal();
  const interrupt = catchSignals(() => reporter.setLiveLine(undefined));
  const fail = (thrown: unknown): never => {
    const error = asSrudpError(thrown);
    reporter.setLiveLine(undefined);
    reporter.error(error);
    process.exit(error.exit);
  };
  process.on("uncaughtException", fail);
  try {
    checkDescriptorLimit();
    await reporter.useColors();
    const faults = new FaultReports(reporter);
    const context: CommandContext = {
      reporter,
      interrupt,
      faults,
      environment: process.env,
      version,
      program,
    };
    const status = await parse(options, context);
    await settleAll(interrupt);
    process.exit(status);
  } catch (thrown) {
    await settleAll(interrupt);
    fail(thrown);
  }
}

/** What has to end before the process may. A signal that comes meanwhile ends the wait. */
async function settleAll({ signal }: Interrupt): Promise<void> {
  const settled = Promise.all([shutdownHooksDone(), endPrograms()]).then(() => undefined);
  if (signal.aborted) await settled;
  else await unlessAborted(signal, settled).catch(() => undefined);
}

/** @returns the status to exit with */
async function parse(words: readonly string[], context: CommandContext): Promise<number> {
  let status = 0;
  const program = describe(context, async (action) => {
    status = await action;
  });
  try {
    await program.parseAsync(words, { from: "user" });
    return status;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version are "errors" that have printed what was asked for.
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") throw usage("A command is missing");
    throw usage(
      hideCodes(
        error.message
          .replace(/^error: /, "")
          .replace(/\.?\s*\n\s*/g, " ")
          .replace(/\.$/, ""),
      ),
    );
  }
}

function describe(context: CommandContext, settle: (action: Promise<number>) => Promise<void>): Command {
  const program = new Command("srudp")
    .helpCommand("help [command]", "help for a command")
    .description("A secure pipe and port forwarder between two machines, each perhaps behind NAT.")
    .version(context.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .addHelpText("after", EXAMPLES);

  addLinkOptions(
    program.command("listen").summary("wait for a peer").description(LISTEN).argument("[port]", "UDP port"),
  )
    .addHelpText("after", LISTEN_EXAMPLES)
    .action((port: string | undefined, options: LinkOptions) =>
      settle(
        import("./commands/listen-command.ts").then(({ runListen }) => runListen(context, port, options)),
      ),
    );

  addLinkOptions(
    program
      .command("connect")
      .summary("reach a peer")
      .description(CONNECT)
      .argument("[peer...]", "a code, host:port, [address]:port, a saved name, a key or a ticket"),
  )
    .addHelpText("after", CONNECT_EXAMPLES)
    .action((peer: string[], options: LinkOptions) =>
      settle(
        import("./commands/connect-command.ts").then(({ runConnect }) => runConnect(context, peer, options)),
      ),
    );

  addRendezvousOptions(program.command("rendezvous").summary("run a meeting place").description(RENDEZVOUS))
    .addHelpText("after", RENDEZVOUS_EXAMPLES)
    .action((options: RendezvousCommandOptions) =>
      settle(
        import("./commands/rendezvous-command.ts").then(({ runRendezvous }) =>
          runRendezvous(context, options),
        ),
      ),
    );

  addLinkOptions(
    program
      .command("forward")
      .summary("carry ports over a link to a peer")
      .description(FORWARD)
      .argument("[peer...]", "a code, host:port, [address]:port, a saved name, a key or a ticket"),
  )
    .addHelpText("after", FORWARD_EXAMPLES)
    .action((peer: string[], options: ForwardOptions, command: Command) =>
      settle(
        import("./commands/forward-command.ts").then(({ runForward }) =>
          runForward(context, peer, options, command),
        ),
      ),
    );

  addLinkOptions(
    program
      .command("bench")
      .summary("measure a link")
      .description(BENCH)
      .argument("[peer...]", "host:port, [address]:port, host and port, or a saved name"),
  ).action((peer: string[], options: LinkOptions & { seconds?: number }) =>
    settle(import("./commands/bench-command.ts").then(({ runBench }) => runBench(context, peer, options))),
  );

  program
    .command("status")
    .summary("this user's running links")
    .description("List the links of this user's running processes: path, round trip, rate, loss, forwards.")
    .option("--json", "as JSON on stdout, a process a line")
    .action((options: { json?: true }) =>
      settle(import("./commands/status-command.ts").then(({ runStatus }) => runStatus(context, options))),
    );

  const control = program
    .command("control")
    .summary("change the forwards of a running link")
    .description(
      "Add forwards to a running link, or cancel them; `srudp status` has its number and name. " +
        "Those of `srudp forward` stay when the link is made again; those of other commands end with it.",
    )
    .argument("<process>", "its number, or the peer or port that it was given")
    .argument("<action>", "add or cancel")
    .option("--link <n>", "which of several links (`srudp listen -k`), by its number", taken(parseLinkNumber))
    .option("--json", "events as JSON, one a line");
  addForwardOptions(control).action((running: string, action: string, options: ControlOptions) =>
    settle(
      import("./commands/control-command.ts").then(({ runControl }) =>
        runControl(context, running, action, options),
      ),
    ),
  );

  addDoctorOptions(
    program
      .command("doctor")
      .summary("how this machine, and a peer, can be reached")
      .description(DOCTOR)
      .argument("[code...]", "the code of a peer that listens"),
  ).action((code: string[], options: LinkOptions) =>
    settle(import("./commands/doctor-command.ts").then(({ runDoctor }) => runDoctor(context, code, options))),
  );

  const key = program.command("key").summary("own key, and secrets to share").description(KEY);
  for (const [name, summary] of KEY_ACTIONS) {
    const action = key
      .command(name, { isDefault: name === "show" })
      .description(summary)
      .option("--json", "errors as JSON");
    if (name !== "secret") action.option("--identity <file>", "a key file other than the usual one");
    action.action((options: { identity?: string }) =>
      settle(import("./commands/key-command.ts").then(({ runKey }) => runKey(context, name, options))),
    );
  }

  const peers = program.command("peers").summary("peers that are known").description(PEERS);
  for (const [name, words, summary] of PEERS_ACTIONS) {
    const action = peers
      .command(name, { isDefault: name === "list" })
      .description(summary)
      .option("--json", "the list, and errors, as JSON");
    if (name === "check")
      action.option("--expose <target>", "what `srudp listen` exposes to all (repeatable)", collected);
    for (const [word, description] of words) action.argument(word, description);
    action.action((...all: unknown[]) => {
      const operands = all.slice(0, words.length).filter((one) => typeof one === "string");
      const options = all[words.length] as PeersCheckOptions;
      return settle(
        import("./commands/peers-command.ts").then(({ runPeers }) =>
          runPeers(context, name, operands, options),
        ),
      );
    });
  }

  program
    .command("completion")
    .summary("completion script for a shell")
    .description("Print a completion script for a shell.")
    .argument("<shell>", "bash, zsh or fish")
    .action((shell: string) =>
      settle(
        import("./commands/completion-command.ts").then(({ runCompletion }) => runCompletion(program, shell)),
      ),
    );
  return program;
}

function verbosityOf(options: readonly string[]): number {
  let count = 0;
  for (const option of options) {
    if (option === "--verbose") count++;
    // -v may stand among other letters that take no value: -kv, -4vv.
    else if (/^-[46ndkNev]+$/.test(option)) count += option.split("v").length - 1;
  }
  return count;
}

const KEY_ACTIONS: readonly (readonly [KeyAction, string])[] = [
  ["show", "Print this user's public key; it is made at first need."],
  ["new", "Make a key where there is none, and print its public half."],
  ["secret", "Print a new 256-bit secret, to be shared by two sides beforehand."],
];

type Argument = readonly [word: string, description: string];

const PEERS_ACTIONS: readonly (readonly [PeersAction, readonly Argument[], string])[] = [
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

const PEERS =
  "Peers that were paired with --save, trusted at first use, or may connect.\n\n" +
  "A saved name stands wherever a peer or a key is asked for.";
const LISTEN =
  "Wait for a peer and bridge it to stdin and stdout: at a port, or, without one, at the meeting places where " +
  "whoever has the code looks.\n\n" +
  "Without a secret, passphrase or keys that may connect, a one-use code is made and printed: " +
  "tell it to whoever shall connect.";
const CONNECT =
  "Reach a peer and bridge it to stdin and stdout.\n\n" +
  "Without a secret, passphrase or key, the code that the other side printed is asked for on the terminal.";
const RENDEZVOUS =
  "Run a meeting place for peers behind NAT: STUN, a mailbox for sealed signals, and a relay where no direct " +
  "path exists. It can read nothing of what it carries. SIGUSR1 has it tell its numbers.";
const FORWARD =
  "Hold a link to a peer and carry ports over it, both ways, until it is stopped.\n\n" +
  "The peer decides what may be reached through it (`srudp listen --expose`). A link that is lost is made again; " +
  "the ports stay open meanwhile.";
const DOCTOR =
  "Find out how this machine stands in the network: addresses, what its NAT maps and lets in, whether the router " +
  "gives a port, which relays work. With the code of a peer that listens: how a link to it would go, and the one " +
  "thing that would help most. No link is made, and the code stays good.";
const KEY = "Show this user's key (the default), make one, or make a secret to share.";

const EXAMPLES = `
Example:
  machine A$ srudp listen < file
  machine B$ srudp connect 42-ocean-lizard-maple > file       the code that A printed

\`srudp <command> --help\` tells more.`;
const LISTEN_EXAMPLES = `
Examples:
  srudp listen < file                             send a file to whoever has the code, wherever they are
  srudp listen 4242 < file                        the same, to be reached at this port
  srudp listen 4242 -k --secret-file s -e -- cat  a program for each peer that has the secret`;
const RENDEZVOUS_EXAMPLES = `
Examples:
  srudp rendezvous                                      on UDP 3478 and 3479 and TCP 3478
  srudp rendezvous --tls-cert c.pem --tls-key k.pem --port 443
  srudp listen --rendezvous udp://meet.example.org:3478     peers that use it`;
const BENCH =
  "Measure the link to a peer that listens: throughput both ways, round trips of one byte, loss, and the path.";

const FORWARD_EXAMPLES = `
Examples:
  srudp forward a.example.org:4242 -L 2222:localhost:22     then: ssh -p 2222 localhost
  srudp forward a.example.org:4242 -R 8080:localhost:3000   the peer's port 8080 leads here
  srudp forward a.example.org:4242 -D 1080                  a SOCKS proxy
  srudp forward a.example.org:4242 -L 5353:9.9.9.9:53/udp
  srudp forward 42-ocean-lizard-maple --save office -L 8022:localhost:22    from now on: srudp forward office -L …`;
const CONNECT_EXAMPLES = `
Examples:
  srudp connect 42-ocean-lizard-maple > file                     the peer that printed this code
  srudp connect laptop > file                                    a peer that was saved (--save)
  srudp connect a.example.org:4242 > file                        asks for the code
  srudp connect [2001:db8::7]:4242 --peer srudp1…                trusts one key only
  srudp connect a.example.org 4242 --passphrase-file f -e -- sh  bridges to a program`;

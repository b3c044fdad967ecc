/**
 * The options that `listen`, `connect`, `forward` and `bench` share: their definition for
 * commander, and their type for the actions.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { SrudpError } from "../../base/errors.ts";
import { parseDescriptor, parseLimit, parsePort, parseQuitAfter, parseSeconds, usage } from "./operands.ts";

/** The options of a link; `undefined` or absent if not given. */
export interface LinkOptions {
  readonly 4?: true;
  readonly 6?: true;
  readonly localPort?: number;
  /** Only for commands that connect; false for `--no-cross`. */
  readonly cross?: boolean;
  readonly source?: string;
  readonly numeric?: true;
  /** Milliseconds; Infinity for never. */
  readonly timeout?: number;
  /** Milliseconds; Infinity for never. */
  readonly idleTimeout?: number;
  readonly congestion?: "bbr" | "cubic";

  readonly rendezvous?: readonly string[];
  readonly stun?: readonly string[];
  readonly turn?: readonly string[];
  readonly turnFile?: string;
  readonly dht?: boolean;
  readonly dhtBootstrap?: readonly string[];
  readonly lan?: boolean;
  readonly portMapping?: boolean;
  readonly spray?: boolean;
  readonly directOnly?: true;
  readonly relayOnly?: true;

  readonly codeFile?: string;
  readonly codeFd?: number;
  readonly secretFile?: string;
  readonly passphraseFile?: string;
  readonly identity?: string;
  readonly peer?: readonly string[];
  /** Only for `listen`. */
  readonly allow?: readonly string[];
  readonly acceptNew?: true;
  readonly save?: string;
  /** Only for `listen`. */
  readonly silent?: true;
  /** Only for `listen`. */
  readonly ticket?: true;
  readonly answerFile?: string;

  /** Only for `listen` and `forward`. */
  readonly expose?: readonly string[];
  readonly permitListen?: readonly string[];
  /** Only for `listen`. */
  readonly allowBench?: true;
  /** Only for `connect`: `-W`. */
  readonly stdioTo?: string;

  /** Only for `listen`. */
  readonly keepOpen?: true;
  readonly exec?: true;
  readonly sendOnly?: true;
  readonly recvOnly?: true;
  /** Milliseconds; Infinity for -1, which means "wait forever" in nc. */
  readonly quitAfter?: number;
  readonly halfClose?: true;

  readonly json?: true;
  readonly verbose?: number;
  readonly quiet?: true;
  readonly progress?: boolean;
  readonly qlog?: string;
}

/** The options of `forward` in addition to those of every link. */
export interface ForwardOptions extends LinkOptions {
  readonly L?: readonly string[];
  readonly R?: readonly string[];
  readonly D?: readonly string[];
  readonly config?: string;
}

/** Adds the options of every link to a command. */
export function addLinkOptions(command: Command): Command {
  const isListener = command.name() === "listen";
  const isForward = command.name() === "forward";
  addTrustOptions(command, isListener);
  addPathOptions(command, isListener, isForward);
  addRendezvousOptions(command);
  addPayloadOptions(command, isListener, isForward);
  return addReportOptions(command);
}

function addTrustOptions(command: Command, isListener: boolean): void {
  command
    .optionsGroup("Who may be at the other end:")
    .option("--code-file <file>", "the one-use code in a file or pipe (or in the variable SRUDP_CODE)")
    .option(
      "--code-fd <n>",
      "the one-use code in the first line of an open descriptor",
      optionParser(parseDescriptor),
    )
    .option("--secret-file <file>", "a 256-bit secret that both sides have (`srudp key secret` makes one)")
    .option("--passphrase-file <file>", "a passphrase of 12 characters or more that both sides have")
    .option("--identity <file>", "own key, in place of the one that `srudp key` shows")
    .option("--peer <key>", "the key that the peer must have, or its saved name", collect)
    .option(
      "--save <name>",
      "pair: keep each other's key (both sides give it), so that no code is needed again",
    );
  if (isListener) {
    command
      .option(
        "--allow <key>",
        "a key or saved name that may connect, besides those in authorized_peers (repeatable)",
        collect,
      )
      .option("--accept-new", "let the first peer in and remember its key, where no key may connect yet")
      .option(
        "--ticket",
        "make a ticket, for two people to carry it and its answer where there is no meeting place",
      )
      .option("--answer-file <file>", "where the answer to the ticket will be, in place of the terminal")
      .option("--silent", "with keys: do not answer who does not know this side's key");
  } else {
    command.option("--accept-new", "trust the key of a peer never met before, and remember it");
  }
}

function addPathOptions(command: Command, isListener: boolean, isForward: boolean): void {
  command
    .optionsGroup("The way there:")
    .option("-4", "IPv4 only")
    .option("-6", "IPv6 only")
    .option("-p, --local-port <port>", "own UDP port", optionParser(parsePort))
    .option("-s, --source <address>", "own address")
    .option("-n, --numeric", "look up no names");
  if (!isListener) command.option("--no-cross", "never bind the peer's port number on this machine");
  command
    .option(
      "-w, --timeout <seconds>",
      isListener
        ? "give up when nobody comes (default: never)"
        : "give up connecting (default: 60; 0: never)",
      optionParser(parseLimit),
    )
    .option(
      "--idle-timeout <seconds>",
      isListener
        ? "end when the peer is silent (default: 60, with -k 3 days; 0: never; the peer's own limit holds too)"
        : isForward
          ? "make the link again when the peer is silent (default: as soon as it is back)"
          : "end when the peer is silent (default: 60; 0: never)",
      optionParser(parseLimit),
    )
    .addOption(new Option("--congestion <controller>", "congestion controller").choices(["bbr", "cubic"]));
}

function addPayloadOptions(command: Command, isListener: boolean, isForward: boolean): void {
  command.optionsGroup("What is carried:");
  if (isForward) {
    addForwardOptions(command)
      .option("--config <file>", "peer, forwards and options from a file")
      .option("-N", "no command (always so; accepted for ssh's sake)");
  } else if (command.name() === "bench")
    command.option("-t, --seconds <n>", "time for each direction (default: 3)", optionParser(parseSeconds));
  else addPipeOptions(command);
  if (isListener) command.option("-k, --keep-open", "stay for further peers, many at once");
  if (isListener || isForward) {
    command
      .option(
        "--expose <target>",
        "what peers may reach through here: host:port[/udp] or host:low-high, network/bits:port, '*:port', or a socket's path (repeatable)",
        collect,
      )
      .option("--permit-listen <port>", "[bind:]port that peers may have opened here (repeatable)", collect);
  }
  if (isListener) command.option("--allow-bench", "let peers measure the link with `srudp bench`");
}

function addReportOptions(command: Command): Command {
  return command
    .optionsGroup("What is told, on stderr:")
    .option("--json", "events as JSON, one a line")
    .option("-v, --verbose", "more (-vv: still more)", count)
    .option("--quiet", "errors only, and a code that was made")
    .option("--progress", "a progress line (default: on a terminal when data is piped)")
    .option("--no-progress", "none")
    .optionsGroup("What is recorded:")
    .option("--qlog <dir>", "a trace of each connection, as a file in this folder that qvis can draw")
    .optionsGroup("Help:");
}

function addPipeOptions(command: Command): void {
  command
    .option("-e, --exec", "bridge to a program in place of stdin and stdout: -e -- command argument…")
    .option("--send-only", "send and ignore what comes")
    .option("-d, --recv-only", "receive and send nothing")
    .option("-N", "shut down at the end of input (always so; accepted for nc's sake)")
    .option(
      "-q, --quit-after <seconds>",
      "end so long after the end of input (-1: as --half-close)",
      optionParser(parseQuitAfter),
    )
    .option("--half-close", "at a terminal: stay after the peer has sent its data and ended");
  if (command.name() === "connect")
    command.option(
      "-W, --stdio-to <host:port>",
      "bridge to what the peer reaches there, for ssh's ProxyCommand",
    );
}

/** Adds -L, -R and -D to a command. */
export function addForwardOptions(command: Command): Command {
  return command
    .option(
      "-L <forward>",
      "[bind:]port:host:hostport[/udp]: a port here leads to the peer's target; sockets' paths on either side; a port alone leads to the first that it exposes",
      collect,
    )
    .option("-R <forward>", "the same the other way: a port at the peer leads to a target here", collect)
    .option(
      "-D <port>",
      "[bind:]port: a SOCKS proxy (5, 4 and 4A) whose connections the peer makes",
      collect,
    );
}

/** Adds the options of `doctor`. */
export function addDoctorOptions(command: Command): Command {
  command
    .option("--code-file <file>", "the code in a file or pipe (or in the variable SRUDP_CODE)")
    .option(
      "--code-fd <n>",
      "the code in the first line of an open descriptor",
      optionParser(parseDescriptor),
    )
    .option("-4", "IPv4 only")
    .option("-6", "IPv6 only")
    .option("-p, --local-port <port>", "own UDP port", optionParser(parsePort))
    .option("-s, --source <address>", "own address")
    .option("-n, --numeric", "look up no names")
    .option("-w, --timeout <seconds>", "give the peer up (default: 60; 0: never)", optionParser(parseLimit))
    .option("--json", "one object of JSON in place of the report")
    .option("-v, --verbose", "what happens on the way", count);
  return addRendezvousOptions(command);
}

function addRendezvousOptions(command: Command): Command {
  return command
    .optionsGroup("How to meet a peer without an address:")
    .option("--rendezvous <url>", "a meeting place: udp://host:port, ws://…, wss://… (repeatable)", collect)
    .option("--stun <host:port>", "a STUN server, in place of the public ones (repeatable)", collect)
    .option("--turn <uri>", "a TURN relay: turn:host:port?transport=udp|tcp, turns:… (repeatable)", collect)
    .option("--turn-file <file>", "such URIs in a private file, one a line (or in the variable SRUDP_TURN)")
    .option("--no-dht", "do not meet in the Mainline DHT")
    .option("--dht-bootstrap <host:port>", "where to join the DHT (repeatable)", collect)
    .option("--no-lan", "do not look on the local network")
    .option("--no-port-mapping", "ask no router for a port")
    .option("--no-spray", "no birthday probing of many ports")
    .option("--direct-only", "no relay")
    .option("--relay-only", "by relay, whatever else would work");
}

/** Checks combinations of options. @throws SrudpError ERR_USAGE */
export function checkLinkOptions(options: LinkOptions, program: readonly string[] | undefined): void {
  if (options[4] && options[6]) throw usage("-4 and -6 exclude each other");
  if (options.directOnly && options.relayOnly)
    throw usage("--direct-only and --relay-only exclude each other");
  if (options.sendOnly && options.recvOnly) throw usage("--send-only and --recv-only exclude each other");
  if (options.stdioTo !== undefined && (options.exec || options.sendOnly || options.recvOnly))
    throw usage("-W goes with none of -e, --send-only and --recv-only");
  if (options.exec && (options.sendOnly || options.recvOnly))
    throw usage("-e goes with neither --send-only nor --recv-only");
  if (options.exec && (program === undefined || program.length === 0)) {
    throw usage("-e needs a program behind --, as in: -e -- command argument");
  }
  if (options.ticket && options.keepOpen) throw usage("A ticket serves one peer: -k goes without");
  if (options.answerFile !== undefined && !options.ticket) throw usage("--answer-file goes with --ticket");
  if (options.save !== undefined && options.keepOpen)
    throw usage("--save names one peer: it does not go with -k");
  if (!options.exec && program !== undefined) throw usage("A program behind -- needs -e");
}

/**
 * Converts a parser to one for commander's options, which reports an error like commander's own
 * parsers.
 */
export function optionParser<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(
        error instanceof SrudpError ? error.detail.split(":")[0]! : String(error),
      );
    }
  };
}

/** Collects the values of a repeatable option. */
export function collect(text: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), text];
}

/** Counts how often an option without a value was given. */
export function count(_: string, earlier: number | undefined): number {
  return (earlier ?? 0) + 1;
}

/** All groups of `npm run bench`, by name. */
import { missingOf } from "../../lib/daemon.ts";
import { firstByte, firstByteOfCommand } from "./first-byte.ts";
import {
  atLeast,
  atMostTimes,
  bound,
  type Column,
  comparison,
  either,
  type Group,
  medians,
  type Row,
  spread,
} from "./group.ts";
import { missingPackages } from "./holepunch.ts";
import { latency } from "./latency.ts";
import { throughPipe } from "./pipe.ts";
import { startup } from "./startup.ts";
import { throughTunnel } from "./through-tunnel.ts";
import { transfer } from "./transfer.ts";
import { DIRECT, FORWARD, KCPTUN, SSH, type TunnelKind, WIREGUARD } from "./tunnels.ts";

const RATE = "gigabitsPerSecond";

const RATE_COLUMN: Column = spread("Gbit/s", RATE, 2);
const COST_COLUMNS: readonly Column[] = [
  medians("CPU s/GB, both ends", ["cpuSecondsPerGigabyte"], 2),
  medians("memory, sender / receiver", ["senderMegabytes", "receiverMegabytes"], 0, " MB"),
];

function transferRow(
  name: string,
  contender: string = name,
  environment: Readonly<Record<string, string>> = {},
): Row {
  return { name, run: (path, measuredMs) => transfer(path, contender, environment, measuredMs) };
}

function tunnelRow(name: string, kind: TunnelKind): Row {
  return {
    name,
    missing: () => missingOf(["iperf3", ...kind.needs]),
    run: (path, measuredMs) => throughTunnel(path, kind, measuredMs),
  };
}

const NEEDS_OPENSSL = { missing: () => missingOf(["openssl"]) };
const NEEDS_HOLEPUNCH = { missing: missingPackages };

const TLS_ROW: Row = { ...transferRow("tls"), ...NEEDS_OPENSSL };
const HYPERDHT_ROW: Row = { ...transferRow("hyperdht"), ...NEEDS_HOLEPUNCH };
const SRUDP_ROW: Row = transferRow("srudp");

/** Ours with the cipher and the sockets that every Node has, and with the cipher that is JavaScript. */
const NODE = { SRUDP_PROVIDER: "node", SRUDP_OFFLOAD: "off" } as const;
const NOBLE = { SRUDP_PROVIDER: "noble", SRUDP_OFFLOAD: "off" } as const;

/** The ceiling of each of ours. */
const CEILINGS: Readonly<Record<string, string>> = {
  srudp: "ceiling",
  "srudp-node-crypto": "ceiling-node-crypto",
  "srudp-noble": "ceiling-noble",
};

const throughput: Group = {
  title: "One stream for its user, everything encrypted but udx, tcp and iperf3",
  isOnLoopback: false,
  rows: [
    SRUDP_ROW,
    transferRow("ceiling", "pump"),
    HYPERDHT_ROW,
    { ...transferRow("udx"), ...NEEDS_HOLEPUNCH },
    transferRow("srudp-node-crypto", "srudp", NODE),
    transferRow("ceiling-node-crypto", "pump-plain", NODE),
    transferRow("srudp-noble", "srudp", NOBLE),
    transferRow("ceiling-noble", "pump-plain", NOBLE),
    transferRow("tcp"),
    TLS_ROW,
    tunnelRow("ssh -L", SSH),
    tunnelRow("kcptun", KCPTUN),
    tunnelRow("wireguard-go", WIREGUARD),
    tunnelRow("iperf3", DIRECT),
  ],
  columns: [
    RATE_COLUMN,
    comparison("of hyperdht", RATE, () => "hyperdht", "times"),
    comparison("of its ceiling", RATE, (row) => CEILINGS[row], "percent"),
    ...COST_COLUMNS,
  ],
  goals: [
    atLeast("srudp", 2, "hyperdht", RATE, "times"),
    atLeast("srudp", 0.7, "ceiling", RATE, "percent"),
    either(
      bound("srudp-node-crypto", "≥", 0.6, "Gbit/s", RATE),
      atLeast("srudp-node-crypto", 0.75, "ceiling-node-crypto", RATE, "percent"),
    ),
    atLeast("srudp-noble", 0.75, "ceiling-noble", RATE, "percent"),
  ],
};

const loopback: Group = {
  title: "One stream where packets may be large",
  isOnLoopback: true,
  rows: [
    SRUDP_ROW,
    tunnelRow("forward -L", FORWARD),
    tunnelRow("ssh -L", SSH),
    tunnelRow("kcptun", KCPTUN),
    HYPERDHT_ROW,
    TLS_ROW,
    transferRow("tcp"),
    tunnelRow("iperf3", DIRECT),
  ],
  columns: [
    RATE_COLUMN,
    comparison("of ssh -L", RATE, () => "ssh -L", "times"),
    comparison("of hyperdht", RATE, () => "hyperdht", "times"),
    ...COST_COLUMNS,
  ],
  goals: [atLeast("srudp", 1, "ssh -L", RATE, "times")],
};

function latencyRow(name: string, contender: string, tunnel?: TunnelKind): Row {
  return { name, missing: () => missingOf(tunnel?.needs ?? []), run: () => latency(contender, tunnel) };
}

const idle: Group = {
  title: "One byte there and back on an idle link",
  isOnLoopback: true,
  rows: [
    latencyRow("srudp", "srudp"),
    { ...latencyRow("hyperdht", "hyperdht"), ...NEEDS_HOLEPUNCH },
    latencyRow("tcp", "tcp"),
    latencyRow("ssh -L", "tcp", SSH),
    latencyRow("forward -L", "tcp", FORWARD),
  ],
  columns: [spread("median, ms", "medianMs", 3), spread("99th percentile, ms", "p99Ms", 3)],
  goals: [
    bound("srudp", "≤", 0.3, "ms", "medianMs", ", median"),
    bound("srudp", "≤", 1, "ms", "p99Ms", ", 99th percentile"),
  ],
};

function firstByteRow(name: string): Row {
  return { name, run: () => firstByte(name) };
}

const connecting: Group = {
  title: "From the wish to connect until the peer's first byte is here",
  isOnLoopback: true,
  rows: [
    firstByteRow("srudp"),
    firstByteRow("srudp-by-code"),
    { ...firstByteRow("hyperdht"), ...NEEDS_HOLEPUNCH },
    { ...firstByteRow("tls"), ...NEEDS_OPENSSL },
    { name: "srudp connect", run: () => firstByteOfCommand() },
  ],
  columns: [
    spread("first of a process, ms", "firstMs", 1),
    spread("further ones, median, ms", "medianMs", 2),
    spread("slowest of 25, ms", "slowestMs", 2),
    spread("of the first: start of the command, ms", "helloMs", 0),
  ],
  goals: [
    bound("srudp", "≤", 30, "ms", "firstMs", ", first of a process"),
    bound("srudp", "≤", 30, "ms", "medianMs", ", further ones"),
  ],
};

const start: Group = {
  title: "From the start of a command to its end",
  isOnLoopback: true,
  leastRuns: 15,
  rows: [
    { name: "node -e 0", run: () => startup(["-e", "0"], false) },
    { name: "srudp --version", run: () => startup(["--version"]) },
    { name: "srudp --help", run: () => startup(["--help"]) },
  ],
  columns: [spread("ms", "tookMs", 0), comparison("of node -e 0", "tookMs", () => "node -e 0", "times")],
  goals: [
    atMostTimes("srudp --version", 1.5, "node -e 0", "tookMs"),
    atMostTimes("srudp --help", 2, "node -e 0", "tookMs"),
  ],
};

const streams: Group = {
  title: "Streams of one link, all at once",
  isOnLoopback: false,
  rows: [
    SRUDP_ROW,
    transferRow("srudp-10-streams"),
    transferRow("srudp-100-streams"),
    transferRow("srudp-1000-streams"),
  ],
  columns: [RATE_COLUMN, comparison("of one", RATE, () => "srudp", "percent"), ...COST_COLUMNS],
  goals: [
    atLeast("srudp-10-streams", 0.95, "srudp", RATE, "percent"),
    atLeast("srudp-1000-streams", 0.8, "srudp", RATE, "percent"),
  ],
};

const links: Group = {
  title: "Links to one listener, all at once",
  isOnLoopback: false,
  rows: [SRUDP_ROW, transferRow("srudp-10-links"), transferRow("srudp-100-links")],
  columns: [RATE_COLUMN, comparison("of one", RATE, () => "srudp", "percent"), ...COST_COLUMNS],
  goals: [atLeast("srudp-100-links", 0.7, "srudp", RATE, "percent")],
};

const pipe: Group = {
  title: "The command as a pipe, beside the library that it is made of",
  isOnLoopback: false,
  rows: [SRUDP_ROW, { name: "pipe", run: (path, measuredMs) => throughPipe(path, measuredMs) }],
  columns: [RATE_COLUMN, comparison("of the library", RATE, () => "srudp", "percent"), ...COST_COLUMNS],
  goals: [atLeast("pipe", 0.7, "srudp", RATE, "percent")],
};

const forward: Group = {
  title: "iperf3 through forwarded ports, beside the library",
  isOnLoopback: false,
  rows: [
    SRUDP_ROW,
    tunnelRow("forward -L", FORWARD),
    tunnelRow("ssh -L", SSH),
    tunnelRow("kcptun", KCPTUN),
    tunnelRow("iperf3", DIRECT),
  ],
  columns: [RATE_COLUMN, comparison("of the library", RATE, () => "srudp", "percent"), ...COST_COLUMNS],
  goals: [atLeast("forward -L", 0.7, "srudp", RATE, "percent")],
};

export const GROUPS: Readonly<Record<string, Group>> = {
  throughput,
  loopback,
  latency: idle,
  connect: connecting,
  startup: start,
  streams,
  links,
  pipe,
  forward,
};

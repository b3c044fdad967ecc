/** Targets that no connection gets through to, each for its own reason: what a client sees with and without a forward. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Namespace, removeAllNamespaces, whyNoLab, wire } from "../lab/namespaces.ts";
import { type Forwarding, startForwarding } from "../lib/forwarding.ts";
import { builtFile } from "../lib/paths.ts";
import { endAll } from "../lib/srudp-process.ts";
import type { ClientOrder, ClientReport } from "../lib/tcp-client-main.ts";

const run = promisify(execFile);
const obstacle = whyNoLab();
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

const PORT = 80;

interface Case {
  readonly name: string;
  readonly host: string;
  /** What a client without a forward fails with. */
  readonly direct: string;
  readonly code: string;
  /** The reply of a SOCKS proxy.  // RFC 1928 §6 */
  readonly reply: number;
}

const CASES: readonly Case[] = [
  {
    name: "refused",
    host: "127.0.0.1",
    direct: "ECONNREFUSED",
    code: "ERR_TARGET_REFUSED",
    reply: 5,
  },
  {
    name: "a host that its router calls unreachable",
    host: "192.0.2.1",
    direct: "EHOSTUNREACH",
    code: "ERR_TARGET_UNREACHABLE",
    reply: 4,
  },
  {
    name: "a host without a way, by this machine's routes",
    host: "192.0.2.2",
    direct: "EHOSTUNREACH",
    code: "ERR_TARGET_UNREACHABLE",
    reply: 4,
  },
  {
    name: "a host of the local network that is off",
    host: "203.0.113.9",
    direct: "EHOSTUNREACH",
    code: "ERR_TARGET_UNREACHABLE",
    reply: 4,
  },
  {
    name: "a host that a route prohibits",
    host: "192.0.2.3",
    direct: "EACCES",
    code: "ERR_TARGET_UNREACHABLE",
    reply: 4,
  },
  {
    name: "a network without a route",
    host: "198.51.100.1",
    direct: "ENETUNREACH",
    code: "ERR_TARGET_NO_NETWORK",
    reply: 3,
  },
  {
    name: "IPv6 where there is none",
    host: "2001:db8::1",
    direct: "ENETUNREACH",
    code: "ERR_TARGET_NO_NETWORK",
    reply: 3,
  },
  {
    name: "a firewall that drops every SYN",
    host: "192.0.2.4",
    direct: "ETIMEDOUT",
    code: "ERR_TARGET_TIMEOUT",
    reply: 6,
  },
];

/** How much longer than without the forward it may take until the client hears of it. */
const AT_ONCE_MS = 1000;

describe.skipIf(obstacle !== undefined)("a target that cannot be reached", () => {
  let machine: Namespace;
  let link: Forwarding;
  let direct: ClientReport[];
  let forwarded: ClientReport[];
  let proxied: ClientReport[];

  /** What clients on that machine see, all at the same time. */
  const clients = async (orders: readonly ClientOrder[]): Promise<ClientReport[]> => {
    const words = [process.execPath, fileURLToPath(builtFile("test/lib/tcp-client-main.js"))];
    const [command, ...rest] = [...machine.launcher, ...words, JSON.stringify(orders)];
    return JSON.parse((await run(command!, rest)).stdout) as ClientReport[];
  };

  beforeAll(async () => {
    machine = new Namespace("machine");
    const router = new Namespace("router");
    wire(
      { namespace: machine, device: "out", addresses: ["203.0.113.2/24"] },
      { namespace: router, device: "in", addresses: ["203.0.113.1/24"] },
    );
    machine.ip(
      "route add 192.0.2.0/24 via 203.0.113.1",
      "route add unreachable 192.0.2.2",
      "route add prohibit 192.0.2.3",
    );
    router.route();
    router.nft(`table ip firewall {
      chain through { type filter hook prerouting priority filter
        ip daddr 192.0.2.1 reject with icmp host-unreachable
        ip daddr 192.0.2.4 drop
      }
    }\n`);
    // SYNs after 0 and 1 s, given up after 3 where the system's own limit is two minutes; ARP gives up after 1.
    machine.sysctl("net.ipv4.tcp_syn_retries=1", "net.ipv4.neigh.out.mcast_solicit=1");
    const targets = CASES.map(({ host }) => (host.includes(":") ? `[${host}]:${PORT}` : `${host}:${PORT}`));
    link = await startForwarding({
      listen: targets.flatMap((target) => ["--expose", target]),
      forward: ["-D", "0", ...targets.flatMap((target) => ["-L", `0:${target}`])],
      launcher: machine.launcher,
    });
    const [proxy, ...ports] = link.ports;
    direct = await clients(CASES.map(({ host }) => ({ host, port: PORT })));
    forwarded = await clients(ports.map((port) => ({ host: "127.0.0.1", port, sends: "hello" })));
    proxied = await clients(
      CASES.map(({ host }) => ({ host: "127.0.0.1", port: proxy!, sends: socksRequest(host) })),
    );
  });
  afterAll(async () => {
    await endAll();
    removeAllNamespaces();
  });

  it.each(CASES.map((one, at) => [one.name, one, at] as const))("(%s) is told as such", (_, one, at) => {
    expect(direct[at]).toMatchObject({ received: "", end: one.direct });
    const limitMs = direct[at]!.durationMs + AT_ONCE_MS;

    // A listening socket accepts before anybody knows: what is left is a reset, before any byte.
    expect(forwarded[at]).toMatchObject({ received: "", end: "ECONNRESET" });
    expect(forwarded[at]!.durationMs).toBeLessThan(limitMs);

    expect(proxied[at]).toMatchObject({ end: "FIN" });
    expect([...proxied[at]!.received].map((character) => character.charCodeAt(0))).toEqual([
      ...[5, 0],
      ...[5, one.reply, 0, 1, 0, 0, 0, 0, 0, 0],
    ]);
    expect(proxied[at]!.durationMs).toBeLessThan(limitMs);

    for (const side of [link.forwarder, link.listener]) {
      const reported = side.events.filter(({ event, code }) => event === "unforwarded" && code === one.code);
      expect(reported.map(({ message }) => message).join("\n")).toContain(`${one.host}`);
    }
  });

  it("leaves the link and the exit status as they were", async () => {
    link.forwarder.kill("SIGTERM");
    expect(await link.forwarder.exit()).toBe(143);
    expect(link.forwarder.events.filter(({ event }) => event === "lost")).toHaveLength(0);
  });
});

/** A greeting without authentication and a CONNECT by name, in one go.  // RFC 1928 */
function socksRequest(host: string): string {
  const bytes = [5, 1, 0, 5, 1, 0, 3, host.length, ...Buffer.from(host), PORT >> 8, PORT & 0xff];
  return String.fromCharCode(...bytes);
}

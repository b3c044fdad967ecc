/** `srudp rendezvous`: runs a rendezvous server until a signal. SIGUSR1 prints its statistics. */
import { setFlagsFromString } from "node:v8";
import { unlessAborted } from "../../platform/deadline.ts";
import { formatAddress } from "../../platform/udp/address.ts";
import { RendezvousServer } from "../../server/rendezvous-server.ts";
import { RENDEZVOUS_PORT } from "../../traversal/signalling/rendezvous-url.ts";
import type { CommandContext } from "../context.ts";
import { usage } from "../options/operands.ts";
import { limitsOf, type RendezvousCommandOptions } from "../options/rendezvous-options.ts";
import { localAddresses } from "../reports/local-addresses.ts";
import type { Reporter } from "../terminal/reporter.ts";

/** Always rejects: with the interrupt, or with the error of a failed start. */
export async function runRendezvous(
  { reporter, interrupt, version }: CommandContext,
  options: RendezvousCommandOptions,
): Promise<number> {
  // V8 grows the space for new objects to 32 MB under load and keeps it. Requests leave few objects
  // behind, so 2 MB are enough.
  setFlagsFromString("--semi-space-growth-factor=1");
  reporter.event("hello", { version, protocol: 1 });
  const { tlsCert: certFile, tlsKey: keyFile } = options;
  if ((certFile === undefined) !== (keyFile === undefined))
    throw usage("--tls-cert and --tls-key go together");
  const server = await RendezvousServer.start({
    port: options.port ?? RENDEZVOUS_PORT,
    hosts: options.host ?? [],
    limits: limitsOf(options),
    ...(certFile === undefined || keyFile === undefined ? {} : { tls: { certFile, keyFile } }),
  });
  const startedAtMs = performance.now();
  const report = (): void => reportStatistics(reporter, server, performance.now() - startedAtMs);
  process.on("SIGUSR1", report);
  try {
    reportServing(reporter, server, options);
    return await unlessAborted(interrupt.signal, new Promise<never>(() => undefined));
  } finally {
    process.off("SIGUSR1", report);
    report();
    await server.close();
  }
}

function reportServing(
  reporter: Reporter,
  server: RendezvousServer,
  options: RendezvousCommandOptions,
): void {
  const { port } = server;
  const [ws] = server.webSocketAddresses.map(formatAddress);
  const fields = {
    udp: server.udpAddresses.map(formatAddress),
    ws,
    tls: options.tlsCert !== undefined,
    relay: options.relay !== false,
    pid: process.pid,
  };
  const host = options.host?.[0] ?? localAddresses(undefined)[0] ?? "HOST";
  const url = `udp://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const { strong } = reporter.palette;
  reporter.event(
    "rendezvous",
    fields,
    `a meeting place on UDP ${port} and ${port + 1} and TCP ${port}; peers name it\n  ${strong(`--rendezvous ${url}`)}`,
  );
}

function reportStatistics(reporter: Reporter, server: RendezvousServer, uptimeMs: number): void {
  const { statistics } = server;
  const memoryBytes = process.memoryUsage.rss();
  const fields = { uptimeMs: Math.round(uptimeMs), memoryBytes, ...statistics };
  const { waiting, points, published, relays, relayedBytes, relayDropped, webSockets, stunRequests } =
    statistics;
  const refused = statistics.refusedFull + statistics.refusedTooMany + statistics.refusedRelay;
  reporter.event(
    "statistics",
    fields,
    [
      `up ${Math.round(uptimeMs / 1000)} s, ${megabytes(memoryBytes)} of memory`,
      `${waiting} waiting at ${points} places, ${webSockets} of them by WebSocket; ${published} blobs left`,
      `${relays} relayed links, ${megabytes(relayedBytes)} passed on, ${relayDropped} datagrams dropped`,
      `${stunRequests} STUN requests; ${refused} requests refused, ${statistics.overRate} over the rate, ${statistics.malformed} not understood`,
    ].join("\n"),
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/**
 * A rendezvous server: one process where peers behind NAT learn their addresses (STUN), exchange
 * sealed blobs (mailbox), and have datagrams relayed where no direct path exists (relay).
 *
 *     UDP N, N + 1    STUN on both, so that clients can test their NAT's mapping and filtering; mailbox and relay on N
 *     TCP N           the same messages over WebSocket, for networks that block UDP
 *
 * The server can read none of the sealed contents and stores nothing on disk. Several servers share
 * the load by a hash of the rendezvous point's name, which clients compute; servers do not know
 * each other.
 */
import { isIP } from "node:net";
import { SrudpError } from "../base/errors.ts";
import { descriptorError } from "../platform/descriptors.ts";
import { holderOfPort } from "../platform/port-holder.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";
import { UdpSocket } from "../platform/udp/udp-socket.ts";
import { kindOf, PACKET_RENDEZVOUS } from "../wire/packet.ts";
import { UdpClient } from "./client.ts";
import { type RendezvousLimits, SWEEP_EVERY_MS, USUAL_LIMITS } from "./limits.ts";
import { RequestHandler } from "./request-handler.ts";
import type { RendezvousStatistics } from "./statistics.ts";
import { StunResponder } from "./stun-responder.ts";
import { type TlsFiles, WebSocketListener } from "./web-socket-listener.ts";

/** How often free ports are tried until two consecutive ones are free in both families. */
const PORT_TRIES = 32;
const MAX_PUSH_WAIT_MS = 250;
const MAX_PORT = 65_535;
/** Errors of a system without IPv6. */
const NO_FAMILY: ReadonlySet<string | undefined> = new Set([
  "EAFNOSUPPORT",
  "EPROTONOSUPPORT",
  "EADDRNOTAVAIL",
]);

export interface RendezvousOptions {
  /** The first of the two UDP ports, and the TCP port; 0 takes free ones. */
  readonly port: number;
  /**
   * Addresses to listen on; by default all of both families. With two addresses of a family,
   * clients can identify every kind of NAT. A machine with several addresses has to name them, or
   * answers leave from another address than was asked.
   */
  readonly hosts?: readonly string[];
  /** PEM certificate and key; with them the TCP port also accepts wss://. */
  readonly tls?: TlsFiles;
  readonly limits?: Partial<RendezvousLimits>;
}

export class RendezvousServer {
  readonly #handler: RequestHandler;
  readonly #webSocketListener: WebSocketListener;
  #sockets: readonly UdpSocket[] = [];
  #stun: StunResponder | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #pusher: NodeJS.Timeout | undefined;

  private constructor(limits: RendezvousLimits) {
    this.#handler = new RequestHandler(performance.now(), limits, Date.now);
    this.#webSocketListener = new WebSocketListener(this.#handler, limits);
  }

  /** @throws SrudpError ERR_BIND */
  static async start(options: RendezvousOptions): Promise<RendezvousServer> {
    const server = new RendezvousServer({ ...USUAL_LIMITS, ...options.limits });
    try {
      if (options.tls !== undefined) await server.#webSocketListener.useTls(options.tls);
      server.#sockets = await bindPorts(options, server.#webSocketListener);
    } catch (error) {
      await server.close();
      throw error;
    }
    server.#stun = new StunResponder(server.#sockets, server.port);
    for (const socket of server.#sockets) {
      socket.onDatagram = (_, address, port, bytes) => server.#receive(socket, address, port, bytes);
    }
    server.#sweeper = setInterval(() => server.#handler.sweep(performance.now()), SWEEP_EVERY_MS);
    return server;
  }

  /** N, the first of the two UDP ports. */
  get port(): number {
    return this.#sockets[0]!.local.port;
  }

  get udpAddresses(): RemoteAddress[] {
    return this.#sockets.map((socket) => socket.local);
  }

  get webSocketAddresses(): RemoteAddress[] {
    return this.#webSocketListener.addresses;
  }

  get statistics(): Readonly<RendezvousStatistics> {
    return this.#handler.statistics;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    clearTimeout(this.#pusher);
    for (const socket of this.#sockets) socket.close();
    await this.#webSocketListener.close();
  }

  #receive(socket: UdpSocket, address: string, port: number, bytes: Uint8Array): void {
    if (kindOf(bytes[0] ?? 0) !== PACKET_RENDEZVOUS || socket.local.port !== this.port) {
      // Rate-limited before parsing: junk costs its sender as much.
      if (!this.#handler.admitUnvalidated(performance.now(), address)) return;
      const isStun = this.#stun?.handle(socket, address, port, bytes) ?? false;
      if (isStun) this.#handler.statistics.stunRequests++;
      else this.#handler.statistics.malformed++;
      return;
    }
    this.#handler.handleDatagram(performance.now(), new UdpClient(socket, address, port), bytes);
    this.#schedulePushes();
  }

  /** Schedules the next push of unconfirmed changes. */
  #schedulePushes(): void {
    if (this.#pusher !== undefined) return;
    const now = performance.now();
    const nextMs = this.#handler.mailbox.pushDue(now);
    if (nextMs === Infinity) return;
    this.#pusher = setTimeout(
      () => {
        this.#pusher = undefined;
        this.#schedulePushes();
        // A change that arrives meanwhile may be due earlier.
      },
      Math.min(nextMs - now, MAX_PUSH_WAIT_MS),
    );
  }
}

/** Binds UDP ports N and N + 1 on every address, the first address's N first, and TCP port N. */
async function bindPorts(
  { port, hosts = [] }: RendezvousOptions,
  webSocketListener: WebSocketListener,
): Promise<UdpSocket[]> {
  const points: readonly BindPlace[] =
    hosts.length === 0
      ? [{ family: 4 }, { family: 6 }]
      : hosts.map((address) => ({ family: checkedFamily(address), address }));
  for (let tries = 1; ; tries++) {
    const bound: UdpSocket[] = [];
    try {
      for (const point of points) await bindPair(bound, point, bound[0]?.local.port ?? port);
      const first = bound[0]?.local.port;
      if (first === undefined) throw new SrudpError("ERR_BIND", "No address family works here");
      if (hosts.length === 0) await webSocketListener.listen(first, undefined);
      else for (const host of hosts) await webSocketListener.listen(first, host);
      return bound;
    } catch (error) {
      for (const socket of bound) socket.close();
      await webSocketListener.stopListening();
      const { code } = error as NodeJS.ErrnoException;
      const canRetry = port === 0 && code === "EADDRINUSE" && tries < PORT_TRIES;
      if (!canRetry) throw await bindError(port, error);
    }
  }
}

interface BindPlace {
  readonly family: 4 | 6;
  /** By default all addresses of the family, if the system supports it. */
  readonly address?: string;
}

async function bindPair(bound: UdpSocket[], point: BindPlace, port: number): Promise<void> {
  try {
    const first = await UdpSocket.bind({ ...point, port });
    bound.push(first);
    const second = first.local.port + 1;
    if (second > MAX_PORT) throw Object.assign(new Error("no port behind"), { code: "EADDRINUSE" });
    bound.push(await UdpSocket.bind({ ...point, port: second }));
  } catch (error) {
    if (point.address !== undefined || !NO_FAMILY.has((error as NodeJS.ErrnoException).code)) throw error;
  }
}

function checkedFamily(address: string): 4 | 6 {
  const family = isIP(address);
  if (family !== 4 && family !== 6) throw new SrudpError("ERR_BIND", `${address} is no address`);
  return family;
}

async function bindError(port: number, error: unknown): Promise<SrudpError> {
  if (error instanceof SrudpError) return error;
  const descriptors = descriptorError(error);
  if (descriptors !== undefined) return descriptors;
  const { code } = error as NodeJS.ErrnoException;
  const what = port === 0 ? "No ports" : `UDP ports ${port} and ${port + 1} or TCP port ${port}`;
  const holder = code === "EADDRINUSE" && port !== 0 ? await holderOfPorts(port) : undefined;
  const reason = `${code ?? String(error)}${holder === undefined ? "" : `, held by ${holder}`}`;
  return new SrudpError("ERR_BIND", `${what} (${reason})`, error);
}

async function holderOfPorts(port: number): Promise<string | undefined> {
  return (
    (await holderOfPort("udp", port)) ??
    (await holderOfPort("udp", port + 1)) ??
    (await holderOfPort("tcp", port))
  );
}

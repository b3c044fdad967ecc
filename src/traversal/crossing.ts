/**
 * Crossed calls: dials a peer from the local port that has the dialled port's number, so that two
 * sides which both `connect` to each other's address meet without a listener.
 *
 * The port number belongs to this machine's services, not to this link: a listener may want it
 * next. It is therefore bound only during the handshake, only for a peer on another machine, and
 * never instead of the ephemeral port, which dials first. A nearby listener has answered before the
 * number is bound at all.
 *
 * A peer on this machine is dialled from the ephemeral port only: a listener that starts later
 * needs the number, and two connectors that wait for it must not find each other.
 */
import type { Connection } from "../engine/connection/connection.ts";
import type { ConnectionHandle } from "../link/connection-handle.ts";
import type { Endpoint } from "../link/endpoint.ts";
import type { HostAddress } from "../platform/udp/address.ts";
import { UdpSocket } from "../platform/udp/udp-socket.ts";

/** How long the ephemeral port dials alone. */
const HEAD_START_MS = 50;
/** Delay before the peer's next address is dialled, as for the ephemeral port.  // RFC 8305 §5 */
const ADDRESS_PAUSE_MS = 250;

/** An attempt in progress and what it may use. */
export interface CrossingOptions {
  readonly endpoint: Endpoint;
  readonly connection: Connection;
  readonly connectionHandle: ConnectionHandle;
  /** The peer's addresses, none of them local. */
  readonly remotes: readonly HostAddress[];
  /** The port number that both sides use. */
  readonly port: number;
  readonly localAddress: string | undefined;
}

export class Crossing {
  readonly #options: CrossingOptions;
  #sockets: readonly UdpSocket[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isOpen = true;

  private constructor(options: CrossingOptions) {
    this.#options = options;
  }

  /** Starts a timer; `close` ends it. */
  static start(options: CrossingOptions): Crossing {
    const crossing = new Crossing(options);
    crossing.#timer = setTimeout(() => void crossing.#begin(), HEAD_START_MS);
    return crossing;
  }

  /** Releases the port number, except in the family that the link uses. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    releaseSockets(this.#options, this.#sockets);
  }

  async #begin(): Promise<void> {
    const { endpoint, remotes, port, localAddress: address } = this.#options;
    // If the number is in use or reserved here, the ephemeral port continues alone.
    const sockets = await bindFamiliesOf(remotes, address, port);
    if (!this.#isOpen) {
      for (const socket of sockets) socket.close();
      return;
    }
    for (const socket of sockets) endpoint.addSocket(socket);
    this.#sockets = sockets;
    if (sockets.length > 0) this.#callFrom(0);
  }

  /** Dials the address at `index`, and the following ones after a delay. */
  #callFrom(index: number): void {
    const { connection, connectionHandle, remotes, port } = this.#options;
    const { address, family } = remotes[index]!;
    const socket = this.#sockets.find((one) => one.family === family);
    if (socket !== undefined) {
      connection.addSecondaryPath(connectionHandle.pathOf(socket.index, address, port));
      connectionHandle.touch();
    }
    if (index + 1 < remotes.length)
      this.#timer = setTimeout(() => this.#callFrom(index + 1), ADDRESS_PAUSE_MS);
  }
}

/** A socket on `port` for each family of `remotes` in which the port is free. */
export async function bindFamiliesOf(
  remotes: readonly HostAddress[],
  address: string | undefined,
  port: number,
): Promise<UdpSocket[]> {
  const sockets: UdpSocket[] = [];
  for (const family of new Set(remotes.map((remote) => remote.family))) {
    try {
      sockets.push(await UdpSocket.bind({ family, address, port }));
    } catch {
      // Another process has the port in this family.
    }
  }
  return sockets;
}

/** Closes the sockets of an attempt that the connection does not use. */
export function releaseSockets(
  { endpoint, connection }: Pick<CrossingOptions, "endpoint" | "connection">,
  sockets: readonly UdpSocket[],
): void {
  for (const { index } of sockets) {
    if (connection.path?.socket === index) continue;
    connection.dropPaths(index);
    endpoint.removeSocket(index);
  }
}

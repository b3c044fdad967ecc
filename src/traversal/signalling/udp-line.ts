/**
 * A client's UDP transport to a rendezvous server: by its own sockets, or by those of an endpoint.
 * Shared sockets use the very NAT mapping that data will use, and keep it open.
 */

import type { DatagramOrigin, ProtocolHandler } from "../../link/endpoint.ts";
import type { DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import { UdpSocket } from "../../platform/udp/udp-socket.ts";
import { firstBytesOf, PACKET_RENDEZVOUS } from "../../wire/packet.ts";

const FIRST_BYTES = firstBytesOf(PACKET_RENDEZVOUS);

/** The part of an endpoint that is shared. */
export interface SharedSockets {
  readonly sockets: readonly DatagramSocket[];
  route(minFirstByte: number, maxFirstByte: number, handle: ProtocolHandler): () => void;
}

export class UdpLine {
  /** Called with each mailbox message and with no other datagram. */
  onMessage: ((address: string, port: number, bytes: Uint8Array) => boolean) | undefined;
  readonly #shared: SharedSockets | undefined;
  readonly #localSockets: UdpSocket[] = [];
  readonly #endRoute: (() => void) | undefined;
  #open = true;

  constructor(shared?: SharedSockets) {
    this.#shared = shared;
    this.#endRoute = shared?.route(
      FIRST_BYTES.low,
      FIRST_BYTES.high,
      (_now, { address, port }: DatagramOrigin, bytes) => this.onMessage?.(address, port, bytes) ?? false,
    );
  }

  /** Prepares a socket of a family; false where the system or the endpoint has none. */
  async prepare(family: 4 | 6): Promise<boolean> {
    if (this.#shared !== undefined) return this.#socketOf(family) !== undefined;
    if (this.#socketOf(family) !== undefined) return true;
    try {
      const socket = await UdpSocket.bind({ family, port: 0 });
      if (!this.#open || this.#socketOf(family) !== undefined) {
        socket.close();
        return this.#open;
      }
      socket.onDatagram = (_socket, address, port, bytes) => void this.onMessage?.(address, port, bytes);
      this.#localSockets.push(socket);
      return true;
    } catch {
      return false;
    }
  }

  send(bytes: Uint8Array, family: 4 | 6, address: string, port: number): void {
    if (this.#open) this.#socketOf(family)?.send(bytes, address, port);
  }

  /** Datagrams that wait in this process for the kernel. */
  get queuedDatagrams(): number {
    return this.#localSockets.reduce((sum, socket) => sum + socket.queuedDatagrams, 0);
  }

  /** Whether the line's own sockets keep the process running. */
  holdProcess(hold: boolean): void {
    for (const socket of this.#localSockets) socket.holdProcess(hold);
  }

  close(): void {
    this.#open = false;
    this.#endRoute?.();
    for (const socket of this.#localSockets) socket.close();
    this.#localSockets.length = 0;
  }

  #socketOf(family: 4 | 6): DatagramSocket | undefined {
    const sockets: readonly DatagramSocket[] = this.#shared?.sockets ?? this.#localSockets;
    return sockets.find((socket) => socket.kind === "udp" && socket.family === family);
  }
}

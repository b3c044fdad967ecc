/**
 * A client's UDP way to a rendezvous server: by sockets of its own, or by those of an endpoint, so that the
 * server is asked through the very NAT mapping that data will use, which is thereby kept open.
 */

import type { DatagramOrigin, ProtocolHandler } from "../../link/endpoint.ts";
import type { DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import { UdpSocket } from "../../platform/udp/udp-socket.ts";
import { firstBytesOf, PACKET_RENDEZVOUS } from "../../wire/packet.ts";

const FIRST_BYTES = firstBytesOf(PACKET_RENDEZVOUS);

/** What of an endpoint is shared. */
export interface SharedSockets {
  readonly sockets: readonly DatagramSocket[];
  route(minFirstByte: number, maxFirstByte: number, handle: ProtocolHandler): () => void;
}

export class UdpLine {
  /** Told of each message, and of nothing else that arrives. */
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

  /** Gets ready for a family; false where the system or the endpoint does not have it. */
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

  /** Whether sockets of its own keep the process running. */
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

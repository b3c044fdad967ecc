/**
 * One bound UDP socket, as fast as `dgram` allows and without its surprises: sending never throws and never
 * looks a name up, what fails is counted, and the kernel's buffers are asked to be large.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { RemoteAddress } from "./address.ts";

/** Room for 20 ms of a gigabit, so that a busy event loop loses nothing; the kernel may grant less. */
const WANTED_BUFFER_BYTES = 4 * 1024 * 1024;

export interface UdpSocketOptions {
  readonly family: 4 | 6;
  /** Source address; undefined binds all addresses of the family, and of no other. */
  readonly address?: string | undefined;
  /** Port; 0 takes any free one. */
  readonly port: number;
}

/** Takes one received datagram; the bytes are the callee's. The port is never 0. */
export type DatagramHandler = (socket: UdpSocket, address: string, port: number, bytes: Uint8Array) => void;

export class UdpSocket {
  readonly family: 4 | 6;
  readonly local: RemoteAddress;
  /** What the kernel granted, of the 4 MiB asked for (it counts its own bookkeeping in). */
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  /** Sends that failed: no route, too large, forbidden. Only the last of each batch is looked at. */
  sendErrors = 0;
  /** Position among its endpoint's sockets. */
  index = 0;
  onDatagram: DatagramHandler | undefined;
  /** Told each time when the last datagram of a batch has left or failed. */
  onSent: (() => void) | undefined;

  readonly #socket: Socket;
  #open = true;
  readonly #afterSend: (error: Error | null) => void;

  private constructor(family: 4 | 6, socket: Socket) {
    this.family = family;
    this.#socket = socket;
    const { address, port } = socket.address();
    this.local = { address, port, family };
    this.receiveBufferBytes = askForBuffer(socket, "Recv");
    this.sendBufferBytes = askForBuffer(socket, "Send");
    this.#afterSend = (error) => {
      if (error !== null) this.sendErrors++;
      this.onSent?.();
    };
    socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => {
      // Nothing can be sent back to port 0, which only a forged datagram comes from.
      if (from.port !== 0) this.onDatagram?.(this, from.address, from.port, bytes);
    });
    // ICMP errors and the like: a hint that anybody can forge, and never the end of a socket.
    socket.on("error", () => {
      this.sendErrors++;
    });
  }

  /** Binds; rejects with the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL, EAFNOSUPPORT …). */
  static bind(options: UdpSocketOptions): Promise<UdpSocket> {
    const { family, address, port } = options;
    return new Promise((resolve, reject) => {
      const socket = createSocket({
        type: family === 6 ? "udp6" : "udp4",
        ipv6Only: family === 6,
        // Only addresses come here, so they are their own answer. Answered at once, a send is one system
        // call in place; the default would go through the thread pool for each datagram.
        lookup: (name, _options, answer) => answer(null, name, family),
      });
      const refused = (error: Error): void => {
        socket.close();
        reject(error);
      };
      socket.once("error", refused);
      socket.once("listening", () => {
        socket.off("error", refused);
        resolve(new UdpSocket(family, socket));
      });
      const any = family === 6 ? "::" : "0.0.0.0";
      socket.bind({ port, address: address ?? any, exclusive: true });
    });
  }

  /** Sends one datagram; the bytes may be reused once `queuedDatagrams` is 0. */
  send(bytes: Uint8Array, address: string, port: number): void {
    if (this.#open) this.#socket.send(bytes, port, address);
  }

  /** As `send`, for the last datagram of a batch: its fate stands for all of them. */
  sendLast(bytes: Uint8Array, address: string, port: number): void {
    if (this.#open) this.#socket.send(bytes, port, address, this.#afterSend);
  }

  /** Datagrams that the kernel's full buffer made wait in this process. */
  get queuedDatagrams(): number {
    return this.#open ? this.#socket.getSendQueueCount() : 0;
  }

  /** Whether the socket keeps the process running. */
  holdProcess(hold: boolean): void {
    if (!this.#open) return;
    if (hold) this.#socket.ref();
    else this.#socket.unref();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.onDatagram = undefined;
    this.onSent = undefined;
    this.#socket.close();
  }
}

function askForBuffer(socket: Socket, which: "Recv" | "Send"): number {
  try {
    socket[`set${which}BufferSize`](WANTED_BUFFER_BYTES);
  } catch {
    // A system that refuses (macOS, where the sum exceeds its limit) keeps its own size.
  }
  return socket[`get${which}BufferSize`]();
}

/**
 * One bound UDP socket, as fast as `dgram` allows and without its surprises: sending never throws and never
 * looks a name up, what fails is counted, and the kernel's buffers are asked to be large.
 */
import { type BindOptions, createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { RemoteAddress } from "./address.ts";
import type { DatagramHandler, DatagramSocket } from "./datagram-socket.ts";
import { OffloadSocket } from "./offload.ts";

/** Room for 20 ms of a gigabit, so that a busy event loop loses nothing; the kernel may grant less. */
const WANTED_BUFFER_BYTES = 4 * 1024 * 1024;

export interface UdpSocketOptions {
  readonly family: 4 | 6;
  /** Source address; undefined binds all addresses of the family, and of no other. */
  readonly address?: string | undefined;
  /** Port; 0 takes any free one. */
  readonly port: number;
}

/**
 * Buffers received in a row before other work gets its turn: acknowledgements and credit, for one, which the sender
 * waits for. A megabyte; four times less wakes both sides too often, twice as much lets the sender run dry.
 */
const BATCH_BUFFERS = 16;
/** Hops that an ordinary datagram may take, as the systems have it. */
const USUAL_TTL = 64;

export class UdpSocket implements DatagramSocket {
  readonly kind = "udp";
  readonly family: 4 | 6;
  readonly local: RemoteAddress;
  /** What the kernel granted, of the 4 MiB asked for (it counts its own bookkeeping in). */
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  index = 0;
  onDatagram: DatagramHandler | undefined;
  onSent: (() => void) | undefined;

  readonly #socket: Socket;
  readonly #offload: OffloadSocket | undefined;
  #open = true;
  #sendErrors = 0;
  readonly #afterSend: (error: Error | null) => void;

  private constructor(family: 4 | 6, socket: Socket, offload: OffloadSocket | undefined) {
    this.family = family;
    this.#socket = socket;
    this.#offload = offload;
    offload?.keepPort();
    offload?.askForBuffers(WANTED_BUFFER_BYTES);
    const { address, port } = socket.address();
    this.local = { address, port, family };
    this.receiveBufferBytes = offload ? socket.getRecvBufferSize() : askForBuffer(socket, "Recv");
    this.sendBufferBytes = offload ? socket.getSendBufferSize() : askForBuffer(socket, "Send");
    this.#afterSend = (error) => {
      if (error !== null) this.#sendErrors++;
      this.onSent?.();
    };
    socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => {
      // Nothing can be sent back to port 0, which only a forged datagram comes from.
      if (from.port !== 0) this.onDatagram?.(this, from.address, from.port, bytes);
      if (offload !== undefined) this.#receiveFurther(offload);
    });
    // ICMP errors and the like: a hint that anybody can forge, and never the end of a socket.
    socket.on("error", () => {
      this.#sendErrors++;
    });
  }

  /** Binds; rejects with the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL, EAFNOSUPPORT …). */
  static async bind({ family, address, port }: UdpSocketOptions): Promise<UdpSocket> {
    const localAddress = address ?? (family === 6 ? "::" : "0.0.0.0");
    const offload = OffloadSocket.open(family, localAddress, port);
    if (offload !== undefined) {
      try {
        return new UdpSocket(family, await bindSocket(family, { fd: offload.descriptor }), offload);
      } catch {
        // dgram takes no descriptor here: as if there were none.
        offload.close();
      }
    }
    return new UdpSocket(
      family,
      await bindSocket(family, { port, address: localAddress, exclusive: true }),
      undefined,
    );
  }

  /** Whether a received buffer may hold several datagrams, all but the last equally long. */
  get isCoalescing(): boolean {
    return this.#offload?.isCoalescing ?? false;
  }

  get isUnfragmented(): boolean {
    return this.#offload?.isUnfragmented ?? false;
  }

  /** What the kernel does for this socket, for people: "GSO, GRO, don't-fragment" or "none". */
  get offloads(): string {
    return this.#offload?.names ?? "none";
  }

  sendBurst(bytes: Uint8Array, length: number, segmentBytes: number, address: string, port: number): number {
    if (!this.#open || this.#offload === undefined) return 0;
    return this.#offload.send(bytes, length, segmentBytes, address, port);
  }

  /** Sends that failed: no route, too large, forbidden. Of a batch by `dgram` only the last is looked at. */
  get sendErrors(): number {
    return this.#sendErrors + (this.#offload?.sendErrors ?? 0);
  }

  send(bytes: Uint8Array, address: string, port: number): void {
    if (this.#open) this.#socket.send(bytes, port, address);
  }

  sendLast(bytes: Uint8Array, address: string, port: number): void {
    if (this.#open) this.#socket.send(bytes, port, address, this.#afterSend);
  }

  sendWithTtl(bytes: Uint8Array, address: string, port: number, ttl: number): void {
    // One that waits for the kernel would leave with the TTL of those behind it.
    if (!this.#open || this.queuedDatagrams > 0) return;
    const restore = (): void => {
      if (this.#open) this.#socket.setTTL(USUAL_TTL);
    };
    this.#socket.setTTL(ttl);
    this.#socket.send(bytes, port, address, (error) => {
      if (error !== null) this.#sendErrors++;
      restore();
    });
    // Its name is its address, so it has left in place; if not, the callback restores.
    if (this.queuedDatagrams === 0) restore();
  }

  /** Datagrams that the kernel's full buffer made wait in this process. */
  get queuedDatagrams(): number {
    return this.#open ? this.#socket.getSendQueueCount() : 0;
  }

  /**
   * What waits behind the datagram that `dgram` has just received: into the same memory again and again, where
   * `dgram` would take 64 KiB anew for each buffer, which the garbage collector pays for.
   */
  #receiveFurther(offload: OffloadSocket): void {
    for (let i = 0; i < BATCH_BUFFERS && this.#open; i++) {
      const bytes = offload.receive();
      if (bytes === undefined) return;
      if (offload.fromPort !== 0) this.onDatagram?.(this, offload.fromAddress, offload.fromPort, bytes);
    }
  }

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

function bindSocket(family: 4 | 6, where: BindOptions): Promise<Socket> {
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
      resolve(socket);
    });
    socket.bind(where);
  });
}

function askForBuffer(socket: Socket, which: "Recv" | "Send"): number {
  try {
    socket[`set${which}BufferSize`](WANTED_BUFFER_BYTES);
  } catch {
    // A system that refuses (macOS, where the sum exceeds its limit) keeps its own size.
  }
  return socket[`get${which}BufferSize`]();
}

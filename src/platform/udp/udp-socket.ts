/**
 * One bound UDP socket on top of `dgram`. Sending never throws and never looks up a name, failures
 * are counted, and the kernel is asked for large buffers.
 */
import { type BindOptions, createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { RemoteAddress } from "./address.ts";
import type { DatagramHandler, DatagramSocket } from "./datagram-socket.ts";
import { OffloadSocket } from "./offload.ts";

/** 20 ms of a gigabit link, so that a busy event loop loses nothing. The kernel may grant less. */
const BUFFER_BYTES = 4 * 1024 * 1024;

export interface UdpSocketOptions {
  readonly family: 4 | 6;
  /** Source address; undefined binds all addresses of the family, and only of that family. */
  readonly address?: string | undefined;
  /** Port; 0 for any free port. */
  readonly port: number;
}

/**
 * Number of buffers that are received before other work gets a turn. The sender waits for that
 * work, for example acknowledgements and credit. The value corresponds to one megabyte. A quarter
 * of it wakes both sides too often, and twice as much makes the sender run out of credit.
 */
const BATCH_BUFFERS = 16;
/** Default TTL of the operating systems. */
const USUAL_TTL = 64;

export class UdpSocket implements DatagramSocket {
  readonly kind = "udp";
  readonly family: 4 | 6;
  readonly local: RemoteAddress;
  /**
   * The receive buffer that the kernel granted, of the requested 4 MiB. It includes the kernel's
   * own overhead.
   */
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
    offload?.forbidPortReuse();
    offload?.requestBuffers(BUFFER_BYTES);
    const { address, port } = socket.address();
    this.local = { address, port, family };
    this.receiveBufferBytes = offload ? socket.getRecvBufferSize() : requestBuffer(socket, "Recv");
    this.sendBufferBytes = offload ? socket.getSendBufferSize() : requestBuffer(socket, "Send");
    this.#afterSend = (error) => {
      if (error !== null) this.#sendErrors++;
      this.onSent?.();
    };
    socket.on("message", (bytes: Uint8Array, from: RemoteInfo) => {
      // Only forged datagrams come from port 0, to which no reply is possible.
      if (from.port !== 0) this.onDatagram?.(this, from.address, from.port, bytes);
      if (offload !== undefined) this.#receiveFurther(offload);
    });
    // ICMP errors and the like. Anyone can forge them, so they never close the socket.
    socket.on("error", () => {
      this.#sendErrors++;
    });
  }

  /**
   * Binds a socket. Rejects with the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL,
   * EAFNOSUPPORT …).
   */
  static async bind({ family, address, port }: UdpSocketOptions): Promise<UdpSocket> {
    const localAddress = address ?? (family === 6 ? "::" : "0.0.0.0");
    const offload = OffloadSocket.open(family, localAddress, port);
    if (offload !== undefined) {
      try {
        return new UdpSocket(family, await bindSocket(family, { fd: offload.descriptor }), offload);
      } catch {
        // dgram does not accept a descriptor here, so the socket is opened without offload.
        offload.close();
      }
    }
    return new UdpSocket(
      family,
      await bindSocket(family, { port, address: localAddress, exclusive: true }),
      undefined,
    );
  }

  /**
   * Whether a received buffer may contain several datagrams, all of equal length except the last.
   */
  get isCoalescing(): boolean {
    return this.#offload?.isCoalescing ?? false;
  }

  get isUnfragmented(): boolean {
    return this.#offload?.isUnfragmented ?? false;
  }

  /** The active offloads, as text for users: "GSO, GRO, don't-fragment" or "none". */
  get offloads(): string {
    return this.#offload?.names ?? "none";
  }

  sendBurst(bytes: Uint8Array, length: number, segmentBytes: number, address: string, port: number): number {
    if (!this.#open || this.#offload === undefined) return 0;
    return this.#offload.send(bytes, length, segmentBytes, address, port);
  }

  /**
   * Failed sends: no route, too large, forbidden. In a batch through `dgram` only the last datagram
   * is checked.
   */
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
    // A datagram that waits for the kernel would be sent with the TTL of the datagrams after it.
    if (!this.#open || this.queuedDatagrams > 0) return;
    const restore = (): void => {
      if (this.#open) this.#socket.setTTL(USUAL_TTL);
    };
    this.#socket.setTTL(ttl);
    this.#socket.send(bytes, port, address, (error) => {
      if (error !== null) this.#sendErrors++;
      restore();
    });
    // An address needs no look-up, so the datagram was sent synchronously. If it was queued, the
    // callback restores the TTL.
    if (this.queuedDatagrams === 0) restore();
  }

  /** Datagrams queued in this process because the kernel's buffer is full. */
  get queuedDatagrams(): number {
    return this.#open ? this.#socket.getSendQueueCount() : 0;
  }

  /**
   * Receives the datagrams that wait behind the one that `dgram` has received. It reuses its
   * memory, whereas `dgram` would allocate 64 KiB for each buffer, at the expense of the garbage
   * collector.
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
      // The name is always an address, so it is its own result. With a synchronous answer, a send
      // is one direct system call. The default look-up would use the thread pool for each datagram.
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

function requestBuffer(socket: Socket, which: "Recv" | "Send"): number {
  try {
    socket[`set${which}BufferSize`](BUFFER_BYTES);
  } catch {
    // A system that refuses keeps its default size (macOS, if the sum exceeds its limit).
  }
  return socket[`get${which}BufferSize`]();
}

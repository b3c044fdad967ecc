/**
 * The transport of messages to a TURN server: UDP, or a byte stream (TCP, TLS) split into messages.
 * // RFC 8656 §3.1, §12.5; RFC 8489 §6.2.2
 */
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { copyBytes } from "../../base/bytes.ts";
import type { RemoteAddress } from "../../platform/udp/address.ts";
import { UdpSocket } from "../../platform/udp/udp-socket.ts";
import { STUN_FIRST_BYTE_LIMIT } from "../../wire/packet.ts";
import { stunMessageBytes } from "../../wire/stun.ts";
import {
  CHANNEL_HEAD_BYTES,
  channelBytes,
  isChannelByte,
  streamedChannelBytes,
} from "../../wire/turn-channel.ts";

export interface TurnCarriage {
  /**
   * Whether messages arrive in order until the connection ends; on such a stream channel data is
   * padded.
   */
  readonly isStream: boolean;
  /** Takes one message; the callee owns the bytes. */
  onMessage: ((bytes: Uint8Array) => void) | undefined;
  /** Called when a stream has ended, for any reason; never for UDP. */
  onEnd: (() => void) | undefined;
  /** Called when the message given to `sendLast` has left or failed. */
  onSent: (() => void) | undefined;
  /** Sends one message, whose bytes must not change afterwards; never throws. */
  send(message: Uint8Array): void;
  sendLast(message: Uint8Array): void;
  /** Messages queued in this process. */
  readonly queuedMessages: number;
  holdProcess(hold: boolean): void;
  close(): void;
}

/** Deadline for a TCP connection, including TLS. */
const CONNECT_WAIT_MS = 10_000;
/** The queue of a stream is counted in messages of this size. */
const USUAL_MESSAGE_BYTES = 1200;
/**
 * Queued bytes of a stream beyond which messages other than the last of a batch are dropped, as a
 * router would.
 */
const STREAM_BACKLOG_BYTES = 1 << 20;

/** @throws the system's error */
export async function openUdpCarriage(to: RemoteAddress): Promise<TurnCarriage> {
  return new UdpCarriage(await UdpSocket.bind({ family: to.family, port: 0 }), to);
}

/**
 * @param tls the server's name and the trusted authorities; undefined for plain TCP
 * @param signal gives up
 * @throws the system's error, or that of TLS
 */
export function openStreamCarriage(
  to: RemoteAddress,
  tls: ConnectionOptions | undefined,
  signal: AbortSignal | undefined,
): Promise<TurnCarriage> {
  return new Promise((resolve, reject) => {
    const point = { host: to.address, port: to.port, family: to.family };
    const socket = tls === undefined ? connectTcp(point) : connectTls({ ...tls, ...point });
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.destroy();
      reject(error);
    };
    const abort = (): void => fail(signal?.reason);
    const timer = setTimeout(() => fail(new Error("no connection in time")), CONNECT_WAIT_MS);
    signal?.addEventListener("abort", abort, { once: true });
    socket.on("error", fail);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.off("error", fail);
      resolve(new StreamCarriage(socket));
    });
  });
}

class UdpCarriage implements TurnCarriage {
  readonly isStream = false;
  onMessage: ((bytes: Uint8Array) => void) | undefined;
  onEnd: (() => void) | undefined;
  readonly #socket: UdpSocket;
  readonly #address: string;
  readonly #port: number;

  constructor(socket: UdpSocket, { address, port }: RemoteAddress) {
    this.#socket = socket;
    this.#address = address;
    this.#port = port;
    socket.onDatagram = (_socket, from, fromPort, bytes) => {
      if (from !== address || fromPort !== port) return;
      // The socket reuses its buffer for the next datagram.
      for (const message of messagesIn(bytes)) this.onMessage?.(copyBytes(message));
    };
  }

  get onSent(): (() => void) | undefined {
    return this.#socket.onSent;
  }

  set onSent(reported: (() => void) | undefined) {
    this.#socket.onSent = reported;
  }

  send(message: Uint8Array): void {
    this.#socket.send(message, this.#address, this.#port);
  }

  sendLast(message: Uint8Array): void {
    this.#socket.sendLast(message, this.#address, this.#port);
  }

  get queuedMessages(): number {
    return this.#socket.queuedDatagrams;
  }

  holdProcess(hold: boolean): void {
    this.#socket.holdProcess(hold);
  }

  close(): void {
    this.#socket.close();
  }
}

class StreamCarriage implements TurnCarriage {
  readonly isStream = true;
  onMessage: ((bytes: Uint8Array) => void) | undefined;
  onEnd: (() => void) | undefined;
  onSent: (() => void) | undefined;
  readonly #socket: Socket;
  /** The bytes of an incomplete message. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes) => this.#take(bytes));
    socket.on("error", () => undefined);
    socket.on("close", () => this.onEnd?.());
  }

  send(message: Uint8Array): void {
    if (this.#socket.writable && this.#socket.writableLength < STREAM_BACKLOG_BYTES)
      this.#socket.write(message);
  }

  sendLast(message: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(message, () => this.onSent?.());
    else setImmediate(() => this.onSent?.());
  }

  get queuedMessages(): number {
    return Math.ceil(this.#socket.writableLength / USUAL_MESSAGE_BYTES);
  }

  holdProcess(hold: boolean): void {
    if (hold) this.#socket.ref();
    else this.#socket.unref();
  }

  close(): void {
    this.onMessage = undefined;
    this.onEnd = undefined;
    this.#socket.end();
    // A server that does not close its side would keep the process running.
    this.#socket.unref();
  }

  #take(bytes: Buffer): void {
    let all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (all.length >= CHANNEL_HEAD_BYTES) {
      const isChannel = isChannelByte(all[0]!);
      const length = isChannel ? streamedChannelBytes(all) : stunMessageBytes(all);
      if (!isChannel && all[0]! >= STUN_FIRST_BYTE_LIMIT) {
        // The position of the next message in the stream is unknown.
        this.#socket.destroy();
        return;
      }
      if (all.length < length) break;
      this.onMessage?.(all.subarray(0, length));
      all = all.subarray(length);
    }
    // Copied, so that a few bytes do not keep a large chunk alive.
    this.#rest = Buffer.from(all);
  }
}

/** The messages in one buffer, each by its length: the kernel may have joined several (UDP GRO). */
function* messagesIn(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at + CHANNEL_HEAD_BYTES <= bytes.length; ) {
    const rest = bytes.subarray(at);
    const length = isChannelByte(rest[0]!) ? channelBytes(rest) : stunMessageBytes(rest);
    if (length > rest.length) return;
    yield rest.subarray(0, length);
    at += length;
  }
}

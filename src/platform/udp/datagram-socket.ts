/**
 * The interface through which an endpoint sends and receives datagrams: a UDP socket of this
 * machine, or a relay that replaces one.
 */
import type { RemoteAddress } from "./address.ts";

/**
 * Receives one datagram, or several coalesced ones if the socket `isCoalescing`. The handler may
 * modify the bytes until it returns, and must copy the bytes that it keeps. The port is never 0.
 */
export type DatagramHandler = (
  socket: DatagramSocket,
  address: string,
  port: number,
  bytes: Uint8Array,
) => void;

export interface DatagramSocket {
  /** Whether datagrams are sent directly or through a relay. */
  readonly kind: "udp" | "relay";
  readonly family: 4 | 6;
  readonly local: RemoteAddress;
  /** Index among the sockets of its endpoint, which sets it. */
  index: number;
  onDatagram: DatagramHandler | undefined;
  /** Called each time the last datagram of a batch was sent or has failed. */
  onSent: (() => void) | undefined;

  /** Size of the receive buffer, as the kernel counts it. */
  readonly receiveBufferBytes?: number;
  /** Whether datagrams are never fragmented on the path. A datagram that is too large is lost. */
  readonly isUnfragmented?: boolean;
  /**
   * Whether one received buffer may contain several datagrams, all of equal length except the last
   * (UDP GRO).
   */
  readonly isCoalescing?: boolean;

  /**
   * Sends bytes[0, length) in one call, as datagrams of `segmentBytes`; the last one may be
   * shorter. Returns how many bytes were handled. The caller sends the rest with `send`. Absent if
   * the socket does not support it.
   */
  sendBurst?(bytes: Uint8Array, length: number, segmentBytes: number, address: string, port: number): number;
  /** Sends one datagram and never throws. The bytes may be reused once `queuedDatagrams` is 0. */
  send(bytes: Uint8Array, address: string, port: number): void;
  /** Like `send`, for the last datagram of a batch. Its completion stands for the whole batch. */
  sendLast(bytes: Uint8Array, address: string, port: number): void;
  /**
   * Like `send`, but routers drop the datagram after `ttl` hops. A relay does not support this and
   * sends nothing.
   *
   * @param ttl 1–255
   */
  sendWithTtl(bytes: Uint8Array, address: string, port: number, ttl: number): void;
  /** Datagrams in this process that wait for room in the kernel's buffer. */
  readonly queuedDatagrams: number;
  /** Whether the socket keeps the process running. */
  holdProcess(hold: boolean): void;
  close(): void;
}

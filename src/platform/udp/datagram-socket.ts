/**
 * What an endpoint sends and receives datagrams by: a UDP socket of this machine, or a relay that stands in
 * for one.
 */
import type { RemoteAddress } from "./address.ts";

/**
 * Takes one received datagram, or several joined ones where the socket `isCoalescing`. The bytes are the
 * callee's to change until it returns; to keep them it copies them. The port is never 0.
 */
export type DatagramHandler = (
  socket: DatagramSocket,
  address: string,
  port: number,
  bytes: Uint8Array,
) => void;

export interface DatagramSocket {
  /** Whether datagrams leave this machine as they are, or through a relay that passes them on. */
  readonly kind: "udp" | "relay";
  readonly family: 4 | 6;
  readonly local: RemoteAddress;
  /** Place among its endpoint's sockets, which sets it. */
  index: number;
  onDatagram: DatagramHandler | undefined;
  /** Told each time when the last datagram of a batch has left or failed. */
  onSent: (() => void) | undefined;

  /** Room for what has come and was not taken yet, as the kernel counts. */
  readonly receiveBufferBytes?: number;
  /** Whether nothing on the way may cut a datagram into fragments: one that is too large gets lost. */
  readonly isUnfragmented?: boolean;
  /** Whether one received buffer may hold several datagrams, all equally long but for the last (UDP GRO). */
  readonly isCoalescing?: boolean;

  /**
   * Where one call sends many: sends bytes[0, length) as datagrams of `segmentBytes`, the last of which may
   * be shorter. Returns how much of it is dealt with; the rest is for `send`.
   */
  sendBurst?(bytes: Uint8Array, length: number, segmentBytes: number, address: string, port: number): number;
  /** Sends one datagram and never throws; the bytes may be reused once `queuedDatagrams` is 0. */
  send(bytes: Uint8Array, address: string, port: number): void;
  /** As `send`, for the last datagram of a batch: its fate stands for all of them. */
  sendLast(bytes: Uint8Array, address: string, port: number): void;
  /**
   * As `send`, but routers let go of the datagram after `ttl` hops. A relay cannot do that: it sends nothing.
   *
   * @param ttl 1–255
   */
  sendWithTtl(bytes: Uint8Array, address: string, port: number, ttl: number): void;
  /** Datagrams that wait in this process for room below. */
  readonly queuedDatagrams: number;
  /** Whether the socket keeps the process running. */
  holdProcess(hold: boolean): void;
  close(): void;
}

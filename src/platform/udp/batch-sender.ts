/**
 * Sends the packets of a connection: many datagrams from one slab, which is reused.
 *
 * The kernel copies a datagram when it accepts it, so the slab is free at once, except when the
 * kernel's buffer is full. Node then keeps references into the slab until there is room, and the
 * sender allocates a new slab.
 */
import type { Transmit } from "../../engine/connection/connection.ts";
import type { DatagramSocket } from "./datagram-socket.ts";

/**
 * Size of the largest batch: the limit of one call, which is the largest UDP payload; 54 datagrams
 * of 1200 bytes.
 */
const SLAB_BYTES = 65_507;
/** Number of datagrams queued in this process from which on no more are requested. */
const QUEUED_DATAGRAMS_LIMIT = 256;

export class BatchSender {
  /** The buffer for the next batch. It may change with each `send`. */
  buffer: Uint8Array = new Uint8Array(SLAB_BYTES);
  /**
   * Views of the slab's segments, created once for each size. Creating one costs as much as sealing
   * 100 bytes.
   */
  #segments: Uint8Array[] = [];
  #segmentBytes = 0;

  /**
   * Sends all datagrams of `transmit`. Returns false when the queue is so long that the path must
   * pause.
   */
  send(socket: DatagramSocket, transmit: Transmit): boolean {
    const { length, segmentBytes, path } = transmit;
    if (segmentBytes !== this.#segmentBytes) {
      this.#segments = [];
      this.#segmentBytes = segmentBytes;
    }
    let at = socket.sendBurst?.(this.buffer, length, segmentBytes, path.address, path.port) ?? 0;
    if (at >= length) return true;
    for (let i = Math.floor(at / segmentBytes); at < length; i++) {
      const end = at + segmentBytes;
      const segment = end <= length ? this.#segment(i, at) : this.buffer.subarray(at, length);
      if (end < length) socket.send(segment, path.address, path.port);
      else socket.sendLast(segment, path.address, path.port);
      at = end;
    }
    const queued = socket.queuedDatagrams;
    if (queued === 0) return true;
    this.buffer = new Uint8Array(SLAB_BYTES);
    this.#segments = [];
    return queued < QUEUED_DATAGRAMS_LIMIT;
  }

  #segment(index: number, at: number): Uint8Array {
    this.#segments[index] ??= this.buffer.subarray(at, at + this.#segmentBytes);
    return this.#segments[index];
  }
}

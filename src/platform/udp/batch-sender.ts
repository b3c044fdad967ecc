/**
 * Sends what a connection packed: many datagrams out of one slab, which is used again and again.
 *
 * The kernel copies a datagram as it takes it, so the slab is free at once, except when its buffer is full:
 * then Node keeps references into the slab until there is room, and the slab is left to them.
 */
import type { Transmit } from "../../engine/connection/connection.ts";
import type { DatagramSocket } from "./datagram-socket.ts";

/** Longest batch: what one call sends, which is the longest UDP payload; 54 datagrams of 1200 bytes. */
const SLAB_BYTES = 65_507;
/** Datagrams waiting in this process beyond which no more are asked for. */
const QUEUED_DATAGRAMS_LIMIT = 256;

export class BatchSender {
  /** Where the next batch is packed; it may be another one after each `send`. */
  buffer: Uint8Array = new Uint8Array(SLAB_BYTES);
  /** Views of the slab's segments, made once for each size: making one costs as much as sealing 100 bytes. */
  #segments: Uint8Array[] = [];
  #segmentBytes = 0;

  /** Sends all datagrams of `transmit`; false when so many wait for the kernel that its path needs a rest. */
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

/**
 * Reads along on what one end sends and what reaches it, where the AEAD leaves the text plain, and holds it
 * to the rules that can be seen from outside: credit never shrinks and is never overdrawn, only packets that
 * arrived are acknowledged, numbers only rise, and nothing but CLOSE follows CLOSE.
 */

import { FRAME, FrameCursor } from "../../src/wire/frames.ts";
import {
  HEADER_BYTES,
  isDataPacket,
  PACKET_HANDSHAKE,
  PACKET_OVERHEAD_BYTES,
  packetNumberOf,
  sealedBytesOf,
  TAG_BYTES,
} from "../../src/wire/packet.ts";

/** Limits that an end announced in its handshake. */
export interface Limits {
  maxDataBytes: number;
  maxStreamDataBytes: number;
  maxStreams: number;
}

export class WireTap {
  /** The tap of the other end. */
  other!: WireTap;
  /** What this end granted, by the frames that it sent. */
  maxData: number;
  maxStreams: number;
  /** Frames sent, by type. */
  readonly frames = new Map<number, number>();
  packets = 0;
  readonly #maxStreamData = new Map<number, number>();
  readonly #limits: Limits;
  readonly #fail: (what: string) => never;
  readonly #cursor = new FrameCursor();
  /** Numbers of packets that were given to this end. */
  readonly #arrived = new Set<number>();
  readonly #highest = new Map<number, number>();
  #streamBytes = 0;
  #lastNumber = -1;
  #hasClosed = false;

  constructor(limits: Limits, fail: (what: string) => never) {
    this.#limits = limits;
    this.#fail = fail;
    this.maxData = limits.maxDataBytes;
    this.maxStreams = limits.maxStreams;
  }

  /** This end starts over with a new connection. */
  reset(): void {
    this.maxData = this.#limits.maxDataBytes;
    this.maxStreams = this.#limits.maxStreams;
    this.#maxStreamData.clear();
    this.#arrived.clear();
    this.#highest.clear();
    this.#streamBytes = 0;
    this.#lastNumber = -1;
    this.#hasClosed = false;
  }

  /** A datagram that this end is about to be handed. */
  onReceive(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (isDataPacket(bytes, at, bytes.length)) {
        this.#arrived.add(packetNumberOf(bytes, at));
        at += HEADER_BYTES + sealedBytesOf(bytes, at);
      } else if ((bytes[at]! & 0xf0) === PACKET_HANDSHAKE && bytes.length - at > 3) {
        // The last message of the handshake and first data packets may come in one buffer.
        at += Math.max(1, (bytes[at + 1]! << 8) | bytes[at + 2]!);
      } else return;
    }
  }

  /** A datagram that this end sends. */
  onSend(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && isDataPacket(bytes, at, bytes.length)) {
      const end = at + HEADER_BYTES + sealedBytesOf(bytes, at);
      this.#onPacket(bytes, at, end);
      at = end;
    }
    if (at > 0 && at < bytes.length)
      this.#fail(`a datagram with ${bytes.length - at} bytes of junk at its end`);
  }

  #onPacket(bytes: Uint8Array, at: number, end: number): void {
    this.packets++;
    const packetNumber = packetNumberOf(bytes, at);
    if (packetNumber <= this.#lastNumber)
      this.#fail(`packet number ${packetNumber} after ${this.#lastNumber}`);
    this.#lastNumber = packetNumber;
    const frame = this.#cursor;
    frame.reset(bytes, at + HEADER_BYTES, end - TAG_BYTES);
    let frames = 0;
    let closes = false;
    while (frame.next()) {
      frames++;
      this.frames.set(frame.type, (this.frames.get(frame.type) ?? 0) + 1);
      if (frame.type === FRAME.close) closes = true;
      else this.#onFrame(frame);
    }
    if (!frame.ok) this.#fail(`sent a frame of type ${frame.type} that cannot be read`);
    if (frames === 0) this.#fail(`sent a packet of ${end - at - PACKET_OVERHEAD_BYTES} bytes without frames`);
    if (this.#hasClosed && !closes) this.#fail("sent other packets after CLOSE");
    this.#hasClosed ||= closes;
  }

  #onFrame(frame: FrameCursor): void {
    switch (frame.type) {
      case FRAME.maxData:
        if (frame.offset < this.maxData)
          this.#fail(`credit shrank: MAX_DATA ${frame.offset} after ${this.maxData}`);
        this.maxData = frame.offset;
        return;
      case FRAME.maxStreams:
        if (frame.offset < this.maxStreams) this.#fail(`credit shrank: MAX_STREAMS ${frame.offset}`);
        this.maxStreams = frame.offset;
        return;
      case FRAME.maxStreamData: {
        const before = this.maxStreamData(frame.id);
        if (frame.offset < before)
          this.#fail(`credit shrank: stream ${frame.id} ${frame.offset} after ${before}`);
        this.#maxStreamData.set(frame.id, frame.offset);
        return;
      }
      case FRAME.stream:
        this.#onStreamBytes(frame.id, frame.offset + frame.end - frame.start);
        return;
      case FRAME.resetStream:
        this.#onStreamBytes(frame.id, frame.offset);
        return;
      case FRAME.ack:
        this.#onAck(frame);
        return;
    }
  }

  /** Credit of one stream that this end granted. */
  maxStreamData(streamId: number): number {
    return this.#maxStreamData.get(streamId) ?? this.#limits.maxStreamDataBytes;
  }

  #onStreamBytes(streamId: number, end: number): void {
    const before = this.#highest.get(streamId) ?? 0;
    if (end > before) {
      this.#highest.set(streamId, end);
      this.#streamBytes += end - before;
    }
    const { other } = this;
    if (end > other.maxStreamData(streamId)) {
      this.#fail(`overdrew stream ${streamId}: ${end} of ${other.maxStreamData(streamId)} bytes`);
    }
    if (this.#streamBytes > other.maxData) {
      this.#fail(`overdrew the connection: ${this.#streamBytes} of ${other.maxData} bytes`);
    }
    // Whoever opened it, one of the two allowed it.
    if (Math.floor(streamId / 4) >= Math.max(other.maxStreams, this.maxStreams)) {
      this.#fail(`stream ${streamId} is beyond the allowance`);
    }
  }

  #onAck(frame: FrameCursor): void {
    let lower = Number.POSITIVE_INFINITY;
    for (let range = 0; range < frame.ackRanges; range++) {
      const start = frame.ackStarts[range]!;
      const end = frame.ackEnds[range]!;
      if (end < start || end >= lower - 1)
        this.#fail(`ACK ranges out of order: ${start}–${end} below ${lower}`);
      lower = start;
      // The inner numbers of a range came by the same way as its ends.
      for (const packetNumber of [start, end]) {
        if (!this.#arrived.has(packetNumber))
          this.#fail(`acknowledged packet ${packetNumber}, which never arrived`);
      }
    }
  }
}

/**
 * The frames inside a data packet: numbers and layouts of QUIC, without the frames that a link
 * between two peers does not need.  // RFC 9000 §19, RFC 9221 §4, draft-ietf-quic-ack-frequency
 *
 * Writers put one frame at an index and return the index after it. The caller provides enough room;
 * the `*_BYTES` constants give the sizes. One reused cursor reads the frames; its fields hold the
 * frame read last, so no object is created per frame.
 */

import type { RangeSet } from "../base/range-set.ts";
import { Reader } from "../base/reader.ts";
import { varintBytes, writeVarint } from "../base/varint.ts";

export const FRAME = {
  padding: 0x00,
  ping: 0x01,
  ack: 0x02,
  resetStream: 0x04,
  stopSending: 0x05,
  /** 0x08 … 0x0f: bit 0 FIN, bit 1 explicit length, bit 2 explicit offset. */
  stream: 0x08,
  maxData: 0x10,
  maxStreamData: 0x11,
  maxStreams: 0x12,
  newConnectionId: 0x18,
  retireConnectionId: 0x19,
  pathChallenge: 0x1a,
  pathResponse: 0x1b,
  close: 0x1c,
  immediateAck: 0x1f,
  /** 0x30, 0x31: bit 0 explicit length. */
  datagram: 0x30,
  ackFrequency: 0x3e,
  rekey: 0x3f,
} as const;

const STREAM_FIN = 0x01;
const STREAM_LENGTH = 0x02;
const STREAM_OFFSET = 0x04;

/**
 * Maximum number of ranges in an ACK; older ranges are omitted.
 * // docs/protocol.md, "Acknowledgements"
 */
export const ACK_RANGES_LIMIT = 64;
/** Maximum length of the reason in a CLOSE. */
export const CLOSE_REASON_BYTES = 128;
/** Enough room for any control frame except ACK, CLOSE, REKEY and frames with payload. */
export const CONTROL_FRAME_BYTES = 32;
export const PATH_TOKEN_BYTES = 8;
/** ACK delays are sent in units of 8 µs, QUIC's default exponent.  // RFC 9000 §18.2 */
const ACK_DELAY_UNITS_PER_MS = 125;

/** Length of a STREAM frame's header whose length field allows up to `lengthBytes` of payload. */
export function streamHeaderBytes(
  streamId: number,
  offset: number,
  payloadBytes: number,
  withLength: boolean,
): number {
  const head = 1 + varintBytes(streamId) + (offset > 0 ? varintBytes(offset) : 0);
  return withLength ? head + varintBytes(payloadBytes) : head;
}

/**
 * Writes the header of a STREAM frame; the payload follows. Without a length, the frame extends to
 * the end of its packet.
 */
export function writeStreamHeader(
  bytes: Uint8Array,
  at: number,
  streamId: number,
  offset: number,
  payloadBytes: number,
  fin: boolean,
  withLength: boolean,
): number {
  bytes[at] =
    FRAME.stream |
    (fin ? STREAM_FIN : 0) |
    (withLength ? STREAM_LENGTH : 0) |
    (offset > 0 ? STREAM_OFFSET : 0);
  let next = writeVarint(bytes, at + 1, streamId);
  if (offset > 0) next = writeVarint(bytes, next, offset);
  return withLength ? writeVarint(bytes, next, payloadBytes) : next;
}

/** Writes the header of a DATAGRAM frame with a length; the payload follows. */
export function writeDatagramHeader(bytes: Uint8Array, at: number, payloadBytes: number): number {
  bytes[at] = FRAME.datagram | 1;
  return writeVarint(bytes, at + 1, payloadBytes);
}

/** Writes a frame that consists of its type and up to three numbers. */
export function writeNumbers(bytes: Uint8Array, at: number, type: number, a = -1, b = -1, c = -1): number {
  bytes[at] = type;
  let next = at + 1;
  if (a >= 0) next = writeVarint(bytes, next, a);
  if (b >= 0) next = writeVarint(bytes, next, b);
  if (c >= 0) next = writeVarint(bytes, next, c);
  return next;
}

/** Writes PATH_CHALLENGE or PATH_RESPONSE with its eight bytes. */
export function writePathToken(bytes: Uint8Array, at: number, type: number, token: Uint8Array): number {
  bytes[at] = type;
  bytes.set(token, at + 1);
  return at + 1 + PATH_TOKEN_BYTES;
}

/**
 * Writes NEW_CONNECTION_ID, which issues `connectionId` under `sequence`. The peer may use it to
 * address the sender.
 */
export function writeNewConnectionId(
  bytes: Uint8Array,
  at: number,
  sequence: number,
  connectionId: Uint8Array,
): number {
  bytes[at] = FRAME.newConnectionId;
  const next = writeVarint(bytes, at + 1, sequence);
  bytes.set(connectionId, next);
  return next + connectionId.length;
}

/** Writes CLOSE with an error code and a reason of at most CLOSE_REASON_BYTES bytes. */
export function writeClose(bytes: Uint8Array, at: number, errorCode: number, reason: Uint8Array): number {
  bytes[at] = FRAME.close;
  let next = writeVarint(bytes, at + 1, errorCode);
  next = writeVarint(bytes, next, reason.length);
  bytes.set(reason, next);
  return next + reason.length;
}

/** Writes REKEY: one message of the key update of `epoch`. Its `step` is 1 or 2. */
export function writeRekey(
  bytes: Uint8Array,
  at: number,
  epoch: number,
  step: number,
  message: Uint8Array,
): number {
  let next = writeNumbers(bytes, at, FRAME.rekey, epoch, step, message.length);
  bytes.set(message, next);
  next += message.length;
  return next;
}

/**
 * Writes an ACK of the newest ranges of `received`, as many as fit before `end`. Returns `at` if
 * not even the newest fits.  // RFC 9000 §19.3
 */
export function writeAck(
  bytes: Uint8Array,
  at: number,
  end: number,
  received: RangeSet,
  delayMs: number,
): number {
  let index = received.count - 1;
  if (index < 0 || end - at < CONTROL_FRAME_BYTES) return at;
  const largest = received.end(index) - 1;
  const most = Math.min(received.count, ACK_RANGES_LIMIT);
  // The number of further ranges is written first, so count how many fit.
  let room = end - at - CONTROL_FRAME_BYTES;
  let further = 0;
  for (let i = index; further < most - 1; i--) {
    const cost =
      varintBytes(received.start(i) - received.end(i - 1) - 1) +
      varintBytes(received.end(i - 1) - received.start(i - 1) - 1);
    if (cost > room) break;
    room -= cost;
    further++;
  }
  bytes[at] = FRAME.ack;
  let next = writeVarint(bytes, at + 1, largest);
  next = writeVarint(bytes, next, Math.max(0, Math.round(delayMs * ACK_DELAY_UNITS_PER_MS)));
  next = writeVarint(bytes, next, further);
  next = writeVarint(bytes, next, largest - received.start(index));
  for (; further > 0; further--, index--) {
    // Gap and length are encoded as one less than the number of missing and present packets.
    next = writeVarint(bytes, next, received.start(index) - received.end(index - 1) - 1);
    next = writeVarint(bytes, next, received.end(index - 1) - received.start(index - 1) - 1);
  }
  return next;
}

/** Reads the frames of one opened packet in order. */
export class FrameCursor {
  /** Type of the frame read last. STREAM and DATAGRAM are without their flag bits. */
  type: number = FRAME.padding;
  /** Stream ID, or the first number of the frame. */
  id = 0;
  /** Stream offset, final size, limit, or the second number of the frame. */
  offset = 0;
  /** Error code, or the third number of the frame. */
  code = 0;
  fin = false;
  /** Payload: bytes[start, end) of the packet. */
  start = 0;
  end = 0;
  /** ACK: ranges are (ackEnds[i], ackStarts[i]), newest first, both inclusive. */
  ackRanges = 0;
  ackDelayMs = 0;
  readonly ackStarts: Float64Array = new Float64Array(ACK_RANGES_LIMIT);
  readonly ackEnds: Float64Array = new Float64Array(ACK_RANGES_LIMIT);

  private readonly reader: Reader = new Reader();

  /** The packet's bytes; payload indices refer to it. */
  get bytes(): Uint8Array {
    return this.reader.bytes;
  }

  /** Restarts the cursor over the frames in bytes[start, end). */
  reset(bytes: Uint8Array, start: number, end: number): void {
    this.reader.reset(bytes, start, end);
  }

  /**
   * False if a frame could not be read: unknown type, truncated, or invalid. Valid after `next()`
   * returned false.
   */
  get ok(): boolean {
    return this.reader.ok;
  }

  /**
   * Reads the next frame into the fields. Returns false at the end and at the first unreadable
   * frame.
   */
  next(): boolean {
    const { reader } = this;
    if (!reader.ok || reader.at >= reader.end) return false;
    const type = reader.u8();
    this.type = type;
    if (type >= FRAME.stream && type < FRAME.stream + 8) this.readStream(type);
    else if (type === FRAME.ack) this.readAck();
    else if ((type & 0xfe) === FRAME.datagram) {
      this.type = FRAME.datagram;
      this.takePayload(type & 1 ? reader.varint() : reader.remaining);
    } else this.readControl(type);
    return reader.ok;
  }

  private readStream(type: number): void {
    const { reader } = this;
    this.type = FRAME.stream;
    this.id = reader.varint();
    this.offset = type & STREAM_OFFSET ? reader.varint() : 0;
    this.fin = (type & STREAM_FIN) !== 0;
    this.takePayload(type & STREAM_LENGTH ? reader.varint() : reader.remaining);
  }

  private readAck(): void {
    const { reader } = this;
    let end = reader.varint();
    this.ackDelayMs = reader.varint() / ACK_DELAY_UNITS_PER_MS;
    const further = reader.varint();
    let start = end - reader.varint();
    if (further >= ACK_RANGES_LIMIT || start < 0) {
      reader.ok = false;
      return;
    }
    this.ackEnds[0] = end;
    this.ackStarts[0] = start;
    this.ackRanges = 1 + further;
    for (let i = 1; i <= further; i++) {
      end = start - reader.varint() - 2;
      start = end - reader.varint();
      if (start < 0) {
        reader.ok = false;
        return;
      }
      this.ackEnds[i] = end;
      this.ackStarts[i] = start;
    }
  }

  private readControl(type: number): void {
    const { reader } = this;
    switch (type) {
      case FRAME.padding:
        // In practice padding extends to the end of its packet, so skip all of it at once.
        while (reader.at < reader.end && reader.bytes[reader.at] === FRAME.padding) reader.at++;
        return;
      case FRAME.ping:
      case FRAME.immediateAck:
        return;
      case FRAME.resetStream:
        this.id = reader.varint();
        this.code = reader.varint();
        this.offset = reader.varint();
        return;
      case FRAME.stopSending:
        this.id = reader.varint();
        this.code = reader.varint();
        return;
      case FRAME.maxData:
      case FRAME.maxStreams:
      case FRAME.retireConnectionId:
        this.id = 0;
        this.offset = reader.varint();
        return;
      case FRAME.maxStreamData:
        this.id = reader.varint();
        this.offset = reader.varint();
        return;
      case FRAME.ackFrequency:
        this.id = reader.varint();
        this.offset = reader.varint();
        this.code = reader.varint();
        return;
      case FRAME.newConnectionId:
        this.offset = reader.varint();
        this.takePayload(8);
        return;
      case FRAME.pathChallenge:
      case FRAME.pathResponse:
        this.takePayload(PATH_TOKEN_BYTES);
        return;
      case FRAME.close:
        this.code = reader.varint();
        this.takePayload(reader.varint());
        return;
      case FRAME.rekey:
        this.id = reader.varint();
        this.code = reader.varint();
        this.takePayload(reader.varint());
        return;
      default:
        reader.ok = false;
    }
  }

  private takePayload(byteLength: number): void {
    const { reader } = this;
    if (byteLength > reader.remaining) {
      reader.ok = false;
      return;
    }
    this.start = reader.at;
    this.end = reader.at + byteLength;
    reader.at = this.end;
  }
}

/** Whether a packet with a frame of this type is ack-eliciting.  // RFC 9002 §2 */
export function isAckEliciting(type: number): boolean {
  return type !== FRAME.padding && type !== FRAME.ack && type !== FRAME.close;
}

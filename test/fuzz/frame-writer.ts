/** Makes packets full of valid frames of every kind, and keeps what each of them says for comparison. */
import { RangeSet } from "../../src/base/range-set.ts";
import {
  CLOSE_REASON_BYTES,
  CONTROL_FRAME_BYTES,
  FRAME,
  writeAck,
  writeClose,
  writeDatagramHeader,
  writeNewConnectionId,
  writeNumbers,
  writePathToken,
  writeRekey,
  writeStreamHeader,
} from "../../src/wire/frames.ts";
import type { Xorshift } from "./xorshift.ts";

/** What one frame says, in the fields of a FrameCursor; −1 where it says nothing. */
export interface FrameSaid {
  type: number;
  id: number;
  offset: number;
  code: number;
  fin: boolean;
  /** Payload in the packet. */
  start: number;
  end: number;
}

const NUMBERED = [
  FRAME.ping,
  FRAME.immediateAck,
  FRAME.maxData,
  FRAME.maxStreams,
  FRAME.retireConnectionId,
  FRAME.maxStreamData,
  FRAME.stopSending,
  FRAME.resetStream,
  FRAME.ackFrequency,
] as const;

const MAX_FRAMES = 24;
const token = new Uint8Array(8);
const message = new Uint8Array(CLOSE_REASON_BYTES);

export class FrameWriter {
  /** Frames of the packet made last: said[0 … frames). */
  readonly said: FrameSaid[] = Array.from({ length: MAX_FRAMES }, () => ({
    type: 0,
    id: -1,
    offset: -1,
    code: -1,
    fin: false,
    start: -1,
    end: -1,
  }));
  frames = 0;
  /** Ranges that the packet's ACK frames name. */
  readonly ranges: RangeSet = new RangeSet();
  ackDelayMs = 0;

  /** Fills bytes[at, end) with frames as far as they go; returns the index behind the last. */
  write(random: Xorshift, bytes: Uint8Array, at: number, end: number): number {
    this.frames = 0;
    this.ackDelayMs = random.below(200_000) / 125;
    this.ranges.clear();
    const most = 1 + random.below(MAX_FRAMES - 1);
    while (this.frames < most && end - at >= 2 * CLOSE_REASON_BYTES)
      at = this.writeOne(random, bytes, at, end);
    if (end - at < 40 || !random.oneIn(3)) return at;
    // The last one runs to the end of the packet, without a length.
    const said = this.next(FRAME.stream);
    said.id = random.magnitude();
    said.offset = random.magnitude();
    said.fin = random.oneIn(2);
    said.start = writeStreamHeader(bytes, at, said.id, said.offset, 0, said.fin, false);
    said.end = Math.min(end, said.start + random.below(100));
    return said.end;
  }

  private writeOne(random: Xorshift, bytes: Uint8Array, at: number, end: number): number {
    switch (random.below(9)) {
      case 0:
      case 1: {
        const said = this.next(FRAME.stream);
        said.id = random.magnitude();
        said.offset = random.oneIn(3) ? 0 : random.magnitude();
        said.fin = random.oneIn(4);
        const length = random.below(end - at - CONTROL_FRAME_BYTES);
        said.start = writeStreamHeader(bytes, at, said.id, said.offset, length, said.fin, true);
        said.end = said.start + length;
        random.fill(bytes, said.start, Math.min(said.end, said.start + 8));
        return said.end;
      }
      case 2: {
        if (this.ranges.count > 0) return this.writeNumbered(random, bytes, at);
        this.next(FRAME.ack);
        this.addRanges(random);
        return writeAck(bytes, at, end, this.ranges, this.ackDelayMs);
      }
      case 3: {
        const said = this.next(FRAME.datagram);
        const length = random.below(end - at - CONTROL_FRAME_BYTES);
        said.start = writeDatagramHeader(bytes, at, length);
        said.end = said.start + length;
        return said.end;
      }
      case 4: {
        const said = this.next(random.oneIn(2) ? FRAME.pathChallenge : FRAME.pathResponse);
        random.fill(token, 0, 8);
        said.start = at + 1;
        said.end = writePathToken(bytes, at, said.type, token);
        return said.end;
      }
      case 5: {
        const said = this.next(FRAME.newConnectionId);
        said.offset = random.magnitude();
        random.fill(token, 0, 8);
        said.end = writeNewConnectionId(bytes, at, said.offset, token);
        said.start = said.end - 8;
        return said.end;
      }
      case 6: {
        const said = this.next(FRAME.close);
        said.code = random.magnitude();
        const reason = message.subarray(0, random.below(CLOSE_REASON_BYTES + 1));
        said.end = writeClose(bytes, at, said.code, reason);
        said.start = said.end - reason.length;
        return said.end;
      }
      case 7: {
        const said = this.next(FRAME.rekey);
        said.id = random.magnitude();
        said.code = random.below(4);
        const body = message.subarray(0, random.oneIn(2) ? 48 : random.below(64));
        said.end = writeRekey(bytes, at, said.id, said.code, body);
        said.start = said.end - body.length;
        return said.end;
      }
      default:
        return this.writeNumbered(random, bytes, at);
    }
  }

  private writeNumbered(random: Xorshift, bytes: Uint8Array, at: number): number {
    const said = this.next(random.pick(NUMBERED));
    const { type } = said;
    const a = random.magnitude();
    const b = random.magnitude();
    const c = random.magnitude();
    switch (type) {
      case FRAME.ping:
      case FRAME.immediateAck:
        return writeNumbers(bytes, at, type);
      case FRAME.maxData:
      case FRAME.maxStreams:
      case FRAME.retireConnectionId:
        said.offset = a;
        return writeNumbers(bytes, at, type, a);
      case FRAME.maxStreamData:
        said.id = a;
        said.offset = b;
        return writeNumbers(bytes, at, type, a, b);
      case FRAME.stopSending:
        said.id = a;
        said.code = b;
        return writeNumbers(bytes, at, type, a, b);
      case FRAME.resetStream:
        said.id = a;
        said.code = b;
        said.offset = c;
        return writeNumbers(bytes, at, type, a, b, c);
      default:
        said.id = a;
        said.offset = b;
        said.code = c;
        return writeNumbers(bytes, at, type, a, b, c);
    }
  }

  private addRanges(random: Xorshift): void {
    let next = random.oneIn(2) ? 0 : random.magnitude();
    for (let count = 1 + random.below(random.oneIn(8) ? 80 : 6); count > 0; count--) {
      const start = next + 1 + random.below(random.oneIn(4) ? 70_000 : 5);
      next = start + 1 + random.below(random.oneIn(4) ? 70_000 : 5);
      if (next > Number.MAX_SAFE_INTEGER) break;
      this.ranges.add(start, next);
    }
    if (this.ranges.count === 0) this.ranges.add(0, 1);
  }

  private next(type: number): FrameSaid {
    const said = this.said[this.frames++]!;
    said.type = type;
    said.id = -1;
    said.offset = -1;
    said.code = -1;
    said.fin = false;
    said.start = -1;
    said.end = -1;
    return said;
  }
}

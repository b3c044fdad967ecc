/**
 * What a malicious peer sends: mostly frames that could pass, so that the link lives long enough to be worn
 * down, and now and then a sin that must end it.
 */
import { RangeSet } from "../../src/base/range-set.ts";
import { FRAME, writeAck, writeNumbers, writeRekey, writeStreamHeader } from "../../src/wire/frames.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { MaliciousPeer } from "./malicious-peer.ts";
import type { Xorshift } from "./xorshift.ts";

/** Packets per sin, by how the peer behaves; 0: nothing but random frames. */
const MANNERS = [0, 8, 100, 1000] as const;
const FRAME_KINDS = 13;
const STREAM_WINDOW_BYTES = 400_000;
const writer = new FrameWriter();
const ranges = new RangeSet();

interface Sent {
  highest: number;
  isFinal: boolean;
}

export class HostileScript {
  private readonly random: Xorshift;
  private readonly peer: MaliciousPeer;
  private readonly packetsPerSin: number;
  private readonly streams: Map<number, Sent> = new Map();
  private readonly parity: number;
  /** Kind of frame that it sends above all, −1 for none: floods are made so. */
  private readonly habit: number;
  private usedBytes = 0;
  private nextId = 1;
  /** The packet written last has something in it that no link may survive. */
  hasSinned = false;

  constructor(random: Xorshift, peer: MaliciousPeer) {
    this.random = random;
    this.peer = peer;
    this.packetsPerSin = MANNERS[random.oneIn(12) ? 0 : 1 + random.below(3)]!;
    this.habit = random.oneIn(2) ? random.below(FRAME_KINDS) : -1;
    this.parity = peer.victim.role === "initiator" ? 1 : 0;
  }

  /** The frames of the next packet; returns the index behind them. */
  write(bytes: Uint8Array, from: number): number {
    const { random, packetsPerSin } = this;
    this.hasSinned = false;
    if (packetsPerSin === 0) {
      const end = writer.write(random, bytes, from, from + 700);
      return random.oneIn(3) ? from + random.mutate(bytes.subarray(from), end - from, 1000) : end;
    }
    let at = from;
    for (let frames = 1 + random.below(random.oneIn(10) ? 40 : 5); frames > 0; frames--)
      at = this.writeFrame(bytes, at);
    if (!random.oneIn(packetsPerSin)) return at;
    this.hasSinned = true;
    return this.sin(bytes, at);
  }

  private writeFrame(bytes: Uint8Array, at: number): number {
    const { random } = this;
    switch (this.habit >= 0 && !random.oneIn(4) ? this.habit : random.below(FRAME_KINDS)) {
      case 0:
      case 1:
      case 2:
        return this.writeStream(bytes, at);
      case 3:
        return random.oneIn(6) ? this.writeReset(bytes, at) : at;
      case 4:
        return writeNumbers(bytes, at, FRAME.stopSending, this.anyStream(), 9);
      case 5:
        return writeNumbers(bytes, at, random.pick([FRAME.maxData, FRAME.maxStreams]), random.magnitude());
      case 6:
        return writeNumbers(bytes, at, FRAME.maxStreamData, this.anyStream(), random.magnitude());
      case 7:
        return writeNumbers(bytes, at, random.pick([FRAME.ping, FRAME.immediateAck, FRAME.padding]));
      case 8:
        return writeNumbers(
          bytes,
          at,
          FRAME.ackFrequency,
          random.below(50),
          random.magnitude(),
          random.magnitude(),
        );
      case 9:
        return this.writeAcks(bytes, at);
      case 10:
        bytes[at] = random.pick([FRAME.pathChallenge, FRAME.pathResponse]);
        random.fill(bytes, at + 1, at + 9);
        return at + 9;
      case 11:
        return writeNumbers(bytes, at, FRAME.datagram | 1, 0);
      default:
        return this.writeIds(bytes, at);
    }
  }

  private anyStream(): number {
    return 4 * this.random.below(3) + this.parity;
  }

  private sent(id: number): Sent {
    let sent = this.streams.get(id);
    if (sent === undefined) {
      sent = { highest: 0, isFinal: false };
      this.streams.set(id, sent);
    }
    return sent;
  }

  private writeStream(bytes: Uint8Array, at: number): number {
    const { random } = this;
    const id = this.anyStream();
    const sent = this.sent(id);
    const length = random.below(100);
    let offset = random.oneIn(2) ? sent.highest : random.below(sent.highest + 1);
    if (random.oneIn(5) && !sent.isFinal) offset += random.below(3000);
    let end = offset + length;
    if (sent.isFinal) end = Math.min(end, sent.highest);
    else if (end > STREAM_WINDOW_BYTES || this.usedBytes + end - sent.highest > 2 * STREAM_WINDOW_BYTES)
      return at;
    offset = Math.min(offset, end);
    this.usedBytes += Math.max(0, end - sent.highest);
    sent.highest = Math.max(sent.highest, end);
    const fin = end === sent.highest && random.oneIn(30);
    sent.isFinal ||= fin;
    return writeStreamHeader(bytes, at, id, offset, end - offset, fin, true) + (end - offset);
  }

  private writeReset(bytes: Uint8Array, at: number): number {
    const id = this.anyStream();
    const sent = this.sent(id);
    sent.isFinal = true;
    return writeNumbers(bytes, at, FRAME.resetStream, id, 9, sent.highest);
  }

  /** Some of what came, in any order, with any delay. */
  private writeAcks(bytes: Uint8Array, at: number): number {
    const { random } = this;
    const { received } = this.peer;
    if (received.count === 0) return at;
    ranges.clear();
    for (let pieces = 1 + random.below(4); pieces > 0; pieces--) {
      const range = received.count - 1 - random.below(Math.min(received.count, 4));
      const start = received.start(range) + random.below(received.end(range) - received.start(range));
      ranges.add(start, Math.min(received.end(range), start + 1 + random.below(20)));
    }
    return writeAck(bytes, at, at + 200, ranges, Math.floor(random.magnitude() / 126));
  }

  private writeIds(bytes: Uint8Array, at: number): number {
    const { random, peer } = this;
    if (random.oneIn(2)) {
      const sequences = [...peer.ids.keys()];
      return writeNumbers(bytes, at, FRAME.retireConnectionId, Math.max(1, random.pick(sequences)));
    }
    if (this.nextId > 2 && !random.oneIn(40)) return at;
    const next = writeNumbers(bytes, at, FRAME.newConnectionId, this.nextId++);
    random.fill(bytes, next, next + 8);
    return next + 8;
  }

  /** Something that must end the link, or a CLOSE. */
  private sin(bytes: Uint8Array, at: number): number {
    const { random } = this;
    const far = 2 ** 30 + Math.floor(random.magnitude() / 2);
    switch (random.below(10)) {
      case 0:
        // A stream that is over may be spoken of as one likes: it is not looked at any more.
        this.hasSinned = false;
        return writeStreamHeader(bytes, at, this.anyStream(), far, 0, random.oneIn(2), true);
      case 1:
        return writeNumbers(bytes, at, FRAME.resetStream, 4 * (far % 2 ** 48) + this.parity, 9, 0);
      case 2:
        return writeRekey(bytes, at, 1, random.below(4), random.bytes(random.oneIn(3) ? 40 : 48));
      case 3:
        return writeNumbers(bytes, at, FRAME.close, random.below(20), 0);
      case 4:
        return writeNumbers(bytes, at, FRAME.retireConnectionId, far);
      case 5:
        ranges.clear();
        ranges.add(far, far + 1);
        return writeAck(bytes, at, at + 200, ranges, 0);
      case 6:
        bytes[at] = random.pick([
          0x03, 0x06, 0x07, 0x13, 0x17, 0x1d, 0x1e, 0x20, 0x2f, 0x32, 0x3d, 0x40, 0x80, 0xff,
        ]);
        return at + 1;
      case 7:
        return writeNumbers(bytes, at, FRAME.stopSending, 4 * (far % 2 ** 48) + 2 + random.below(2), 1);
      case 8:
        return writeNumbers(bytes, at, FRAME.maxStreamData, 4 * (far % 2 ** 48) + (1 - this.parity), 1);
      default: {
        // A frame cut short.
        const end = writeNumbers(bytes, at, FRAME.resetStream, 4000, 4000, 4000);
        return at + 1 + random.below(end - at - 1);
      }
    }
  }
}

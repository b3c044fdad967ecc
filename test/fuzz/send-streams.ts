/**
 * The sending half of a stream against one byte of state per byte of stream: every byte goes out until it is
 * acknowledged, none beyond what the peer allows, none again that has arrived, and the end comes when it is true.
 */
import { SEND, SendStream } from "../../src/engine/streams/send-stream.ts";
import { FRAME, FrameCursor } from "../../src/wire/frames.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const LENGTH_BYTES = 12_000;
/** What stands at each offset of every stream here, so that a misplaced byte shows. */
const CONTENT: Uint8Array = Uint8Array.from(
  { length: LENGTH_BYTES },
  (_, i) => (i * 31 + (i >>> 8) * 7) & 0xff,
);
const BYTE = { unsent: 0, underWay: 1, lost: 2, acked: 3 } as const;
const packet = new Uint8Array(2048);
const cursor = new FrameCursor();

interface SentFrame {
  readonly offset: number;
  readonly length: number;
  readonly fin: boolean;
}

class Model {
  readonly random: Xorshift;
  readonly stream: SendStream;
  readonly bytes: Uint8Array = new Uint8Array(LENGTH_BYTES);
  readonly sent: SentFrame[] = [];
  maxBytes: number;
  credit: number;
  written = 0;
  fresh = 0;
  finLost = false;
  finAcked = false;
  isFinished = false;
  isReset = false;
  isDone = false;

  constructor(random: Xorshift) {
    this.random = random;
    this.maxBytes = random.below(LENGTH_BYTES);
    this.credit = random.below(LENGTH_BYTES);
    this.stream = new SendStream(random.magnitude(), this.maxBytes, 1);
  }

  step(): void {
    const { random, stream } = this;
    switch (random.below(16)) {
      case 0:
      case 1:
      case 2: {
        if (this.isFinished || this.isReset) return;
        const length = Math.min(random.below(random.oneIn(4) ? 3000 : 60), LENGTH_BYTES - this.written);
        stream.write(CONTENT.subarray(this.written, this.written + length));
        this.written += length;
        return;
      }
      case 3:
        this.maxBytes += random.below(2000);
        stream.maxBytes = this.maxBytes;
        return;
      case 4:
        this.credit += random.below(2000);
        return;
      case 5:
        if (!random.oneIn(6)) return;
        stream.finish();
        this.isFinished ||= !this.isReset;
        return;
      case 6:
        if (!random.oneIn(60) || this.isDone) return;
        stream.reset(9);
        this.isReset = true;
        return;
      case 7:
      case 8:
      case 9:
        if (this.sent.length > 0) this.acknowledge(this.take());
        return;
      case 10:
        // A frame may be lost and yet arrive, and a probe repeats one that is not lost at all.
        if (this.sent.length > 0) this.lose(random.oneIn(2) ? this.take() : random.pick(this.sent));
        return;
      default:
        this.send();
    }
  }

  /** @param leastBytes room that there is at least */
  send(leastBytes = 0): void {
    const { random, stream, bytes } = this;
    const at = random.below(40);
    const end = at + leastBytes + random.below(random.oneIn(3) ? 1500 : 120);
    const wasLost = bytes.includes(BYTE.lost);
    const expected = !this.isReset && (wasLost || this.freshRoom > 0 || (this.sentAll && this.finWaits));
    same(stream.hasWork(this.credit), expected, "whether there is work");
    if (!expected) return;
    const next = stream.writeFrame(packet, at, end, this.credit);
    if (next === at) {
      // A frame of 32 bytes always fits into 100.
      if (end - at >= 100) broken(`nothing fitted into ${end - at} bytes`);
      return;
    }
    if (next > end) broken(`${next - end} bytes too many`);
    cursor.reset(packet, at, next);
    if (!cursor.next() || cursor.type !== FRAME.stream) broken("no STREAM frame was written");
    const { offset, fin } = cursor;
    const length = cursor.end - cursor.start;
    if (cursor.next() || !cursor.ok) broken("more than one frame was written");
    same(cursor.id, stream.id, "the stream");
    same(stream.frameOffset, offset, "the offset noted");
    same(stream.frameBytes, length, "the length noted");
    same(stream.frameFin, fin, "the FIN noted");
    this.takeSent(offset, length, fin);
    if (fin) same(offset + length, this.written, "the final size");
    if (fin && !this.isFinished) broken("FIN before the end");
    this.sent.push({ offset, length, fin });
  }

  private takeSent(offset: number, length: number, fin: boolean): void {
    const { bytes } = this;
    let fresh = 0;
    for (let i = 0; i < length; i++) {
      const at = offset + i;
      if (packet[cursor.start + i] !== CONTENT[at]) broken(`another byte at offset ${at}`);
      if (bytes[at] === BYTE.acked) broken(`the acknowledged byte at ${at} was sent again`);
      if (bytes[at] === BYTE.underWay) broken(`the byte at ${at} was sent again though it is under way`);
      if (bytes[at] === BYTE.unsent) fresh++;
      bytes[at] = BYTE.underWay;
    }
    same(this.stream.frameFreshBytes, fresh, "the bytes sent for the first time");
    this.fresh += fresh;
    this.credit -= fresh;
    if (this.credit < 0) broken("more than the connection's credit was sent");
    if (offset + length > this.maxBytes) broken("more than the stream's limit was sent");
    if (fin) this.finLost = false;
    if (length === 0 && !fin) broken("a frame that says nothing");
  }

  acknowledge(frame: SentFrame): void {
    this.bytes.fill(BYTE.acked, frame.offset, frame.offset + frame.length);
    if (frame.fin) this.finAcked = true;
    const isComplete = !this.isReset && this.finAcked && this.contiguous === this.written;
    same(
      this.stream.onAcked(frame.offset, frame.length, frame.fin),
      isComplete && !this.isDone,
      "whether it is complete",
    );
    if (isComplete) this.isDone = true;
  }

  lose(frame: SentFrame): void {
    for (let at = frame.offset; at < frame.offset + frame.length; at++) {
      if (this.bytes[at] === BYTE.underWay) this.bytes[at] = BYTE.lost;
    }
    if (frame.fin && !this.finAcked) this.finLost = true;
    this.stream.onLost(frame.offset, frame.length, frame.fin);
  }

  take(): SentFrame {
    const index = this.random.below(this.sent.length);
    const frame = this.sent[index]!;
    this.sent[index] = this.sent[this.sent.length - 1]!;
    this.sent.pop();
    return frame;
  }

  check(): void {
    const { stream } = this;
    same(stream.sentBytes, this.fresh, "what was sent");
    same(stream.writtenBytes, this.written, "what was written");
    same(stream.state === SEND.done, this.isDone, "whether it is done");
    if (!this.isReset) same(stream.bufferedBytes, this.written - this.contiguous, "what is kept");
    else same(stream.bufferedBytes, 0, "what is kept of a stream given up");
  }

  /** Everything arrives from here on: the stream comes to its end. */
  drain(): void {
    if (this.isReset) return;
    this.stream.finish();
    this.isFinished = true;
    this.maxBytes = LENGTH_BYTES;
    this.stream.maxBytes = LENGTH_BYTES;
    this.credit = LENGTH_BYTES;
    for (let rounds = 0; !this.isDone; rounds++) {
      if (rounds > 20_000) broken("the stream never ends");
      if (this.sent.length > 0) this.acknowledge(this.take());
      else this.send(100);
    }
    this.check();
  }

  private get contiguous(): number {
    const { bytes } = this;
    let at = 0;
    while (at < this.written && bytes[at] === BYTE.acked) at++;
    return at;
  }

  private get freshRoom(): number {
    return Math.min(this.written, this.maxBytes, this.fresh + this.credit) - this.fresh;
  }

  private get sentAll(): boolean {
    return this.fresh === this.written;
  }

  private get finWaits(): boolean {
    return this.isFinished && !this.isDone && (this.finLost || !this.finSent);
  }

  private get finSent(): boolean {
    return this.finAcked || this.finLost || this.sent.some((frame) => frame.fin);
  }
}

export const sendStreams: FuzzTarget = {
  name: "send-stream",
  inputsPerRun: 250,
  weight: 8,
  run(random) {
    const model = new Model(random);
    for (let input = 0; input < this.inputsPerRun; input++) {
      model.step();
      if ((input & 7) === 0) model.check();
    }
    model.drain();
  },
};

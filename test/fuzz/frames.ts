/**
 * The frame cursor over valid packets (every field comes back), over the same packets damaged, and over
 * random bytes: it ends, stays inside, throws nothing, and gives numbers that the engine can calculate with.
 */
import { ACK_RANGES_LIMIT, FRAME, FrameCursor, writeNumbers } from "../../src/wire/frames.ts";
import { FrameWriter } from "./frame-writer.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const PACKET_BYTES = 1400;
const packet = new Uint8Array(PACKET_BYTES);
const writer = new FrameWriter();
const cursor = new FrameCursor();
const TYPES: readonly number[] = [...Object.values(FRAME), 0x09, 0x0a, 0x0c, 0x0e, 0x0f, 0x31];
const KNOWN: ReadonlySet<number> = new Set(Object.values(FRAME));

export const frames: FuzzTarget = {
  name: "frames",
  inputsPerRun: 600,
  weight: 14,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 3) {
      const from = random.below(20);
      const end = writer.write(random, packet, from, from + 64 + random.below(PACKET_BYTES - 100));
      saysWhatWasWritten(from, end);
      isReadToAnEnd(from, from + random.mutate(packet.subarray(from), end - from));
      const isAck = random.oneIn(4);
      const length = isAck ? longAck(random) : junk(random, packet.subarray(from));
      isReadToAnEnd(isAck ? 0 : from, isAck ? length : from + length);
    }
  },
};

function saysWhatWasWritten(from: number, end: number): void {
  cursor.reset(packet, from, end);
  for (let i = 0; i < writer.frames; i++) {
    const said = writer.said[i]!;
    if (!cursor.next()) broken(`frame ${i} of type ${said.type} was not read`);
    same(cursor.type, said.type, "the type");
    if (said.type === FRAME.ack) {
      compareRanges();
      continue;
    }
    if (said.id >= 0) same(cursor.id, said.id, `the first number of type ${said.type}`);
    if (said.offset >= 0) same(cursor.offset, said.offset, `the offset of type ${said.type}`);
    if (said.code >= 0) same(cursor.code, said.code, `the code of type ${said.type}`);
    if (said.start >= 0) {
      same(cursor.start, said.start, `the payload's start of type ${said.type}`);
      same(cursor.end, said.end, `the payload's end of type ${said.type}`);
    }
    if (said.type === FRAME.stream) same(cursor.fin, said.fin, "FIN");
  }
  if (cursor.next() || !cursor.ok) broken("there is more than was written");
}

function compareRanges(): void {
  const { ranges, ackDelayMs } = writer;
  same(cursor.ackDelayMs, ackDelayMs, "the delay");
  if (cursor.ackRanges < 1 || cursor.ackRanges > Math.min(ranges.count, ACK_RANGES_LIMIT)) {
    broken(`${cursor.ackRanges} ranges of ${ranges.count}`);
  }
  for (let i = 0; i < cursor.ackRanges; i++) {
    same(cursor.ackStarts[i], ranges.start(ranges.count - 1 - i), "the start of a range");
    same(cursor.ackEnds[i], ranges.end(ranges.count - 1 - i) - 1, "the end of a range");
  }
}

/** Random bytes with valid types in places, so that the reading gets somewhere. */
function junk(random: Xorshift, bytes: Uint8Array): number {
  const length = random.below(96);
  random.fill(bytes, 0, length);
  for (let types = random.below(6); types > 0 && length > 0; types--) {
    bytes[random.below(Math.min(length, 24))] = random.pick(TYPES);
  }
  return length;
}

/** An ACK with about as many ranges as one may have, from packet 0 of the buffer on. */
function longAck(random: Xorshift): number {
  const further = ACK_RANGES_LIMIT - 3 + random.below(6);
  let at = writeNumbers(packet, 0, FRAME.ack, random.below(400), 0, further);
  for (let numbers = 1 + 2 * further - random.below(2); numbers > 0; numbers--)
    packet[at++] = random.below(4);
  return at;
}

function isReadToAnEnd(from: number, end: number): void {
  cursor.reset(packet, from, end);
  let count = 0;
  while (cursor.next()) {
    if (++count > end - from) broken(`${count} frames in ${end - from} bytes`);
    if (!KNOWN.has(cursor.type)) broken(`a frame of type ${cursor.type}`);
    checkFields(from, end);
  }
  if (cursor.next()) broken("a frame after the end");
  if (cursor.ok && count === 0 && end > from) broken("bytes were passed over");
}

function checkFields(from: number, end: number): void {
  const { type } = cursor;
  const { id, offset, code } = cursor;
  if (!(isCount(id) && isCount(offset) && isCount(code))) broken(`type ${type}: ${id}, ${offset}, ${code}`);
  if (hasPayload(type) && !(cursor.start >= from && cursor.start <= cursor.end && cursor.end <= end)) {
    broken(`type ${type}: a payload from ${cursor.start} to ${cursor.end} in ${from}…${end}`);
  }
  if (type !== FRAME.ack) return;
  const { ackRanges, ackStarts, ackEnds } = cursor;
  if (!(ackRanges >= 1 && ackRanges <= ACK_RANGES_LIMIT)) broken(`${ackRanges} ranges`);
  if (!(cursor.ackDelayMs >= 0)) broken(`a delay of ${cursor.ackDelayMs}`);
  for (let i = 0; i < ackRanges; i++) {
    const start = ackStarts[i]!;
    if (!isCount(start) || !isCount(ackEnds[i]!) || ackEnds[i]! < start)
      broken(`range ${start}…${ackEnds[i]}`);
    // At least one number lies between two ranges, or they would be one.  // RFC 9000 §19.3.1
    if (i > 0 && ackEnds[i]! > ackStarts[i - 1]! - 2) broken("ranges that touch");
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function hasPayload(type: number): boolean {
  return (
    type === FRAME.stream ||
    type === FRAME.datagram ||
    type === FRAME.close ||
    type === FRAME.rekey ||
    type === FRAME.newConnectionId ||
    type === FRAME.pathChallenge ||
    type === FRAME.pathResponse
  );
}

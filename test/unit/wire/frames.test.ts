import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RangeSet } from "../../../src/base/range-set.ts";
import {
  ACK_RANGES_LIMIT,
  FRAME,
  FrameCursor,
  streamHeaderBytes,
  writeAck,
  writeClose,
  writeDatagramHeader,
  writeNumbers,
  writeStreamHeader,
} from "../../../src/wire/frames.ts";

function read(bytes: Uint8Array, end: number): FrameCursor {
  const cursor = new FrameCursor();
  cursor.reset(bytes, 0, end);
  return cursor;
}

const offset = fc.oneof(
  fc.nat(),
  fc.maxSafeNat(),
  fc.constantFrom(0, 63, 64, 16383, 16384, 2 ** 30, 2 ** 32),
);

describe("frames", () => {
  it("carry a stream's bytes there and back", () => {
    fc.assert(
      fc.property(
        offset,
        offset,
        fc.nat(1200),
        fc.boolean(),
        fc.boolean(),
        (id, at, length, fin, withLength) => {
          const bytes = new Uint8Array(1400);
          const start = writeStreamHeader(bytes, 0, id, at, length, fin, withLength);
          expect(start).toBe(streamHeaderBytes(id, at, length, withLength));
          const cursor = read(bytes, start + length);
          expect(cursor.next()).toBe(true);
          expect([cursor.type, cursor.id, cursor.offset, cursor.fin]).toEqual([FRAME.stream, id, at, fin]);
          expect([cursor.start, cursor.end]).toEqual([start, start + length]);
          expect(cursor.next()).toBe(false);
          expect(cursor.ok).toBe(true);
        },
      ),
    );
  });

  it("name the newest packet numbers that fit in an ACK", () => {
    const pieces = fc.array(
      fc.tuple(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 1, max: 70_000 })),
      {
        minLength: 1,
        maxLength: 100,
      },
    );
    fc.assert(
      fc.property(
        pieces,
        fc.integer({ min: 40, max: 1200 }),
        fc.nat(200),
        fc.constantFrom(0, 2 ** 31, 2 ** 47),
        (gaps, room, delayMs, base) => {
          const received = new RangeSet();
          let next = base;
          for (const [gap, length] of gaps) {
            received.add(next + gap, next + gap + length);
            next += gap + length;
          }
          const bytes = new Uint8Array(1200);
          const end = writeAck(bytes, 0, room, received, delayMs);
          expect(end).toBeGreaterThan(0);
          expect(end).toBeLessThanOrEqual(room);
          const cursor = read(bytes, end);
          expect(cursor.next()).toBe(true);
          expect(cursor.ackDelayMs).toBe(delayMs);
          expect(cursor.ackRanges).toBeLessThanOrEqual(ACK_RANGES_LIMIT);
          if (room === 1200 && received.count <= ACK_RANGES_LIMIT)
            expect(cursor.ackRanges).toBe(received.count);
          for (let i = 0; i < cursor.ackRanges; i++) {
            const range = received.count - 1 - i;
            expect(cursor.ackStarts[i]).toBe(received.start(range));
            expect(cursor.ackEnds[i]).toBe(received.end(range) - 1);
          }
        },
      ),
    );
  });

  it("keep their numbers", () => {
    fc.assert(
      fc.property(offset, offset, offset, (a, b, c) => {
        const bytes = new Uint8Array(64);
        let cursor = read(bytes, writeNumbers(bytes, 0, FRAME.resetStream, a, b, c));
        expect(cursor.next()).toBe(true);
        expect([cursor.id, cursor.code, cursor.offset]).toEqual([a, b, c]);
        cursor = read(bytes, writeNumbers(bytes, 0, FRAME.maxStreamData, a, b));
        expect(cursor.next()).toBe(true);
        expect([cursor.id, cursor.offset]).toEqual([a, b]);
        cursor = read(bytes, writeNumbers(bytes, 0, FRAME.maxData, a));
        expect(cursor.next()).toBe(true);
        expect(cursor.offset).toBe(a);
        cursor = read(bytes, writeNumbers(bytes, 0, FRAME.ackFrequency, a, b, c));
        expect(cursor.next()).toBe(true);
        expect([cursor.id, cursor.offset, cursor.code]).toEqual([a, b, c]);
      }),
    );
  });

  it("follow one another in a packet, padding included", () => {
    const bytes = new Uint8Array(300);
    let at = writeNumbers(bytes, 0, FRAME.ping);
    at = writeDatagramHeader(bytes, at, 5) + 5;
    at = writeClose(bytes, at, 0x100, new Uint8Array([1, 2, 3]));
    const cursor = read(bytes, 300);
    const types: number[] = [];
    while (cursor.next()) types.push(cursor.type);
    expect(types).toEqual([FRAME.ping, FRAME.datagram, FRAME.close, FRAME.padding]);
    expect(cursor.ok).toBe(true);
  });

  it("that are cut short or unknown are refused without a throw, and random bytes always end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const cursor = read(bytes, bytes.length);
        let frames = 0;
        while (cursor.next()) {
          expect(cursor.end).toBeLessThanOrEqual(bytes.length);
          expect(++frames).toBeLessThanOrEqual(bytes.length);
        }
      }),
      { numRuns: 2000 },
    );
    const bytes = new Uint8Array(64);
    const whole = writeNumbers(bytes, 0, FRAME.resetStream, 1000, 70_000, 2 ** 40);
    for (let end = 1; end < whole; end++) {
      const cursor = read(bytes, end);
      expect(cursor.next()).toBe(false);
      expect(cursor.ok).toBe(false);
    }
  });
});

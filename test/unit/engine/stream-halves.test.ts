import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RECEIVE, ReceiveStream } from "../../../src/engine/streams/receive-stream.ts";
import { SEND, SendStream } from "../../../src/engine/streams/send-stream.ts";
import { SlabPool } from "../../../src/engine/streams/slab-pool.ts";
import { FrameCursor } from "../../../src/wire/frames.ts";

/** The byte that belongs at each offset, so that a misplaced one shows. */
function pattern(offset: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((offset + i) * 31 + Math.floor((offset + i) / 251)) & 0xff);
}

describe("receiving half", () => {
  it("gives every byte once and in order, however it arrives", () => {
    const piece = fc.record({
      at: fc.nat(200_000),
      length: fc.integer({ min: 1, max: 9000 }),
      read: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const stream = new ReceiveStream(0, 1 << 20, new SlabPool());
        const here = new Uint8Array(220_000);
        let read = 0;
        const drain = (): void => {
          for (let bytes = stream.read(); bytes !== undefined; bytes = stream.read()) {
            expect(bytes).toEqual(pattern(read, bytes.length));
            read += bytes.length;
          }
        };
        for (const { at, length, read: readNow } of pieces) {
          expect(stream.insert(pattern(at, length), 0, length, at)).toBe(true);
          here.fill(1, at, at + length);
          if (readNow) drain();
        }
        drain();
        const expected = here.indexOf(0);
        expect(read).toBe(expected < 0 ? here.length : expected);
        expect(stream.bufferedBytes).toBe(here.subarray(read).reduce((sum, bit) => sum + bit, 0));
      }),
      { numRuns: 60 },
    );
  });

  it("holds the peer to its final size", () => {
    const stream = new ReceiveStream(0, 1000, new SlabPool());
    stream.insert(pattern(0, 10), 0, 10, 0);
    expect(stream.setFinalBytes(9)).toBe(false);
    expect(stream.setFinalBytes(20)).toBe(true);
    expect(stream.setFinalBytes(20)).toBe(true);
    expect(stream.setFinalBytes(21)).toBe(false);
  });

  it("cuts off a peer that sends single bytes far apart", () => {
    const stream = new ReceiveStream(0, 1 << 20, new SlabPool());
    let accepted = 0;
    while (accepted < 5000 && stream.insert(pattern(0, 1), 0, 1, 2 * accepted + 1)) accepted++;
    expect(accepted).toBeLessThanOrEqual(1024);
  });

  it("drops what nobody will read", () => {
    const stream = new ReceiveStream(0, 1000, new SlabPool());
    stream.insert(pattern(0, 10), 0, 10, 0);
    stream.drop(RECEIVE.stopped);
    expect(stream.insert(pattern(10, 10), 0, 10, 10)).toBe(true);
    expect(stream.read()).toBeUndefined();
  });
});

describe("sending half", () => {
  it("sends every byte until it is acknowledged, whatever is lost", () => {
    const round = fc.record({
      write: fc.nat(3000),
      room: fc.integer({ min: 40, max: 1500 }),
      fate: fc.constantFrom("acked", "lost", "late", "spurious"),
    });
    fc.assert(
      fc.property(fc.array(round, { maxLength: 80 }), (rounds) => {
        const stream = new SendStream(4, 1 << 30, 1);
        const got = new Uint8Array(400_000);
        const held: { offset: number; length: number; fin: boolean }[] = [];
        const cursor = new FrameCursor();
        const packet = new Uint8Array(1500);
        let finished = false;
        let done = false;
        const acknowledge = (frame: { offset: number; length: number; fin: boolean }): void => {
          got.fill(1, frame.offset, frame.offset + frame.length);
          if (stream.onAcked(frame.offset, frame.length, frame.fin)) done = true;
        };
        const send = (room: number, fate: string): boolean => {
          if (!stream.hasWork(1 << 30)) return false;
          const end = stream.writeFrame(packet, 0, room, 1 << 30);
          if (end === 0) return true;
          cursor.reset(packet, 0, end);
          expect(cursor.next()).toBe(true);
          expect(cursor.offset).toBe(stream.frameOffset);
          expect(cursor.end - cursor.start).toBe(stream.frameBytes);
          expect(packet.slice(cursor.start, cursor.end)).toEqual(pattern(cursor.offset, stream.frameBytes));
          const frame = { offset: stream.frameOffset, length: stream.frameBytes, fin: stream.frameFin };
          if (fate === "acked") acknowledge(frame);
          else if (fate === "late") held.push(frame);
          else stream.onLost(frame.offset, frame.length, frame.fin);
          if (fate === "spurious") acknowledge(frame);
          return true;
        };
        for (const { write, room, fate } of rounds) {
          stream.write(pattern(stream.writtenBytes, write));
          send(room, fate);
        }
        stream.finish();
        finished = true;
        for (const frame of held) acknowledge(frame);
        while (send(1200, "acked"));
        expect(finished && done && stream.state === SEND.done).toBe(true);
        expect(got.subarray(0, stream.writtenBytes).every((bit) => bit === 1)).toBe(true);
        expect(stream.bufferedBytes).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("stops at the peer's limit and at the connection's credit", () => {
    const stream = new SendStream(0, 100, 1);
    stream.write(pattern(0, 500));
    const packet = new Uint8Array(1200);
    stream.writeFrame(packet, 0, 1200, 60);
    expect(stream.sentBytes).toBe(60);
    stream.writeFrame(packet, 0, 1200, 1000);
    expect(stream.sentBytes).toBe(100);
    expect(stream.hasWork(1000)).toBe(false);
    expect(stream.isBlockedByPeer).toBe(true);
  });
});

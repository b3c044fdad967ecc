import { describe, expect, it } from "vitest";
import { LOST_PACKETS_LIMIT, LostPackets } from "../../../src/engine/recovery/lost-packets.ts";
import { FrameCursor } from "../../../src/wire/frames.ts";
import { Random } from "../../sim/random.ts";
import { RecoverySender } from "./recovery-sender.ts";

/** An ACK of these inclusive ranges, the newest first. */
function ackOf(ranges: readonly (readonly [number, number])[]): FrameCursor {
  const cursor = new FrameCursor();
  cursor.ackRanges = ranges.length;
  for (const [i, [start, end]] of ranges.entries()) {
    cursor.ackStarts[i] = start;
    cursor.ackEnds[i] = end;
  }
  return cursor;
}

function removed(lost: LostPackets, ack: FrameCursor): number[] {
  const late: number[] = [];
  lost.removeAcknowledged(ack, (packetNumber) => late.push(packetNumber));
  return late;
}

describe("the list of lost packets", () => {
  it("gives up exactly what an ACK names, in ascending order, whatever the ranges", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed, "lost packets");
      const lost = new LostPackets();
      let model: number[] = [];
      let next = 0;
      for (let step = 0; step < 40; step++) {
        for (let n = random.below(20); n > 0; n--) {
          next += 1 + random.below(4);
          lost.add(next, step);
          model.push(next);
        }
        const ranges: [number, number][] = [];
        for (let end = next + 3 - random.below(10); ranges.length < 64 && end > 0; ) {
          const start = Math.max(0, end - random.below(6));
          ranges.push([start, end]);
          end = start - 2 - random.below(12);
        }
        const isNamed = (number: number): boolean => ranges.some(([a, b]) => a <= number && number <= b);
        const late = ranges.length === 0 ? [] : removed(lost, ackOf(ranges));
        expect(late, `seed ${seed}, step ${step}`).toEqual(model.filter(isNamed));
        if (ranges.length > 0) model = model.filter((number) => !isNamed(number));
        if (lost.count > 0 && random.below(3) === 0) {
          expect(lost.oldest).toBe(model.shift());
          lost.removeOldest();
        }
        expect(lost.count).toBe(model.length);
      }
    }
  });

  it("is bounded: the oldest of too many are forgotten, and the others are still known", () => {
    const sender = new RecoverySender();
    sender.send(10_000);
    sender.ack([9999, 9999]);
    expect(sender.lost.length).toBe(9997);
    // Names a thousand more than are remembered.
    sender.ackAfter(1, [9996 - LOST_PACKETS_LIMIT - 1000, 9998]);
    expect(sender.recovery.spuriousLosses).toBe(LOST_PACKETS_LIMIT);
    expect(sender.recovery.sent.first).toBe(sender.recovery.sent.next);
  });
});

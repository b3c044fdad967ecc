import { describe, expect, it } from "vitest";
import { EventQueue } from "../../../src/engine/connection/events.ts";
import { DEFAULT_PARAMETERS } from "../../../src/engine/connection/transport-parameters.ts";
import { SentPackets } from "../../../src/engine/recovery/sent-packets.ts";
import { PRIORITY, Streams } from "../../../src/engine/streams/streams.ts";
import { FrameCursor } from "../../../src/wire/frames.ts";

const BOUNDLESS = { ...DEFAULT_PARAMETERS, maxDataBytes: 2 ** 40, maxStreamDataBytes: 2 ** 40 };
const PACKET_BYTES = 1400;

/** Which stream each of `packets` is for while `count` streams have much to send, at `rate` bytes per ms. */
function order(count: number, packets: number, rate: number): number[] {
  const streams = new Streams(new EventQueue(), DEFAULT_PARAMETERS);
  const sent = new SentPackets(0);
  streams.start(true, BOUNDLESS);
  for (let n = 0; n < count; n++) streams.write(streams.openStream(PRIORITY.normal), new Uint8Array(400_000));
  const bytes = new Uint8Array(PACKET_BYTES);
  const frames = new FrameCursor();
  return Array.from({ length: packets }, () => {
    sent.push();
    frames.reset(bytes, 0, streams.writeStreams(bytes, 0, PACKET_BYTES, sent, rate));
    expect(frames.next()).toBe(true);
    return frames.id / 4;
  });
}

/** How many packets in a row are for one stream, one number for each turn. */
function turns(ids: readonly number[]): number[] {
  const lengths: number[] = [];
  ids.forEach((id, i) => {
    if (id === ids[i - 1]) lengths[lengths.length - 1]!++;
    else lengths.push(1);
  });
  return lengths;
}

describe("turns of streams", () => {
  it("are a packet each where the line is slow, or nothing is known of it", () => {
    expect(order(3, 9, 100)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect(order(3, 9, Number.POSITIVE_INFINITY)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
  });

  it("let all have theirs within ten milliseconds", () => {
    const rate = 12_500;
    const lengths = turns(order(10, 200, rate)).slice(0, -1);
    for (const packets of lengths) expect((packets - 1) * PACKET_BYTES * 10).toBeLessThanOrEqual(10 * rate);
    expect(Math.min(...lengths)).toBeGreaterThan(5);
  });

  it("are 64 KiB at most, however fast the line", () => {
    const lengths = turns(order(2, 200, 600_000)).slice(0, -1);
    expect(lengths.length).toBeGreaterThan(2);
    for (const packets of lengths) {
      expect(packets * PACKET_BYTES).toBeGreaterThan(65_536);
      expect((packets - 2) * PACKET_BYTES).toBeLessThan(65_536);
    }
  });
});

import { describe, expect, it } from "vitest";
import { RECEIVE, ReceiveStream } from "../../../src/engine/streams/receive-stream.ts";
import { SLAB_BYTES, SlabPool } from "../../../src/engine/streams/slab-pool.ts";

/** Any byte of the stream, by its offset alone. */
function byteAt(offset: number): number {
  return (offset * 31 + Math.floor(offset / 251)) & 0xff;
}

function bytesAt(offset: number, byteLength: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, i) => byteAt(offset + i));
}

/** Sends `offset` on in packets of `packetBytes`, reads all that is there, and gives every chunk back. */
function* readRecycling(stream: ReceiveStream, pool: SlabPool, untilBytes: number): Generator<Uint8Array> {
  const packetBytes = 1431;
  for (let offset = 0; offset < untilBytes; offset += packetBytes) {
    stream.insert(bytesAt(offset, packetBytes), 0, packetBytes, offset);
    if (offset % (7 * packetBytes) !== 0) continue;
    for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) {
      yield chunk;
      pool.giveBack(chunk);
    }
  }
}

describe("memory of a stream that comes back", () => {
  it("is filled again, and what is read from it stays right", () => {
    const pool = new SlabPool();
    const stream = new ReceiveStream(0, 1 << 24, pool);
    const buffers = new Set<ArrayBufferLike>();
    let at = 0;
    for (const chunk of readRecycling(stream, pool, 40 * SLAB_BYTES)) {
      expect(chunk.every((byte, i) => byte === byteAt(at + i))).toBe(true);
      at += chunk.length;
      buffers.add(chunk.buffer);
    }
    expect(at).toBeGreaterThan(39 * SLAB_BYTES);
    // Three small ones, and a few that go round.
    expect(buffers.size).toBeLessThan(8);
  });

  it("is nobody else's while a reader has it", () => {
    const pool = new SlabPool();
    pool.giveBack(new Uint8Array(0));
    const slab = pool.take(SLAB_BYTES);
    expect(pool.take(SLAB_BYTES).buffer).not.toBe(slab.buffer);
  });

  it("comes back once, however often it is given", () => {
    const pool = new SlabPool();
    pool.giveBack(new Uint8Array(0));
    const slab = pool.take(SLAB_BYTES);
    pool.lend(slab);
    pool.giveBack(slab.subarray(1000));
    pool.giveBack(slab.subarray(1000));
    expect(pool.take(SLAB_BYTES).buffer).toBe(slab.buffer);
    expect(pool.take(SLAB_BYTES).buffer).not.toBe(slab.buffer);
  });

  it("comes back with its last bytes only, and from the pool that lent it", () => {
    const pool = new SlabPool();
    pool.giveBack(new Uint8Array(0));
    const slab = pool.take(SLAB_BYTES);
    pool.lend(slab);
    pool.giveBack(slab.subarray(0, 1000));
    pool.giveBack(new Uint8Array(SLAB_BYTES));
    expect(pool.take(SLAB_BYTES).buffer).not.toBe(slab.buffer);
    pool.giveBack(slab.subarray(1000));
    expect(pool.take(SLAB_BYTES).buffer).toBe(slab.buffer);
  });

  it("comes back from a stream that was reset before anything of it was read", () => {
    const pool = new SlabPool();
    const offsets = [0, 5000, 20_000, 70_000, 140_000];
    const fill = (): Set<ArrayBufferLike> => {
      const stream = new ReceiveStream(0, 1 << 24, pool);
      for (const offset of offsets) stream.insert(bytesAt(offset, 10), 0, 10, offset);
      const buffers = new Set(slabsOf(stream).map((slab) => slab.buffer));
      stream.drop(RECEIVE.reset);
      return buffers;
    };
    const first = fill();
    expect(first.size).toBe(offsets.length);
    expect(fill()).toEqual(first);
  });

  it("stays with the reader when the stream is reset after a part was read", () => {
    const pool = new SlabPool();
    const stream = new ReceiveStream(0, 1 << 24, pool);
    stream.insert(bytesAt(0, 100), 0, 100, 0);
    const read = stream.read()!;
    stream.drop(RECEIVE.reset);
    const next = new ReceiveStream(4, 1 << 24, pool);
    next.insert(new Uint8Array(100).fill(7), 0, 100, 0);
    expect(read).toEqual(bytesAt(0, 100));
  });
});

function slabsOf(stream: ReceiveStream): Uint8Array[] {
  const { slabs } = stream as unknown as { slabs: (Uint8Array | undefined)[] };
  return slabs.filter((slab) => slab !== undefined);
}

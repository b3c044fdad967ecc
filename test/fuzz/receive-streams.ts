/**
 * The receiving half of a stream against one byte of state per byte of stream: whatever arrives in whatever
 * order, what is read is what was sent, in order and once, and memory stays within the window.
 */
import { RECEIVE, ReceiveStream } from "../../src/engine/streams/receive-stream.ts";
import { SlabPool } from "../../src/engine/streams/slab-pool.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

/** Slabs end at 4, 16, 64 and 128 KiB: the streams here pass them all. */
const LENGTH_BYTES = 140_000;
const SLAB_BYTES = 65_536;
const CONTENT: Uint8Array = Uint8Array.from(
  { length: LENGTH_BYTES },
  (_, i) => (i * 29 + (i >>> 8) * 13) & 0xff,
);
const EDGES = [4096, 16_384, 65_536, 131_072] as const;
const model = new Uint8Array(LENGTH_BYTES);
const source = new Uint8Array(LENGTH_BYTES + 64);

export const receiveStreams: FuzzTarget = {
  name: "receive-stream",
  inputsPerRun: 160,
  weight: 8,
  run(random) {
    const stream = new ReceiveStream(0, LENGTH_BYTES, new SlabPool());
    model.fill(0);
    let read = 0;
    let highest = 0;
    let finalBytes = -1;
    // Runs of short frames at the front, of long ones anywhere, of single bytes at the slabs' edges.
    const spread = random.pick([200, 5000, LENGTH_BYTES]);
    const longest = random.pick([8, 1200, 20_000]);
    for (let input = 0; input < this.inputsPerRun; input++) {
      const kind = random.below(16);
      if (kind < 11) {
        const last = finalBytes >= 0 ? finalBytes : LENGTH_BYTES;
        const offset = Math.min(last, anyOffset(random, read, spread));
        const length = Math.min(last - offset, random.below(longest));
        insert(random, stream, offset, length);
        highest = Math.max(highest, offset + length);
      } else if (kind < 14) {
        read = drain(random, stream, read);
      } else if (kind === 14 && random.oneIn(6)) {
        const near = Math.min(LENGTH_BYTES, highest + random.below(3));
        const size = random.oneIn(3) ? random.below(LENGTH_BYTES) : near;
        const isRight = finalBytes >= 0 ? size === finalBytes : size >= highest;
        same(stream.setFinalBytes(size), isRight, `whether a final size of ${size} is taken`);
        if (isRight) finalBytes = size;
      } else if (random.oneIn(60)) {
        stream.drop(RECEIVE.stopped);
        same(stream.bufferedBytes, 0, "what is kept of a stream given up");
        if (!stream.insert(CONTENT, 0, 10, 0) || stream.read() !== undefined)
          broken("a stream given up was read");
        return;
      }
      same(stream.highestBytes, highest, "the highest offset");
      same(stream.finalBytes, finalBytes, "the final size");
      same(stream.readBytes, read, "what was read");
      same(stream.isFinished, finalBytes >= 0 && read === finalBytes, "whether it is at its end");
      same(stream.isReadable, model[read] === 1 || stream.isFinished, "whether there is something to read");
      if ((input & 15) === 0) checkMemory(stream, read, highest);
    }
    while (stream.isReadable && !stream.isFinished) read = drain(random, stream, read);
    same(read, contiguous(read), "what was read in the end");
    checkMemory(stream, read, highest);
  },
};

function anyOffset(random: Xorshift, read: number, spread: number): number {
  switch (random.below(6)) {
    case 0:
      return Math.max(0, random.pick(EDGES) + random.below(5) - 2);
    case 1:
      return read;
    case 2:
      return Math.max(0, read - random.below(100));
    default:
      return Math.min(LENGTH_BYTES - 1, read + random.below(spread));
  }
}

function insert(random: Xorshift, stream: ReceiveStream, offset: number, length: number): void {
  const from = random.below(64);
  source.set(CONTENT.subarray(offset, offset + length), from);
  if (!stream.insert(source, from, from + length, offset)) broken("an honest frame was refused");
  // The received buffer is somebody else's from here on.
  source.fill(0xee, from, from + length);
  model.fill(1, offset, offset + length);
}

function drain(random: Xorshift, stream: ReceiveStream, from: number): number {
  let read = from;
  for (let pieces = random.oneIn(3) ? 1 : 100; pieces > 0; pieces--) {
    const bytes = stream.read();
    if (bytes === undefined) {
      if (model[read] === 1) broken(`the byte at ${read} is here and was not given`);
      break;
    }
    if (bytes.length === 0) broken("nothing was given");
    if (read + bytes.length > contiguous(read)) broken("bytes were given that never came");
    if (Buffer.compare(bytes, CONTENT.subarray(read, read + bytes.length)) !== 0) {
      broken(`other bytes from ${read} to ${read + bytes.length}`);
    }
    read += bytes.length;
  }
  return read;
}

/** The end of the run of received bytes that begins at `from`. */
function contiguous(from: number): number {
  const end = model.indexOf(0, from);
  return end < 0 ? LENGTH_BYTES : end;
}

function checkMemory(stream: ReceiveStream, read: number, highest: number): void {
  let here = 0;
  for (let at = read; at < highest; at++) here += model[at]!;
  same(stream.bufferedBytes, here, "what is here and not read");
  const { slabs } = stream as unknown as { slabs: readonly (Uint8Array | undefined)[] };
  let held = 0;
  for (const slab of slabs) held += slab?.length ?? 0;
  // What was read of the first slab and what is not filled of the last come on top.
  if (held > highest - read + 2 * SLAB_BYTES)
    broken(`${held} bytes held for ${highest - read} bytes of window`);
}

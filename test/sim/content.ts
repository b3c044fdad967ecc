/**
 * What streams and datagrams carry: slices of one table of random bytes, so that any byte out of place shows,
 * at the cost of a memory comparison.
 */

import { checksum } from "./primitives.ts";
import { Random } from "./random.ts";

/** A prime, so that no power of two is a period of the content. */
const PERIOD_BYTES = 1_048_573;
/** Longest slice. */
export const MAX_CONTENT_BYTES = 131_072;

const TABLE = makeTable();
const TABLE_CHECKSUM = checksum(TABLE, 0, TABLE.length, 7);

function makeTable(): Uint8Array {
  const table = new Uint8Array(PERIOD_BYTES + MAX_CONTENT_BYTES);
  table.set(new Random(1, "content").bytes(PERIOD_BYTES));
  table.copyWithin(PERIOD_BYTES, 0, MAX_CONTENT_BYTES);
  return table;
}

/** Bytes [offset, offset + lengthBytes) of the content called `key`: a view that must not be changed. */
export function contentOf(key: number, offset: number, lengthBytes: number): Uint8Array {
  const start = (key * 7919 + offset) % PERIOD_BYTES;
  return TABLE.subarray(start, start + lengthBytes);
}

/** Whether `bytes` are what `contentOf(key, offset, bytes.length)` is; any length. */
export function isContent(bytes: Uint8Array, key: number, offset: number): boolean {
  for (let at = 0; at < bytes.length; at += MAX_CONTENT_BYTES) {
    const part = bytes.subarray(at, Math.min(bytes.length, at + MAX_CONTENT_BYTES));
    if (Buffer.compare(part, contentOf(key, offset + at, part.length)) !== 0) return false;
  }
  return true;
}

/** Whether the table is as it was made: what is written to a stream must come to no harm. */
export function isTableIntact(): boolean {
  return checksum(TABLE, 0, TABLE.length, 7) === TABLE_CHECKSUM;
}

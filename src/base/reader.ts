/**
 * A cursor over received bytes. The bytes are untrusted, so the reader never throws. A read past
 * the end sets `ok` to false permanently and yields zero or an empty array. The caller checks `ok`
 * once at the end.
 */
import { VARINT_MAX } from "./varint.ts";

const NOTHING: Uint8Array = new Uint8Array(0);
const TWO_32 = 0x100000000;

export class Reader {
  /** Index of the next byte. */
  at = 0;
  /** Index after the last readable byte. */
  end = 0;
  /** False after a read past the end, or after a varint above 2^53 − 1. */
  ok = true;
  bytes: Uint8Array = NOTHING;

  constructor(bytes?: Uint8Array) {
    if (bytes !== undefined) this.reset(bytes, 0, bytes.length);
  }

  /** Restarts the reader over bytes[start, end). The caller keeps ownership of the bytes. */
  reset(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    this.ok = true;
  }

  get remaining(): number {
    return this.end - this.at;
  }

  u8(): number {
    if (!this.has(1)) return 0;
    return this.bytes[this.at++]!;
  }

  u16(): number {
    if (!this.has(2)) return 0;
    const { bytes, at } = this;
    this.at = at + 2;
    return (bytes[at]! << 8) | bytes[at + 1]!;
  }

  u32(): number {
    if (!this.has(4)) return 0;
    const { bytes, at } = this;
    this.at = at + 4;
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }

  u48(): number {
    if (!this.has(6)) return 0;
    const high = this.u16();
    return high * TWO_32 + this.u32();
  }

  /** Reads a varint. A value above 2^53 − 1 counts as unreadable.  // RFC 9000 §16 */
  varint(): number {
    if (!this.has(1)) return 0;
    const { bytes, at } = this;
    const first = bytes[at]!;
    if (first < 0x40) {
      this.at = at + 1;
      return first;
    }
    if (first < 0x80) {
      if (!this.has(2)) return 0;
      this.at = at + 2;
      return ((first & 0x3f) << 8) | bytes[at + 1]!;
    }
    if (first < 0xc0) {
      if (!this.has(4)) return 0;
      this.at = at + 4;
      return ((first & 0x3f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    }
    if (!this.has(8)) return 0;
    const high = this.u32() & 0x3fffffff;
    const value = high * TWO_32 + this.u32();
    if (value > VARINT_MAX) {
      this.ok = false;
      return 0;
    }
    return value;
  }

  /** The next `count` bytes as a view into the caller's bytes; empty if fewer remain. */
  take(count: number): Uint8Array {
    if (!this.has(count)) return NOTHING;
    const from = this.at;
    this.at = from + count;
    return this.bytes.subarray(from, this.at);
  }

  /** All remaining bytes, as a view. */
  rest(): Uint8Array {
    return this.take(this.end - this.at);
  }

  private has(count: number): boolean {
    if (count >= 0 && this.at + count <= this.end) return this.ok;
    this.ok = false;
    this.at = this.end;
    return false;
  }
}

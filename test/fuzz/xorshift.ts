/**
 * Chance for the fuzzers, as cheap as it gets: a campaign draws some hundred million numbers, so this is
 * Marsaglia's xorshift128 in 32-bit integers, without objects or floating point on the way.
 *
 * The draws that codecs and state machines break on (powers of two and their neighbours, where encodings and
 * bit operators change their ways) come far more often than uniform draws would bring them.
 */

/** Encodings, windows and rings change their ways at these powers of two. */
const EDGE_BITS: readonly number[] = [0, 3, 6, 8, 12, 13, 14, 16, 20, 24, 30, 31, 32, 40, 47, 48, 52];
const LARGEST: number = Number.MAX_SAFE_INTEGER;

export class Xorshift {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** @param seed any safe integer @param label keeps the fuzzers of one seed apart */
  constructor(seed: number, label = "") {
    this.a = mixed(seed | 0);
    this.b = mixed(Math.floor(seed / 0x1_0000_0000) ^ 0x5bd1e995);
    this.c = mixed(hashText(label));
    // All four zero is the one state that never leaves itself.
    this.d = mixed(this.a ^ this.c) | 1;
    for (let round = 0; round < 8; round++) this.u32();
  }

  /** 32 bits, 0 … 2^32 − 1. */
  u32(): number {
    let t = this.a ^ (this.a << 11);
    t ^= t >>> 8;
    this.a = this.b;
    this.b = this.c;
    this.c = this.d;
    this.d = this.d ^ (this.d >>> 19) ^ t;
    return this.d >>> 0;
  }

  /** An integer in [0, bound), bound ≤ 2^32; the slight unevenness does no harm here. */
  below(bound: number): number {
    return this.u32() % bound;
  }

  /** An integer in [low, high]. */
  integer(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.u32() % times === 0;
  }

  /** A fraction in [0, 1). */
  unit(): number {
    return this.u32() / 0x1_0000_0000;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** Fills bytes[from, to). */
  fill(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; at += 4) {
      const word = this.u32();
      bytes[at] = word;
      if (at + 1 < to) bytes[at + 1] = word >>> 8;
      if (at + 2 < to) bytes[at + 2] = word >>> 16;
      if (at + 3 < to) bytes[at + 3] = word >>> 24;
    }
  }

  bytes(byteLength: number): Uint8Array {
    const bytes = new Uint8Array(byteLength);
    this.fill(bytes, 0, byteLength);
    return bytes;
  }

  /** A safe integer ≥ 0 of any magnitude; often a power of two or its neighbour. */
  magnitude(): number {
    if (this.oneIn(3)) {
      const edge = 2 ** this.pick(EDGE_BITS) + this.below(3) - 1;
      return this.oneIn(16) ? LARGEST - this.below(2) : edge;
    }
    const bits = this.below(53);
    return bits <= 32
      ? Math.floor(this.unit() * 2 ** bits)
      : this.u32() + (this.u32() >>> (64 - bits)) * 0x1_0000_0000;
  }

  /** Turns bits, overwrites, drops or repeats some of bytes[0, length); returns the new length. */
  mutate(bytes: Uint8Array, length: number, most: number = bytes.length): number {
    for (let changes = 1 + this.below(4); changes > 0; changes--) {
      if (length === 0) return 0;
      const at = this.below(length);
      switch (this.below(6)) {
        case 0:
          bytes[at]! ^= 1 << this.below(8);
          break;
        case 1:
          bytes[at] = this.u32() >>> 11;
          break;
        case 2:
          // Lengths and types live on such values.
          bytes[at] = this.pick([0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff]);
          break;
        case 3:
          length = at;
          break;
        case 4: {
          const gone = Math.min(length - at, 1 + this.below(8));
          bytes.copyWithin(at, at + gone, length);
          length -= gone;
          break;
        }
        default: {
          const more = Math.min(most - length, 1 + this.below(8));
          bytes.copyWithin(at + more, at, length);
          length += more;
        }
      }
    }
    return length;
  }
}

/** The finalizer of MurmurHash3: seeds that differ in one bit start far apart. */
function mixed(value: number): number {
  let mix = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return mix ^ (mix >>> 16);
}

/** FNV-1a over the UTF-16 units of a label. */
function hashText(text: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

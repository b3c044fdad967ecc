/**
 * Plain operations on bytes, and UTF-8. The pure layers have neither `Buffer` nor `TextEncoder`.
 */
import { SrudpError } from "./errors.ts";

/** Concatenates `parts` into a new array. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Copies bytes[start, end) into a new buffer. `slice()` does not suffice: Node's sockets deliver a
 * Buffer, whose slice() is a view.
 */
export function copyBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}

/** Whether both arrays hold the same bytes. The time taken depends only on their lengths. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** Writes the low 16 bits of `value` in network order and returns the index after them. */
export function writeU16(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
  return at + 2;
}

/** Writes the low 32 bits of `value` in network order and returns the index after them. */
export function writeU32(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}

/** Writes `value` (0 … 2^48 − 1) in network order and returns the index after it. */
export function writeU48(bytes: Uint8Array, at: number, value: number): number {
  writeU16(bytes, at, Math.floor(value / 0x100000000));
  return writeU32(bytes, at + 2, value >>> 0);
}

const HEX = "0123456789abcdef";

/** The 48-bit number at bytes[at], in network byte order. */
export function readU48(bytes: Uint8Array, at: number): number {
  const high = (bytes[at]! << 8) | bytes[at + 1]!;
  const low = (bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!;
  return high * 0x100000000 + (low >>> 0);
}

export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte >>> 4]! + HEX[byte & 15]!;
  return text;
}

/** Decodes an even number of hexadecimal digits. Throws ERR_INTERNAL for any other text. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text))
    throw new SrudpError("ERR_INTERNAL", "not hexadecimal");
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Encodes `text` as UTF-8. Lone surrogates become U+FFFD.  // RFC 3629 §3 */
export function utf8Encode(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    let point = character.codePointAt(0)!;
    if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
    else if (point < 0x10000)
      bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    else {
      bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f));
      bytes.push(0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    }
  }
  return Uint8Array.from(bytes);
}

/** Decodes UTF-8. Malformed sequences become U+FFFD; never throws.  // RFC 3629 §4 */
export function utf8Decode(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i]!;
    const extra =
      first < 0x80 ? 0 : first >= 0xf0 && first < 0xf5 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : -1;
    let point = extra === 0 ? first : first & (0x3f >> extra);
    let valid = extra >= 0 && first < 0xf5 && i + extra < bytes.length;
    for (let k = 1; valid && k <= extra; k++) {
      const next = bytes[i + k]!;
      valid = (next & 0xc0) === 0x80;
      point = (point << 6) | (next & 0x3f);
    }
    const smallest = extra === 3 ? 0x10000 : extra === 2 ? 0x800 : 0;
    valid &&= point >= smallest && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    text += valid ? String.fromCodePoint(point) : "\ufffd";
    i += valid ? extra + 1 : 1;
  }
  return text;
}

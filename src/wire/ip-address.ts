/**
 * Converts IP addresses between text and bytes, without `node:net`. The text has the form in which
 * the sockets report an address, so equal addresses have equal texts.  // RFC 4291 §2.2, RFC 5952
 */
import type { AddressRange } from "../base/special-addresses.ts";

export const IPV4_BYTES = 4;
export const IPV6_BYTES = 16;
const GROUPS = 8;

/**
 * The 4 or 16 bytes of an address in text form; undefined for any other text, including addresses
 * with a zone.
 */
export function ipToBytes(text: string): Uint8Array | undefined {
  return text.includes(":") ? v6ToBytes(text) : v4ToBytes(text);
}

/** The text of an address of 4 or 16 bytes; "" for any other length. */
export function ipFromBytes(bytes: Uint8Array): string {
  if (bytes.length === IPV4_BYTES) return bytes.join(".");
  if (bytes.length !== IPV6_BYTES) return "";
  const groups: number[] = [];
  for (let i = 0; i < IPV6_BYTES; i += 2) groups.push((bytes[i]! << 8) | bytes[i + 1]!);
  // ::ffff:192.0.2.1 is the only form that mixes both notations, as the sockets report it.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return `::ffff:${bytes.subarray(12).join(".")}`;
  const { start, length } = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  if (length < 2) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** 4 or 6; undefined if `text` is not an address. */
export function ipFamily(text: string): 4 | 6 | undefined {
  const bytes = ipToBytes(text);
  if (bytes === undefined) return undefined;
  return bytes.length === IPV4_BYTES ? 4 : 6;
}

/** Whether two addresses, as 4 or 16 bytes each, are of one family and share the first `prefixBits` bits. */
export function hasSamePrefix(a: Uint8Array, b: Uint8Array, prefixBits: number): boolean {
  if (a.length !== b.length) return false;
  for (let bit = 0; bit < prefixBits; bit += 8) {
    const mask = prefixBits - bit >= 8 ? 0xff : (0xff << (8 - (prefixBits - bit))) & 0xff;
    if (((a[bit >> 3]! ^ b[bit >> 3]!) & mask) !== 0) return false;
  }
  return true;
}

/** Whether an address in text, without a zone, lies in a range. */
export function isInRange(address: string, range: AddressRange): boolean {
  const [bytes, prefix] = [ipToBytes(address), ipToBytes(range.address)];
  return bytes !== undefined && prefix !== undefined && hasSamePrefix(bytes, prefix, range.prefixBits);
}

function v4ToBytes(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  if (parts.length !== IPV4_BYTES) return undefined;
  const bytes = new Uint8Array(IPV4_BYTES);
  for (const [i, part] of parts.entries()) {
    // No leading zeros: some parsers read them as octal.
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function v6ToBytes(text: string): Uint8Array | undefined {
  const lastColon = text.lastIndexOf(":");
  let plain = text;
  if (text.includes(".")) {
    const tail = v4ToBytes(text.slice(lastColon + 1));
    if (tail === undefined) return undefined;
    const [a, b, c, d] = tail;
    plain = `${text.slice(0, lastColon + 1)}${((a! << 8) | b!).toString(16)}:${((c! << 8) | d!).toString(16)}`;
  }
  const halves = plain.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = GROUPS - head!.length - (tail?.length ?? 0);
  // A "::" stands for at least one group of zeros. Without it, all eight groups must be present.
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head!, ...new Array<string>(missing).fill("0"), ...(tail ?? [])];
  const bytes = new Uint8Array(IPV6_BYTES);
  for (const [i, group] of groups.entries()) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    const value = Number.parseInt(group, 16);
    bytes[2 * i] = value >>> 8;
    bytes[2 * i + 1] = value;
  }
  return bytes;
}

/** The first of the longest runs of zero groups.  // RFC 5952 §4.2.3 */
function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (start + length < groups.length && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/**
 * TURN's short way of naming a peer: a channel number in front of the bytes.  // RFC 8656 §12
 *
 *     0                   2                   4
 *     +---------+---------+---------+---------+------------------
 *     |01 channel number  | length            | application data, padded to 4 bytes on streams only
 *     +---------+---------+---------+---------+------------------
 */
import { writeU16 } from "../base/bytes.ts";

export const CHANNEL_HEAD_BYTES = 4;
/** Channel numbers, both included.  // RFC 8656 §12 */
export const CHANNELS = { low: 0x4000, high: 0x4fff } as const;

/** A channel's message around a copy of `payload`. @param isStream whether TCP or TLS carries it */
export function channelData(channel: number, payload: Uint8Array, isStream: boolean): Uint8Array {
  const length = CHANNEL_HEAD_BYTES + payload.length;
  const message = new Uint8Array(isStream ? (length + 3) & ~3 : length);
  writeU16(message, 0, channel);
  writeU16(message, 2, payload.length);
  message.set(payload, CHANNEL_HEAD_BYTES);
  return message;
}

/** Whether a message that begins with this byte is a channel's. */
export function isChannelByte(first: number): boolean {
  return first >= CHANNELS.low >>> 8 && first <= CHANNELS.high >>> 8;
}

/** What a channel's message carries, as a view; undefined where it is none or cut short. */
export function parseChannelData(bytes: Uint8Array): { channel: number; payload: Uint8Array } | undefined {
  if (bytes.length < CHANNEL_HEAD_BYTES || !isChannelByte(bytes[0]!)) return undefined;
  const length = (bytes[2]! << 8) | bytes[3]!;
  if (CHANNEL_HEAD_BYTES + length > bytes.length) return undefined;
  const channel = (bytes[0]! << 8) | bytes[1]!;
  return { channel, payload: bytes.subarray(CHANNEL_HEAD_BYTES, CHANNEL_HEAD_BYTES + length) };
}

/** Length in a datagram of the channel's message that begins with these 4 bytes. */
export function channelBytes(head: Uint8Array): number {
  return CHANNEL_HEAD_BYTES + ((head[2]! << 8) | head[3]!);
}

/** The same on a stream, padding included. */
export function streamedChannelBytes(head: Uint8Array): number {
  return (channelBytes(head) + 3) & ~3;
}

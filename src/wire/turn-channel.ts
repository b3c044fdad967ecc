/**
 * TURN's compact framing: a channel number identifies the peer.  // RFC 8656 §12
 *
 *     0                   2                   4
 *     +---------+---------+---------+---------+------------------
 *     |01 channel number  | length            | application data, padded to 4 bytes on streams only
 *     +---------+---------+---------+---------+------------------
 */
import { writeU16 } from "../base/bytes.ts";

export const CHANNEL_HEAD_BYTES = 4;
/** Channel numbers, both inclusive.  // RFC 8656 §12 */
export const CHANNELS = { low: 0x4000, high: 0x4fff } as const;

/**
 * A ChannelData message with a copy of `payload`.
 * @param isStream whether it is sent over TCP or TLS
 */
export function channelData(channel: number, payload: Uint8Array, isStream: boolean): Uint8Array {
  const length = CHANNEL_HEAD_BYTES + payload.length;
  const message = new Uint8Array(isStream ? (length + 3) & ~3 : length);
  writeU16(message, 0, channel);
  writeU16(message, 2, payload.length);
  message.set(payload, CHANNEL_HEAD_BYTES);
  return message;
}

/** Whether a message that begins with this byte is a ChannelData message. */
export function isChannelByte(first: number): boolean {
  return first >= CHANNELS.low >>> 8 && first <= CHANNELS.high >>> 8;
}

/**
 * The payload of a ChannelData message, as a view; undefined for any other bytes or a truncated
 * message.
 */
export function parseChannelData(bytes: Uint8Array): { channel: number; payload: Uint8Array } | undefined {
  if (bytes.length < CHANNEL_HEAD_BYTES || !isChannelByte(bytes[0]!)) return undefined;
  const length = (bytes[2]! << 8) | bytes[3]!;
  if (CHANNEL_HEAD_BYTES + length > bytes.length) return undefined;
  const channel = (bytes[0]! << 8) | bytes[1]!;
  return { channel, payload: bytes.subarray(CHANNEL_HEAD_BYTES, CHANNEL_HEAD_BYTES + length) };
}

/** Length, in a datagram, of the ChannelData message that begins with these 4 bytes. */
export function channelBytes(head: Uint8Array): number {
  return CHANNEL_HEAD_BYTES + ((head[2]! << 8) | head[3]!);
}

/** Length of the same message on a stream, padding included. */
export function streamedChannelBytes(head: Uint8Array): number {
  return (channelBytes(head) + 3) & ~3;
}

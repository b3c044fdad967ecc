import { expect, it } from "vitest";
import {
  channelData,
  isChannelByte,
  parseChannelData,
  streamedChannelBytes,
} from "../../../src/wire/turn-channel.ts";

it("carries any payload, padded on streams only", () => {
  for (let length = 0; length < 10; length++) {
    const payload = new Uint8Array(length).fill(7);
    for (const isStream of [false, true]) {
      const message = channelData(0x4001, payload, isStream);
      expect(message.length).toBe(isStream ? 4 + Math.ceil(length / 4) * 4 : 4 + length);
      expect(parseChannelData(message)).toEqual({ channel: 0x4001, payload });
      if (isStream) expect(streamedChannelBytes(message)).toBe(message.length);
    }
  }
});

it("takes no other numbers and nothing cut short", () => {
  const message = channelData(0x4fff, new Uint8Array(8), false);
  expect(parseChannelData(message.subarray(0, 11))).toBeUndefined();
  expect(parseChannelData(message.subarray(0, 3))).toBeUndefined();
  for (const first of [0x00, 0x3f, 0x50, 0x7f, 0xc0]) {
    expect(isChannelByte(first)).toBe(false);
    expect(parseChannelData(Uint8Array.of(first, ...message.subarray(1)))).toBeUndefined();
  }
});

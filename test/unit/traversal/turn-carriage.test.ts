import { expect, it } from "vitest";
import { concatBytes, copyBytes } from "../../../src/base/bytes.ts";
import { openUdpCarriage } from "../../../src/traversal/relay/turn-carriage.ts";
import { STUN_CLASS, STUN_METHOD, StunWriter } from "../../../src/wire/stun.ts";
import { channelData } from "../../../src/wire/turn-channel.ts";
import { within } from "../../lib/deadline.ts";
import { openUdp } from "../../lib/udp.ts";

it("takes messages apart that the kernel joined, and hears the server only", async () => {
  const server = await openUdp();
  const stranger = await openUdp();
  const carriage = await openUdpCarriage({ address: "127.0.0.1", port: server.address().port, family: 4 });
  try {
    const own = new Promise<number>((resolve) =>
      server.once("message", (_bytes, from) => resolve(from.port)),
    );
    carriage.send(Uint8Array.of(0));
    const port = await within(own, 2000, () => "nothing left");
    const stun = new StunWriter(STUN_METHOD.refresh, STUN_CLASS.success, new Uint8Array(12)).finish();
    const messages = [
      channelData(0x4001, new Uint8Array(7).fill(1), false),
      channelData(0x4002, new Uint8Array(7).fill(2), false),
      stun,
      channelData(0x4001, new Uint8Array(0), false),
    ];
    const heard: Uint8Array[] = [];
    const all = new Promise<void>((resolve) => {
      carriage.onMessage = (bytes) => {
        heard.push(copyBytes(bytes));
        if (heard.length === messages.length) resolve();
      };
    });
    stranger.send(channelData(0x4003, new Uint8Array(3), false), port, "127.0.0.1");
    // As one buffer with several datagrams looks; the last message is cut short and nobody's.
    server.send(concatBytes(...messages, Uint8Array.of(0x40, 1, 0, 9, 1)), port, "127.0.0.1");
    await within(all, 2000, () => `${heard.length} of ${messages.length} came`);
    expect(heard).toEqual(messages);
  } finally {
    carriage.close();
    server.close();
    stranger.close();
  }
});

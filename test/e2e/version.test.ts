/** An older or newer wire version at the other side is named as such. */

import { randomBytes } from "node:crypto";
import type { RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { packetIntegrity } from "../../src/crypto/integrity.ts";
import {
  decodeHandshakePacket,
  decodeNotice,
  encodeNotice,
  WIRE_VERSION,
} from "../../src/wire/handshake-packet.ts";
import { within } from "../lib/deadline.ts";
import { forgedFirst } from "../lib/first-message.ts";
import { CODE, loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";
import { openUdp } from "../lib/udp.ts";

afterEach(endAll);

const FUTURE = { lowest: WIRE_VERSION + 7, highest: WIRE_VERSION + 9 };

describe("another wire version", () => {
  it("of a connector is told by the listener, which answers with its own and waits on", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const stranger = await openUdp();
    const sourceId = randomBytes(8);
    const packet = forgedFirst({ mode: "code", versions: FUTURE, sourceId });
    const answered = once(stranger, "message") as Promise<[Uint8Array, RemoteInfo]>;
    stranger.send(packet, port, "127.0.0.1");
    expect(await listener.event("version")).toMatchObject(FUTURE);
    const [answer] = await within(answered, 5000, () => "no notice came");
    const notice = decodeNotice(answer, packetIntegrity);
    expect(notice?.reason).toBe("version");
    expect(notice?.versions).toEqual({ lowest: WIRE_VERSION, highest: WIRE_VERSION });
    expect(Buffer.from(notice!.destinationId)).toEqual(sourceId);
    stranger.close();

    const connector = SrudpProcess.start(["connect", loopback(port)], { env: { SRUDP_CODE: CODE } });
    await connector.event("connected");
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
  });

  it("of a listener ends the connector with 76 and says what to do", async () => {
    const stranger = await openUdp();
    stranger.on("message", (bytes, remote) => {
      const first = decodeHandshakePacket(bytes, packetIntegrity);
      if (first === undefined) return;
      const notice = encodeNotice(
        { reason: "version", destinationId: first.sourceId, versions: FUTURE },
        packetIntegrity,
      );
      stranger.send(notice, remote.port, remote.address);
    });
    const peer = loopback(stranger.address().port);
    const connector = SrudpProcess.start(["connect", peer], { env: { SRUDP_CODE: CODE } });
    const failed = await connector.failure();
    expect(failed.code).toBe("ERR_VERSION");
    expect(failed.status).toBe(76);
    expect(failed.message).toContain("another version");
    stranger.close();
  });
});

import type { Socket } from "node:dgram";
import { describe, expect, it } from "vitest";
import { mayFollow, openTurn } from "../../../src/traversal/relay/open-turn.ts";
import { parseStun, STUN_ATTRIBUTE, STUN_CLASS, StunWriter } from "../../../src/wire/stun.ts";
import { openUdp } from "../../lib/udp.ts";
import { closing } from "../server/points.ts";

/** A TURN server that sends everybody on to `port` of this machine, and counts who asks. */
async function sendingOn(port: number): Promise<{ readonly socket: Socket; asked(): number }> {
  const socket = closing(await openUdp());
  let asked = 0;
  socket.on("message", (bytes, from) => {
    const request = parseStun(bytes);
    if (request === undefined) return;
    asked++;
    const writer = new StunWriter(request.method, STUN_CLASS.error, request.transactionId);
    writer.error(300, "Try Alternate").address(STUN_ATTRIBUTE.alternateServer, "127.0.0.1", port);
    socket.send(writer.finish(), from.port, from.address);
  });
  return { socket, asked: () => asked };
}

describe("a TURN server that names another", () => {
  it("is followed once", async () => {
    const third = await sendingOn(9);
    const second = await sendingOn(third.socket.address().port);
    const first = await sendingOn(second.socket.address().port);
    const uri = `turn:127.0.0.1:${first.socket.address().port}?transport=udp`;
    await expect(openTurn(uri)).rejects.toMatchObject({ code: "ERR_RELAY_REFUSED" });
    expect([first.asked(), second.asked(), third.asked()]).toEqual([1, 1, 0]);
  });

  it.each([
    ["198.51.100.1", "203.0.113.9", true],
    ["198.51.100.1", "192.168.1.1", false],
    ["198.51.100.1", "127.0.0.1", false],
    ["198.51.100.1", "169.254.169.254", false],
    ["198.51.100.1", "100.64.0.1", false],
    ["2001:4860::1", "fd00::1", false],
    ["2001:4860::1", "::1", false],
    ["2001:4860::1", "::ffff:10.0.0.1", false],
    ["10.0.0.1", "10.0.0.2", true],
    ["10.0.0.1", "127.0.0.1", false],
    ["10.0.0.1", "0.0.0.0", false],
  ])("at %s is followed to %s: %s", (server, alternate, isFollowed) => {
    expect(mayFollow(server, alternate)).toBe(isFollowed);
  });
});

import type { Socket } from "node:dgram";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import {
  parseStun,
  STUN_ATTRIBUTE,
  STUN_CHANGE,
  STUN_CLASS,
  STUN_METHOD,
  type StunMessage,
  StunWriter,
} from "../../../src/wire/stun.ts";
import { within } from "../../lib/deadline.ts";
import { openUdp } from "../../lib/udp.ts";
import { closing, startServer } from "./points.ts";

interface Answer {
  readonly from: string;
  readonly length: number;
  readonly message: StunMessage;
}

function question(change?: number): StunWriter {
  const writer = new StunWriter(STUN_METHOD.binding, STUN_CLASS.request, new Uint8Array(12).fill(5));
  return change === undefined ? writer : writer.u32(STUN_ATTRIBUTE.changeRequest, change);
}

async function ask(socket: Socket, bytes: Uint8Array, address: string, port: number): Promise<Answer> {
  const answered = within(once(socket, "message"), 3000, () => "no answer");
  socket.send(bytes, port, address);
  const [answer, from] = (await answered) as [Buffer, { address: string; port: number }];
  return { from: `${from.address}:${from.port}`, length: answer.length, message: parseStun(answer)! };
}

describe("a rendezvous server's STUN", () => {
  it("tells the asker's address, from where it was asked, at both ports", async () => {
    const { port } = await startServer();
    const socket = closing(await openUdp());
    for (const asked of [port, port + 1]) {
      const { from, message } = await ask(socket, question().fingerprint().finish(), "127.0.0.1", asked);
      expect(from).toBe(`127.0.0.1:${asked}`);
      expect(message.class).toBe(STUN_CLASS.success);
      expect(message.mappedAddress).toEqual({
        address: "127.0.0.1",
        port: socket.address().port,
        family: 4,
      });
      expect(message.attribute(STUN_ATTRIBUTE.fingerprint)).toBeDefined();
      expect(message.address(STUN_ATTRIBUTE.otherAddress)).toEqual({
        address: "127.0.0.1",
        port: asked === port ? port + 1 : port,
        family: 4,
      });
    }
  });

  it("answers from another port or address as it is asked to", async () => {
    const { port } = await startServer({ hosts: ["127.0.0.1", "127.0.0.2"] });
    const socket = closing(await openUdp());
    const from = async (change: number) =>
      (await ask(socket, question(change).finish(), "127.0.0.1", port)).from;
    expect(await from(STUN_CHANGE.port)).toBe(`127.0.0.1:${port + 1}`);
    expect(await from(STUN_CHANGE.address)).toBe(`127.0.0.2:${port}`);
    expect(await from(STUN_CHANGE.address | STUN_CHANGE.port)).toBe(`127.0.0.2:${port + 1}`);
    const { message } = await ask(socket, question().finish(), "127.0.0.2", port + 1);
    expect(message.address(STUN_ATTRIBUTE.otherAddress)).toMatchObject({ address: "127.0.0.1", port });
  });

  it("says so where it has no other address, or does not understand something", async () => {
    const { port } = await startServer();
    const socket = closing(await openUdp());
    const refused = await ask(socket, question(STUN_CHANGE.address).finish(), "127.0.0.1", port);
    expect(refused.message.error?.code).toBe(420);
    const odd = question().attribute(0x7ffe, new Uint8Array(4)).finish();
    const answer = await ask(socket, odd, "127.0.0.1", port);
    expect(answer.message.error?.code).toBe(420);
    expect([...answer.message.attribute(STUN_ATTRIBUTE.unknownAttributes)!]).toEqual([0x7f, 0xfe]);
  });

  it("answers with at most 2.6 times the bytes of the smallest question, and junk not at all", async () => {
    const server = await startServer();
    const socket = closing(await openUdp());
    socket.send(new Uint8Array(40).fill(1), server.port, "127.0.0.1");
    socket.send(new Uint8Array(0), server.port, "127.0.0.1");
    const smallest = question().finish();
    const { length } = await ask(socket, smallest, "127.0.0.1", server.port);
    expect(length / smallest.length).toBeLessThanOrEqual(2.6);
    expect(server.statistics).toMatchObject({ malformed: 2, stunRequests: 1 });
  });
});

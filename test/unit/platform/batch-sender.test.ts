import { describe, expect, it } from "vitest";
import { BatchSender } from "../../../src/platform/udp/batch-sender.ts";
import type { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";

const path = { address: "127.0.0.1", port: 9, socket: 0 };

/** A socket that keeps what it was given, as a full kernel buffer makes Node do. */
function newSocket(): { socket: UdpSocket; sent: Uint8Array[]; queued: { count: number } } {
  const sent: Uint8Array[] = [];
  const queued = { count: 0 };
  const send = (bytes: Uint8Array): void => {
    sent.push(bytes);
  };
  const socket = {
    send,
    sendLast: send,
    get queuedDatagrams() {
      return queued.count;
    },
  };
  return { socket: socket as unknown as UdpSocket, sent, queued };
}

function fill(sender: BatchSender, length: number, value: number): Uint8Array {
  sender.buffer.fill(value, 0, length);
  return sender.buffer;
}

describe("the batch sender", () => {
  it("uses its slab again once the kernel has everything", () => {
    const sender = new BatchSender();
    const { socket } = newSocket();
    const { buffer } = sender;
    expect(sender.send(socket, { buffer, length: 100, segmentBytes: 100, path })).toBe(true);
    expect(sender.buffer).toBe(buffer);
  });

  it("leaves the slab to datagrams that still wait for the kernel", () => {
    const sender = new BatchSender();
    const { socket, sent, queued } = newSocket();
    queued.count = 1;
    expect(sender.send(socket, { buffer: fill(sender, 250, 1), length: 250, segmentBytes: 100, path })).toBe(
      true,
    );
    expect(sender.send(socket, { buffer: fill(sender, 250, 2), length: 250, segmentBytes: 100, path })).toBe(
      true,
    );
    expect(sent.map((bytes) => [bytes.length, bytes[0]])).toEqual([
      [100, 1],
      [100, 1],
      [50, 1],
      [100, 2],
      [100, 2],
      [50, 2],
    ]);
  });

  it("cuts anew when the segments' length changes", () => {
    const sender = new BatchSender();
    const { socket, sent } = newSocket();
    for (const segmentBytes of [100, 70, 100]) {
      sender.send(socket, { buffer: fill(sender, 200, segmentBytes), length: 200, segmentBytes, path });
    }
    expect(sent.map(({ length }) => length)).toEqual([100, 100, 70, 70, 60, 100, 100]);
  });

  it("asks for a rest when many wait", () => {
    const sender = new BatchSender();
    const { socket, queued } = newSocket();
    queued.count = 1000;
    expect(sender.send(socket, { buffer: sender.buffer, length: 10, segmentBytes: 10, path })).toBe(false);
  });
});

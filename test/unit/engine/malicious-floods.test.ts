import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, describe, expect, it } from "vitest";
import { writeU16 } from "../../../src/base/bytes.ts";
import type { Path } from "../../../src/base/path.ts";
import { RangeSet } from "../../../src/base/range-set.ts";
import type { Connection } from "../../../src/engine/connection/connection.ts";
import { DEFAULT_PARAMETERS } from "../../../src/engine/connection/transport-parameters.ts";
import {
  FRAME,
  writeAck,
  writeDatagramHeader,
  writeNewConnectionId,
  writePathToken,
} from "../../../src/wire/frames.ts";
import { HEADER_BYTES, PACKET_DATA } from "../../../src/wire/packet.ts";
import { EVENT, type MaliciousPeer, newConnection } from "../../fuzz/malicious-peer.ts";
import { Xorshift } from "../../fuzz/xorshift.ts";
import { toyPrimitives } from "../../sim/primitives.ts";
import {
  against,
  expectClosed,
  expectUnharmed,
  firstOf,
  flood,
  numbers,
  packed,
  ROLES,
  stream,
} from "./malicious-frames.ts";

const MiB = 1024 * 1024;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const measured: string[] = [];

/** Bytes that the whole process holds, garbage apart. */
function heldBytes(): number {
  // The second one waits for what the first one has left to other threads.
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Runs `attack` and expects that no more than `mostBytes` are held after it, `peer` being all that it left. */
function expectBounded(what: string, mostBytes: number, peer: MaliciousPeer, attack: () => void): void {
  const before = heldBytes();
  const sentBefore = peer.sentPackets;
  attack();
  const held = heldBytes() - before;
  measured.push(
    `${what}: ${Math.round(held / 1024)} KiB held after ${peer.sentPackets - sentBefore} packets`,
  );
  expect(held).toBeLessThan(mostBytes);
}

afterAll(() => console.log(measured.join("\n")));

describe.each(ROLES)("a malicious peer of the %s that floods", (role) => {
  it("costs the window and no more when it fills it and nobody reads", () => {
    const peer = against(role);
    expectBounded(`${role}: a full window that nobody reads`, 3 * MiB, peer, () => {
      for (let offset = 0; offset < DEFAULT_PARAMETERS.maxStreamDataBytes; offset += 1024) {
        peer.send(stream(firstOf(peer), offset, 1024));
      }
    });
    expectUnharmed(peer);
  });

  it("is cut off when it leaves gap after gap", () => {
    const peer = against(role);
    expectBounded(`${role}: gaps in one stream`, 2 * MiB, peer, () => {
      flood(peer, 200_000, (n) => stream(firstOf(peer), 2 * n + 1, 1));
    });
    expectClosed(peer, "ERR_PROTOCOL");
  });

  it("costs bounded memory when it leaves gaps in as many streams as it may open", () => {
    const peer = against(role, { primitives: toyPrimitives });
    const gaps = 350;
    const streams = 1024;
    expectBounded(`${role}: ${gaps} gaps in each of ${streams} streams`, 32 * MiB, peer, () => {
      flood(peer, gaps * streams, (n) =>
        stream(firstOf(peer) + 4 * Math.floor(n / gaps), 2 * (n % gaps) + 1, 1),
      );
    });
    expectUnharmed(peer);
  });

  it("is refused at the first beyond its allowance, a million or one", () => {
    for (const index of [DEFAULT_PARAMETERS.maxStreams, 1_000_000, 2 ** 50]) {
      const peer = against(role);
      const id = firstOf(peer) + 4 * index;
      expectBounded(`${role}: stream ${id}`, MiB, peer, () => peer.send(stream(id, 0, 1)));
      expectClosed(peer, "ERR_STREAM_LIMIT");
    }
  });

  it("costs bounded memory with all that it may open", () => {
    const peer = against(role);
    const last = firstOf(peer) + 4 * (DEFAULT_PARAMETERS.maxStreams - 1);
    expectBounded(`${role}: 1024 streams by one frame`, 4 * MiB, peer, () => peer.send(stream(last, 0, 1)));
    expect(peer.events.get(EVENT.streamOpened)).toBe(DEFAULT_PARAMETERS.maxStreams);
    expectUnharmed(peer);
  });

  it("costs bounded memory with a hundred thousand that it gives up at once", () => {
    const peer = against(role, { primitives: toyPrimitives });
    let limit = DEFAULT_PARAMETERS.maxStreams;
    expectBounded(`${role}: 100,000 streams opened and given up`, 4 * MiB, peer, () => {
      for (let n = 0; n < 100_000; n += 50) {
        const open = packed(
          (index) => numbers(FRAME.resetStream, firstOf(peer) + 4 * index, 7, 0),
          n,
          n + 50,
        );
        const stop = packed((index) => numbers(FRAME.stopSending, firstOf(peer) + 4 * index, 7), n, n + 50);
        peer.send(open.write);
        peer.send(stop.write);
        peer.elapse(20);
        peer.acknowledge();
        if (peer.victim.state !== "established") break;
        limit = n;
      }
    });
    expect(limit).toBe(100_000 - 50);
    expectUnharmed(peer);
  });

  it("does no harm with floods of RESET_STREAM and STOP_SENDING", () => {
    const peer = against(role);
    expectBounded(`${role}: 100,000 resets and stops of one stream`, MiB, peer, () => {
      flood(peer, 50_000, () => numbers(FRAME.resetStream, firstOf(peer), 7, 0));
      flood(peer, 50_000, () => numbers(FRAME.stopSending, firstOf(peer), 7));
    });
    expect(peer.events.get(EVENT.streamReset)).toBe(1);
    expect(peer.events.get(EVENT.stopSending)).toBe(1);
    expectUnharmed(peer);
  });

  it("does not make the victim draw ID after ID by giving back what it cannot know", () => {
    const peer = against(role, { primitives: toyPrimitives });
    expectBounded(`${role}: 200,000 RETIRE_CONNECTION_ID without an ACK`, 2 * MiB, peer, () => {
      flood(peer, 200_000, (n) => numbers(FRAME.retireConnectionId, n));
    });
    if (peer.victim.state !== "established") expectClosed(peer, "ERR_PROTOCOL");
    expect(peer.victim.connectionIds.length).toBeLessThanOrEqual(3);
  });

  it("costs bounded memory when it changes paths and IDs with each packet and acknowledges nothing", () => {
    const peer = against(role, { primitives: toyPrimitives });
    const paths: Path[] = [2000, 3000].map((port) => ({ address: "198.51.100.7", port, socket: 0 }));
    expectBounded(`${role}: 20,000 moves with a new ID each`, 2 * MiB, peer, () => {
      for (let n = 1; n <= 20_000 && peer.victim.state === "established"; n++) {
        const id = new Uint8Array(8).fill(n);
        peer.send((bytes, at) => writeNewConnectionId(bytes, at, n, id), paths[n % 2]);
      }
    });
    if (peer.victim.state === "established") expectUnharmed(peer);
    else expect(peer.victim.closeCause?.code).toBe("ERR_PROTOCOL");
  });

  it("gets a bounded number of answers to a flood of PATH_CHALLENGE, none of them larger than its question", () => {
    const peer = against(role);
    const token = new Uint8Array(8).fill(5);
    const before = peer.receivedBytes;
    let sentBytes = 0;
    expectBounded(`${role}: 100,000 PATH_CHALLENGE from three addresses`, MiB, peer, () => {
      for (let n = 0; n < 1000; n++) {
        const packet = packed(
          () => (bytes, at) => writePathToken(bytes, at, FRAME.pathChallenge, token),
          0,
          100,
        );
        sentBytes += 900;
        const path = n % 3 === 0 ? peer.path : { address: `203.0.113.${n % 3}`, port: 5, socket: 0 };
        peer.send(packet.write, path);
      }
    });
    expect(peer.frames.get(FRAME.pathResponse)).toBeLessThanOrEqual(8 * 1000);
    expect(peer.receivedBytes - before).toBeLessThan(sentBytes);
    expectUnharmed(peer);
  });

  it("costs bounded memory with packets that want an ACK each and are never answered with one", () => {
    const peer = against(role, { primitives: toyPrimitives });
    const packets = 150_000;
    expectBounded(`${role}: ${packets} IMMEDIATE_ACK, nothing acknowledged`, 16 * MiB, peer, () => {
      for (let n = 0; n < packets && peer.victim.state === "established"; n++) {
        peer.send(numbers(FRAME.immediateAck));
        if (n % 100 === 0) peer.elapse(1);
      }
    });
    if (peer.victim.state === "established") expectUnharmed(peer);
    else expectClosed(peer, "ERR_PROTOCOL");
  });

  it("costs a bounded number of datagrams when nobody reads them", () => {
    const peer = against(role, { primitives: toyPrimitives });
    expectBounded(`${role}: 20,000 datagrams that nobody reads`, 3 * MiB, peer, () => {
      for (let n = 0; n < 20_000; n++) peer.send((bytes, at) => writeDatagramHeader(bytes, at, 1000) + 1000);
    });
    let read = 0;
    while (peer.victim.readDatagram() !== undefined) read++;
    expect(read).toBe(512);
    expectUnharmed(peer);
  });

  it("costs a bounded number of bytes when nobody reads its largest datagrams", () => {
    const peer = against(role, { primitives: toyPrimitives });
    expectBounded(`${role}: 600 datagrams of 60,000 bytes that nobody reads`, 6 * MiB, peer, () => {
      for (let n = 0; n < 600; n++) peer.send((bytes, at) => writeDatagramHeader(bytes, at, 60_000) + 60_000);
    });
    expectUnharmed(peer);
  });

  it("does not make the victim send keep-alives without end for an idle timeout of a millisecond", () => {
    const peer = against(role, { peerParameters: { idleTimeoutMs: 1 } });
    peer.acknowledge();
    const before = peer.received.size;
    for (let n = 0; n < 1000; n++) {
      peer.elapse(10);
      peer.acknowledge();
    }
    const packets = peer.received.size - before;
    measured.push(`${role}: ${packets} packets in 10 s to a peer with an idle timeout of 1 ms`);
    // One per answer, and ten a second besides: enough for an honest peer with a short idle timeout.
    expect(packets).toBeLessThan(1000 + 100);
  });
});

describe("a stranger in a handshake", () => {
  it("costs 12 KB at most with data packets that nothing can open yet", () => {
    const random = new Xorshift(1, "half-open");
    const packet = new Uint8Array(65_507);
    packet[0] = PACKET_DATA;
    const sizes = [65_507, 9000, 1501, 1500, 1200, 100];
    const path: Path = { address: "192.0.2.1", port: 1, socket: 0 };
    const heldByEach = (packets: number): number => {
      const before = heldBytes();
      const halfOpen = Array.from({ length: 128 }, () => {
        const connection = newConnection(toyPrimitives, "responder", (byteLength) =>
          random.bytes(byteLength),
        );
        for (let n = 0; n < packets; n++) {
          const byteLength = sizes[n % sizes.length]!;
          writeU16(packet, 15, byteLength - HEADER_BYTES);
          connection.handleDatagram(0, path, packet.slice(0, byteLength));
        }
        return connection;
      });
      return (heldBytes() - before) / halfOpen.length;
    };
    const withoutBytes = heldByEach(0);
    const withBytes = heldByEach(60);
    measured.push(`a half-open connection: ${withoutBytes} bytes, with early data ${withBytes} bytes`);
    expect(withBytes - withoutBytes).toBeLessThan(14_000);
  });
});

describe("a malicious peer and what was written", () => {
  it("leaves the bytes that were never acknowledged where they are, within the writer's bound", () => {
    const peer = against("initiator", {
      peerParameters: { maxStreams: 100, maxDataBytes: 2 ** 30, maxStreamDataBytes: 2 ** 30 },
    });
    const victim: Connection = peer.victim;
    let accepted = 0;
    for (let n = 0; n < 100; n++) {
      const id = victim.openStream();
      while (victim.write(id, new Uint8Array(16_384))) accepted += 16_384;
    }
    expect(accepted).toBeLessThanOrEqual(24 * MiB);
    for (let n = 0; n < 20; n++) peer.elapse(1000);
    expect(victim.state).toBe("established");
    expect(victim.stats.bytesInFlight).toBeLessThan(200_000);
  });

  it("does not make the victim hold without end what follows the one packet that it never acknowledges", () => {
    const peer = against("initiator", {
      primitives: toyPrimitives,
      congestion: "bbr",
      peerParameters: { maxStreams: 10, maxDataBytes: 2 ** 50, maxStreamDataBytes: 2 ** 50 },
    });
    const { victim } = peer;
    const id = victim.openStream();
    const chunk = new Uint8Array(16_384);
    const toAcknowledge = new RangeSet();
    let withheld = false;
    let wakes = 0;
    peer.onFrame = (packetNumber, frame) => {
      // Frames come packet by packet; of a packet that begins the stream nothing is acknowledged.
      if (frame.type === FRAME.stream) withheld = frame.offset === 0;
      if (!withheld) toAcknowledge.add(packetNumber, packetNumber + 1);
      else toAcknowledge.remove(packetNumber, packetNumber + 1);
    };
    let mostBytes = 0;
    for (let round = 0; round < 1500 && mostBytes < 64 * MiB; round++) {
      if ((peer.events.get(EVENT.writable) ?? 0) > wakes || round === 0) {
        wakes = peer.events.get(EVENT.writable) ?? 0;
        while (victim.write(id, chunk));
      }
      peer.elapse(5);
      if (toAcknowledge.count > 0) peer.send((bytes, at) => writeAck(bytes, at, at + 1000, toAcknowledge, 0));
      mostBytes = Math.max(mostBytes, victim.bufferedBytes.sending);
    }
    measured.push(`held for a peer that leaves out one packet: ${Math.round(mostBytes / 1024)} KiB`);
    expect(mostBytes).toBeLessThan(20 * MiB);
  });
});

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, describe, expect, it } from "vitest";
import { ERRORS, type ErrorCode } from "../../../src/base/errors.ts";
import { RangeSet } from "../../../src/base/range-set.ts";
import type { Connection, Path } from "../../../src/engine/connection.ts";
import { DEFAULT_PARAMETERS } from "../../../src/engine/transport-parameters.ts";
import { nodePrimitives } from "../../../src/net/node-primitives.ts";
import {
  FRAME,
  writeAck,
  writeClose,
  writeDatagramHeader,
  writeNewConnectionId,
  writeNumbers,
  writePathToken,
  writeRekey,
  writeStreamHeader,
} from "../../../src/wire/frames.ts";
import { EVENT, type FrameWrite, MaliciousPeer, type PeerOptions } from "../../fuzz/malicious-peer.ts";
import { toyPrimitives } from "../../sim/primitives.ts";

const ROLES = ["initiator", "responder"] as const;
const MiB = 1024 * 1024;
const LARGE = Number.MAX_SAFE_INTEGER;

function against(role: (typeof ROLES)[number], options: Partial<PeerOptions> = {}): MaliciousPeer {
  return new MaliciousPeer({ primitives: nodePrimitives, victimRole: role, ...options });
}

/** First stream of the peer, and of the victim. */
const firstOf = (peer: MaliciousPeer): number => (peer.victim.role === "responder" ? 0 : 1);
const ownOf = (peer: MaliciousPeer): number => 1 - firstOf(peer);

function stream(id: number, offset: number, byteLength: number, fin = false): FrameWrite {
  return (bytes, at) => {
    const payload = writeStreamHeader(bytes, at, id, offset, byteLength, fin, true);
    bytes.fill(0x61, payload, payload + byteLength);
    return payload + byteLength;
  };
}

function numbers(type: number, ...values: number[]): FrameWrite {
  return (bytes, at) => writeNumbers(bytes, at, type, values[0], values[1], values[2]);
}

function ack(...ranges: [number, number][]): FrameWrite {
  const set = new RangeSet();
  for (const [start, end] of ranges) set.add(start, end + 1);
  return (bytes, at) => writeAck(bytes, at, at + 1000, set, 0);
}

/** As many of these frames as one packet of a common size holds. */
function packed(
  frame: (index: number) => FrameWrite,
  first: number,
  most: number,
): { write: FrameWrite; next: number } {
  const text = new Uint8Array(4096);
  let at = 0;
  let next = first;
  while (next < most) {
    const end = frame(next)(text, at);
    if (end > 1160) break;
    at = end;
    next++;
  }
  const whole = text.slice(0, at);
  return {
    next,
    write: (bytes, from) => {
      bytes.set(whole, from);
      return from + whole.length;
    },
  };
}

/** All of `count` frames, packet by packet, as long as the link holds. */
function flood(
  peer: MaliciousPeer,
  count: number,
  frame: (index: number) => FrameWrite,
  afterEach?: () => void,
): void {
  for (let next = 0; next < count && peer.victim.state === "established"; ) {
    const packet = packed(frame, next, count);
    next = packet.next;
    peer.send(packet.write);
    afterEach?.();
  }
}

function expectClosed(peer: MaliciousPeer, code: ErrorCode): void {
  expect(peer.victim.closeCause?.code).toBe(code);
  expect(peer.victim.closeCause?.origin).toBe("remote");
  expect(peer.close?.errorCode).toBe(ERRORS[code].wire);
  expect(peer.victim.state).toBe("closing");
  expect(peer.events.get(EVENT.closed)).toBe(1);
  peer.elapse(60_000);
  expect(peer.victim.state).toBe("closed");
}

/** The link goes on, and does what it is for. */
function expectUnharmed(peer: MaliciousPeer): void {
  expect(peer.close).toBeUndefined();
  const before = peer.frames.get(FRAME.ack) ?? 0;
  peer.send(numbers(FRAME.ping));
  peer.send(numbers(FRAME.ping));
  peer.elapse(30);
  expect(peer.frames.get(FRAME.ack) ?? 0).toBeGreaterThan(before);
  expect(peer.victim.state).toBe("established");
}

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

/** The victim writes until a packet number was left out; what came last is not acknowledged yet. */
function untilSkipped(peer: MaliciousPeer): { skipped: number; newest: number } {
  const { victim, received } = peer;
  const id = victim.openStream();
  for (let rounds = 0; rounds < 500; rounds++) {
    victim.write(id, new Uint8Array(20_000));
    peer.elapse(20);
    const newest = received.end(received.count - 1) - 1;
    if (received.count > 1) return { skipped: received.end(received.count - 2), newest };
    peer.acknowledge();
  }
  throw new Error("no number was left out");
}

const WIDE = { maxDataBytes: 2 ** 30, maxStreamDataBytes: 2 ** 30 };

describe.each(ROLES)("a malicious peer of the %s", (role) => {
  describe("that lies about what arrived", () => {
    it.each([0, 1, 1000, LARGE - 5000])(
      "is refused when it acknowledges a number %d beyond what was sent",
      (beyond) => {
        const peer = against(role);
        peer.send(numbers(FRAME.ping));
        const next = peer.received.end(peer.received.count - 1);
        peer.send(ack([next + beyond, next + beyond]));
        expectClosed(peer, "ERR_PROTOCOL");
      },
    );

    it("is refused when a range holds a number that was left out", () => {
      const peer = against(role, { peerParameters: WIDE });
      const { newest } = untilSkipped(peer);
      peer.send(ack([newest - 300, newest]));
      expectClosed(peer, "ERR_PROTOCOL");
    });

    it("is refused when it names a number that was left out, though all before it has arrived", () => {
      const peer = against(role, { peerParameters: WIDE });
      const { skipped } = untilSkipped(peer);
      peer.acknowledge();
      expectUnharmed(peer);
      peer.send(ack([skipped, skipped]));
      expectClosed(peer, "ERR_PROTOCOL");
    });

    it("is refused when it acknowledges one number after the other without looking", () => {
      const peer = against(role, { peerParameters: WIDE });
      const id = peer.victim.openStream();
      let next = peer.received.end(0);
      for (let rounds = 0; rounds < 200 && peer.victim.state === "established"; rounds++) {
        peer.victim.write(id, new Uint8Array(20_000));
        peer.elapse(20);
        const newest = peer.received.end(peer.received.count - 1) - 1;
        for (; next <= newest && peer.victim.state === "established"; next++) peer.send(ack([next, next]));
      }
      expectClosed(peer, "ERR_PROTOCOL");
    });

    it("costs nothing but probes when it acknowledges nothing at all", () => {
      const peer = against(role, { peerParameters: WIDE });
      const id = peer.victim.openStream();
      while (peer.victim.write(id, new Uint8Array(100_000)));
      peer.elapse(0);
      const before = peer.receivedBytes;
      for (let minutes = 0; minutes < 10; minutes++) {
        peer.elapse(60_000 - 30_000);
        peer.send(numbers(FRAME.ping));
        peer.elapse(30_000);
        peer.send(numbers(FRAME.ping));
      }
      expect(peer.victim.state).toBe("established");
      // Two packets a probe timeout, which is two seconds at most; and the answers to the PINGs.
      expect(peer.receivedBytes - before).toBeLessThan(10 * 60 * 1500);
    });
  });

  describe("that breaks flow control", () => {
    it.each([
      ["bytes behind the end of a stream", 10, stream(0, 10, 10)],
      ["bytes that reach over it", 10, stream(0, 5, 6)],
      ["an earlier end", 10, stream(0, 5, 0, true)],
      ["a later end", 10, stream(0, 15, 0, true)],
      ["a reset of another size", 10, numbers(FRAME.resetStream, 0, 7, 11)],
    ] as const)("is refused for %s", (_what, size, write) => {
      // Stream 0 is the initiator's: here the victim is the responder, or has opened it itself.
      const peer = against(role);
      if (role === "initiator") expect(peer.victim.openStream()).toBe(0);
      peer.send(stream(0, 0, size, true));
      peer.send(write);
      expectClosed(peer, "ERR_FINAL_SIZE");
    });

    it("is refused for an end in front of what it has sent", () => {
      for (const write of [
        stream(firstOf(against(role)), 5, 0, true),
        numbers(FRAME.resetStream, firstOf(against(role)), 7, 19),
      ]) {
        const peer = against(role);
        peer.send(stream(firstOf(peer), 10, 10));
        peer.send(write);
        expectClosed(peer, "ERR_FINAL_SIZE");
      }
    });

    it.each([
      ["one byte", (id: number) => stream(id, DEFAULT_PARAMETERS.maxStreamDataBytes, 1)],
      ["an offset near the largest number", (id: number) => stream(id, LARGE, 1)],
      [
        "a reset",
        (id: number) => numbers(FRAME.resetStream, id, 7, DEFAULT_PARAMETERS.maxStreamDataBytes + 1),
      ],
      ["an empty end", (id: number) => stream(id, DEFAULT_PARAMETERS.maxStreamDataBytes + 1, 0, true)],
    ] as const)("is refused for %s beyond a stream's window", (_what, frame) => {
      const peer = against(role);
      peer.send(frame(firstOf(peer)));
      expectClosed(peer, "ERR_FLOW_CONTROL");
    });

    it("is refused beyond the connection's window, be it by streams or by resets", () => {
      for (const isReset of [false, true]) {
        const peer = against(role);
        const share = 256 * 1024;
        const most = DEFAULT_PARAMETERS.maxDataBytes / share;
        for (let n = 0; n <= most && peer.victim.state === "established"; n++) {
          const id = firstOf(peer) + 4 * n;
          peer.send(isReset ? numbers(FRAME.resetStream, id, 7, share) : stream(id, share - 1, 1));
          // A reset stream gives its credit back: only what is not read yet counts against the window.
          if (n < most) expect(peer.victim.state).toBe("established");
        }
        if (isReset) expectUnharmed(peer);
        else expectClosed(peer, "ERR_FLOW_CONTROL");
      }
    });

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
  });

  describe("that opens streams", () => {
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

    it.each([
      ["one of the victim's that it never opened", (peer: MaliciousPeer) => stream(ownOf(peer), 0, 1)],
      ["the same by its credit", (peer: MaliciousPeer) => numbers(FRAME.maxStreamData, ownOf(peer) + 400, 5)],
      ["one in one direction", () => stream(2, 0, 1)],
      ["the other in one direction", () => numbers(FRAME.resetStream, 3, 1, 1)],
      ["a huge one in one direction", () => numbers(FRAME.stopSending, 2 ** 40 + 2, 1)],
    ] as const)("is refused for %s", (_what, frame) => {
      const peer = against(role);
      peer.send(frame(peer));
      expectClosed(peer, "ERR_STREAM_STATE");
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

    it("does no harm with limits of any size, also where the victim sends", () => {
      const peer = against(role);
      for (const limit of [0, 5, LARGE, 3]) {
        peer.send(numbers(FRAME.maxStreams, limit));
        peer.send(numbers(FRAME.maxData, limit));
      }
      const id = peer.victim.openStream();
      expect(id).toBe(ownOf(peer));
      for (const limit of [LARGE, 0]) peer.send(numbers(FRAME.maxStreamData, id, limit));
      for (let n = 0; n < 5000; n++) expect(peer.victim.openStream()).toBe(id + 4 * (n + 1));
      peer.victim.write(id, new Uint8Array(5000));
      peer.elapse(10);
      expect(peer.frames.get(FRAME.stream)).toBeGreaterThan(3);
      expectUnharmed(peer);
    });
  });

  describe("that tampers with keys, addresses and paths", () => {
    const message = new Uint8Array(48).fill(9);
    it.each([
      ["a question that does not verify", (at: Uint8Array, n: number) => writeRekey(at, n, 1, 1, message)],
      ["a question of an epoch to come", (at: Uint8Array, n: number) => writeRekey(at, n, 2, 1, message)],
      [
        "a question of a far epoch",
        (at: Uint8Array, n: number) => writeRekey(at, n, 2 ** 32 + 1, 1, message),
      ],
      ["an answer that nobody asked for", (at: Uint8Array, n: number) => writeRekey(at, n, 1, 2, message)],
      ["a step that does not exist", (at: Uint8Array, n: number) => writeRekey(at, n, 1, 3, message)],
      ["a short message", (at: Uint8Array, n: number) => writeRekey(at, n, 1, 1, message.subarray(1))],
      ["a long message", (at: Uint8Array, n: number) => writeRekey(at, n, 1, 1, new Uint8Array(49))],
      ["a key of zeros", (at: Uint8Array, n: number) => writeRekey(at, n, 1, 1, new Uint8Array(48))],
    ] as const)("is refused for %s in REKEY", (_what, write) => {
      const peer = against(role);
      peer.send(write);
      expectClosed(peer, "ERR_PROTOCOL");
    });

    it("does no harm with REKEY of epochs that are over, and one exchange is one exchange", () => {
      const peer = against(role);
      flood(peer, 500, () => (bytes, at) => writeRekey(bytes, at, 0, 1, message));
      expectUnharmed(peer);
      peer.keys.ask();
      const question = new Uint8Array(100);
      const end = peer.keys.writeFrame(question, 0);
      flood(peer, 500, () => (bytes, at) => {
        bytes.set(question.subarray(0, end), at);
        return at + end;
      });
      expectUnharmed(peer);
      expect(peer.frames.get(FRAME.rekey)).toBeLessThan(20);
    });

    it("is refused for more connection IDs than it may give", () => {
      const peer = against(role);
      const id = new Uint8Array(8).fill(3);
      flood(peer, 100_000, (n) => (bytes, at) => writeNewConnectionId(bytes, at, n + 100, id));
      expectClosed(peer, "ERR_PROTOCOL");
    });

    it("is refused for a connection ID that changes", () => {
      const peer = against(role);
      peer.send((bytes, at) => writeNewConnectionId(bytes, at, 1, new Uint8Array(8).fill(3)));
      peer.send((bytes, at) => writeNewConnectionId(bytes, at, 1, new Uint8Array(8).fill(4)));
      expectClosed(peer, "ERR_PROTOCOL");
    });

    it.each([100, LARGE])("is refused for giving back connection ID %d, which it never got", (sequence) => {
      const peer = against(role);
      peer.send(numbers(FRAME.retireConnectionId, sequence));
      expectClosed(peer, "ERR_PROTOCOL");
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

    it("does no harm with answers to challenges that were never made", () => {
      const peer = against(role);
      flood(peer, 10_000, (n) => (bytes, at) => {
        const token = new Uint8Array(8).fill(n);
        return writePathToken(bytes, at, FRAME.pathResponse, token);
      });
      expect(peer.victim.path).toBe(peer.path);
      expectUnharmed(peer);
    });
  });

  describe("that floods", () => {
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
        for (let n = 0; n < 20_000; n++)
          peer.send((bytes, at) => writeDatagramHeader(bytes, at, 1000) + 1000);
      });
      let read = 0;
      while (peer.victim.readDatagram() !== undefined) read++;
      expect(read).toBe(512);
      expectUnharmed(peer);
    });

    it("does no harm with ACK_FREQUENCY, IMMEDIATE_ACK and PADDING, nor with numbers far ahead", () => {
      const peer = against(role);
      flood(peer, 10_000, (n) => numbers(FRAME.ackFrequency, n % 200, LARGE, LARGE));
      flood(peer, 10_000, () => numbers(FRAME.immediateAck));
      flood(peer, 10_000, () => numbers(FRAME.padding));
      peer.nextNumber = 2 ** 48 - 1000;
      expectUnharmed(peer);
      peer.send(numbers(FRAME.ackFrequency, LARGE, 0, 0));
      expectUnharmed(peer);
    });

    it("does not make the victim send keep-alives without end by a patience of a millisecond", () => {
      const peer = against(role, { peerParameters: { idleTimeoutMs: 1 } });
      peer.acknowledge();
      const before = peer.received.size;
      for (let n = 0; n < 1000; n++) {
        peer.elapse(10);
        peer.acknowledge();
      }
      const packets = peer.received.size - before;
      measured.push(`${role}: ${packets} packets in 10 s to a peer with a patience of 1 ms`);
      // One per answer, and ten a second besides: what an honest peer of little patience could want.
      expect(packets).toBeLessThan(1000 + 100);
    });

    it("hears CLOSE again ever less often when it goes on sending after it", () => {
      const peer = against(role);
      peer.send(numbers(0x21));
      const first = peer.frames.get(FRAME.close);
      expect(first).toBe(1);
      for (let n = 0; n < 1000; n++) peer.send(numbers(FRAME.ping));
      expect(peer.frames.get(FRAME.close)).toBeLessThanOrEqual(12);
    });

    it("ends the link by CLOSE, whatever stands in the same packet behind it", () => {
      const peer = against(role);
      peer.send((bytes, at) => {
        const next = writeClose(bytes, at, ERRORS.ERR_PEER_RESET.wire!, new Uint8Array(100).fill(0xff));
        bytes.fill(0x21, next, next + 20);
        return next + 20;
      });
      expect(peer.victim.state).toBe("draining");
      expect(peer.victim.closeCause).toMatchObject({ origin: "remote", code: "ERR_PEER_RESET" });
      expect(peer.close).toBeUndefined();
      peer.elapse(60_000);
      expect(peer.victim.state).toBe("closed");
    });
  });

  describe("that sends what is no frame", () => {
    const known = new Set<number>(Object.values(FRAME));
    for (let n = 0; n < 8; n++) known.add(FRAME.stream + n);
    known.add(FRAME.datagram + 1);

    it("is refused for each type that does not exist", () => {
      let refused = 0;
      for (let type = 0; type < 256; type++) {
        if (known.has(type)) continue;
        const peer = against(role);
        peer.send((bytes, at) => {
          bytes[at] = type;
          bytes.fill(0, at + 1, at + 20);
          return at + 20;
        });
        expect(peer.close?.errorCode).toBe(ERRORS.ERR_FRAME_ENCODING.wire);
        refused++;
      }
      expect(refused).toBe(256 - known.size);
    });

    it("is refused for each frame that is cut short", () => {
      const token = new Uint8Array(8);
      const whole: readonly FrameWrite[] = [
        numbers(FRAME.resetStream, 2 ** 20, 2 ** 20, 2 ** 20),
        numbers(FRAME.stopSending, 2 ** 20, 2 ** 20),
        numbers(FRAME.maxData, 2 ** 40),
        numbers(FRAME.maxStreams, 2 ** 40),
        numbers(FRAME.maxStreamData, 2 ** 20, 2 ** 20),
        numbers(FRAME.retireConnectionId, 2 ** 20),
        numbers(FRAME.ackFrequency, 2 ** 20, 2 ** 20, 2 ** 20),
        stream(2 ** 20, 2 ** 20, 100),
        ack([2, 3], [5, 6], [80, 2000]),
        (bytes, at) => writeDatagramHeader(bytes, at, 100) + 100,
        (bytes, at) => writeNewConnectionId(bytes, at, 2 ** 20, token),
        (bytes, at) => writePathToken(bytes, at, FRAME.pathChallenge, token),
        (bytes, at) => writePathToken(bytes, at, FRAME.pathResponse, token),
        (bytes, at) => writeClose(bytes, at, 2 ** 20, new Uint8Array(20)),
        (bytes, at) => writeRekey(bytes, at, 1, 1, new Uint8Array(48)),
      ];
      const text = new Uint8Array(1200);
      for (const write of whole) {
        const length = write(text, 0);
        for (let cut = 1; cut < length; cut += cut < 12 ? 1 : 13) {
          const peer = against(role);
          const first = text.slice(0, cut);
          write(text, 0);
          peer.send((bytes, at) => {
            bytes.set(first, at);
            return at + cut;
          });
          expect([text[0], cut, peer.close?.errorCode]).toEqual([
            text[0],
            cut,
            ERRORS.ERR_FRAME_ENCODING.wire,
          ]);
        }
      }
    });

    it("is refused for an ACK of negative numbers and for one of too many ranges", () => {
      const frames: FrameWrite[] = [
        (bytes, at) => writeNumbers(bytes, writeNumbers(bytes, at, FRAME.ack, 5, 0, 0), 6),
        (bytes, at) => {
          let next = writeNumbers(bytes, at, FRAME.ack, 1000, 0, 64);
          for (let n = 0; n < 129; n++) bytes[next++] = 0;
          return next;
        },
      ];
      for (const write of frames) {
        const peer = against(role);
        peer.send(write);
        expectClosed(peer, "ERR_FRAME_ENCODING");
      }
    });

    it("does no harm with a packet of no frames at all", () => {
      const peer = against(role);
      for (let n = 0; n < 100; n++) peer.send((_bytes, at) => at);
      expectUnharmed(peer);
    });
  });
});

describe("a malicious peer and what was written", () => {
  it("leaves the bytes that were never acknowledged where they are, within the writer's bound", () => {
    const peer = against("initiator", { peerParameters: { maxStreams: 100, ...WIDE } });
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
});

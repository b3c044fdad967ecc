import { describe, expect, it } from "vitest";
import { RangeSet } from "../../src/base/range-set.ts";
import { type Connection, EVENT } from "../../src/engine/connection/connection.ts";
import { FRAME, writeAck, writeNumbers, writeStreamHeader } from "../../src/wire/frames.ts";
import { HEADER_BYTES, TAG_BYTES, writeHeader } from "../../src/wire/packet.ts";
import { NonceRecord } from "./nonce-record.ts";
import { Pair } from "./pair.ts";
import type { PairPlan } from "./pair-plan.ts";
import { toyPrimitives } from "./primitives.ts";
import { WireTap } from "./wire-tap.ts";
import { half, type WorkloadPlan } from "./workload-plan.ts";

const LINK = { rateMbit: 10, delayMs: 15, queuePackets: 25, lossRate: 0.02 };
const WORKLOAD: WorkloadPlan = {
  streams: [
    { opener: 0, openAtMs: 0, forth: half(200_000), back: half(5000) },
    { opener: 1, openAtMs: 0, forth: half(5000, { end: "reset" }), back: half(0) },
  ],
  datagrams: [{ from: 0, startMs: 0, count: 5, intervalMs: 5, lengthBytes: 100 }],
  close: { by: 0, when: "done", atMs: 0, errorCode: 0 },
};

/** What a run says when end 0 is broken by `tamper`; undefined when nobody noticed. */
function noticed(tamper: (connection: Connection) => void, more: Partial<PairPlan> = {}): string | undefined {
  const pair = new Pair({
    seed: 3,
    toRight: LINK,
    toLeft: LINK,
    workload: WORKLOAD,
    limitMs: 300_000,
    tamper: (connection, side) => {
      if (side === 0) tamper(connection);
    },
    ...more,
  });
  return pair.run().failure?.message;
}

// biome-ignore lint/suspicious/noExplicitAny: the tests reach into an engine to break it
const insides = (connection: Connection): any => connection;

describe("invariants of a world", () => {
  it("hold for the engine as it is", () => {
    expect(noticed(() => undefined)).toBeUndefined();
  });

  it("notice a changed byte", () => {
    expect(
      noticed((connection) => {
        const read = connection.read.bind(connection);
        connection.read = (streamId) => {
          const bytes = read(streamId)?.slice();
          if (bytes !== undefined) bytes[bytes.length >> 1]! ^= 1;
          return bytes;
        };
      }),
    ).toContain("wrong bytes");
  });

  it("notice a stream that ends early", () => {
    expect(
      noticed((connection) => {
        connection.readFinished = () => true;
      }),
    ).toContain("ended cleanly");
  });

  it("notice a reset that is passed over in silence", () => {
    expect(
      noticed((connection) => {
        const pollEvent = connection.pollEvent.bind(connection);
        connection.pollEvent = (into) =>
          pollEvent(into) && (into.kind !== EVENT.streamReset || pollEvent(into));
      }),
    ).toContain("never came to rest");
  });

  it("notice a timer that is not armed", () => {
    expect(
      noticed((connection) => {
        const pollTimeout = connection.pollTimeout.bind(connection);
        connection.pollTimeout = () => (connection.state === "established" ? Infinity : pollTimeout());
      }),
    ).toContain("no timer");
  });

  it("notice a busy loop", () => {
    expect(
      noticed((connection) => {
        const pollTimeout = connection.pollTimeout.bind(connection);
        connection.pollTimeout = () => Math.min(50, pollTimeout());
      }),
    ).toContain("wake-ups at one instant");
  });

  it("notice bytes in flight that are miscounted", () => {
    expect(
      noticed((connection) => {
        const { recovery } = insides(connection);
        const onAck = recovery.onAck.bind(recovery);
        recovery.onAck = (now: number, frame: unknown) => {
          const result = onAck(now, frame);
          recovery.bytesInFlight += 7;
          return result;
        };
      }),
    ).toMatch(/bytes in flight kept, \d+ counted/);
  });

  it("notice a window that is overrun", () => {
    expect(
      noticed((connection) => {
        let isSending = false;
        const pollTransmit = connection.pollTransmit.bind(connection);
        connection.pollTransmit = (now, into) => {
          isSending = true;
          const sent = pollTransmit(now, into);
          isSending = false;
          return sent;
        };
        Object.defineProperty(insides(connection).recovery.controller, "congestionWindowBytes", {
          get: () => (isSending ? 1_000_000 : 4800),
        });
      }),
    ).toMatch(/bytes in flight, window 4800/);
  });

  it("notice a buffer without bound", () => {
    expect(
      noticed((connection) => {
        insides(connection).datagrams.outgoing.length = 257;
      }),
    ).toContain("outgoingDatagrams is 257");
  });

  it("notice a datagram that comes twice", () => {
    const plan: Partial<PairPlan> = {
      workload: { ...WORKLOAD, datagrams: [{ ...WORKLOAD.datagrams[0]!, from: 1 }] },
    };
    expect(
      noticed((connection) => {
        const readDatagram = connection.readDatagram.bind(connection);
        let last: Uint8Array | undefined;
        connection.readDatagram = () => {
          const again = last;
          last = again === undefined ? readDatagram() : undefined;
          return again ?? last;
        };
      }, plan),
    ).toContain("came twice");
  });

  it("notice events after the end, and a second beginning", () => {
    const adds = (kind: number, after: number) => (connection: Connection) => {
      const { events } = insides(connection);
      const push = events.push.bind(events);
      events.push = (...event: [number, number?, number?]) => {
        push(...event);
        if (event[0] === after) push(kind);
      };
    };
    expect(noticed(adds(EVENT.datagram, EVENT.closed))).toContain("after closed");
    expect(noticed(adds(EVENT.established, EVENT.established))).toContain("established twice");
  });

  it("notice a connection that never rests", () => {
    expect(
      noticed((connection) => {
        connection.close = () => undefined;
      }),
    ).toContain("never came to rest");
  });

  it("notice a link that is given up although the peer is there", () => {
    expect(
      noticed((connection) => {
        const handleTimeout = connection.handleTimeout.bind(connection);
        connection.handleTimeout = (now) => {
          if (now > 100 && connection.state === "established") {
            insides(connection).end({
              origin: "network",
              code: "ERR_LINK_LOST",
              errorCode: 0,
              reason: "silence",
            });
          } else handleTimeout(now);
        };
      }),
    ).toMatch(/closed before everything was done|link lost after/);
  });

  it("leave one trace for one plan, and another when anything differs", () => {
    const digest = (seed: number, packetThreshold: number): string => {
      const tamper = (connection: Connection): void => {
        insides(connection).recovery.packetThreshold = packetThreshold;
      };
      return new Pair({ seed, toRight: LINK, toLeft: LINK, workload: WORKLOAD, tamper }).run().digest;
    };
    expect(digest(3, 3)).toBe(digest(3, 3));
    expect(new Set([digest(3, 3), digest(4, 3), digest(3, 5)]).size).toBe(3);
  });
});

describe("record of nonces", () => {
  it("tells when a data packet's number seals twice, and not when a handshake computes a message again", () => {
    const record = new NonceRecord();
    const key = record.watch(toyPrimitives, "left").aead.key(new Uint8Array(32));
    const other = record.watch(toyPrimitives, "right").aead.key(new Uint8Array(32));
    const seal = (which: typeof key, headBytes: number, textByte: number, packetNumber: number): void => {
      const bytes = new Uint8Array(100).fill(textByte, headBytes, 60);
      which.seal(bytes, 0, headBytes, 60, packetNumber);
    };
    seal(key, 32, 1, 0);
    seal(key, 32, 1, 0);
    expect(record.reuses).toHaveLength(0);
    seal(key, 32, 2, 0);
    expect(record.reuses).toHaveLength(1);
    seal(key, HEADER_BYTES, 1, 7);
    seal(other, HEADER_BYTES, 1, 7);
    expect(record.reuses).toHaveLength(2);
    seal(key, HEADER_BYTES, 1, 5);
    expect(record.reuses).toHaveLength(2);
    seal(key, HEADER_BYTES, 1, 5);
    expect(record.reuses).toHaveLength(3);
  });
});

describe("wire tap", () => {
  const limits = { maxDataBytes: 1000, maxStreamDataBytes: 500, maxStreams: 2 };

  function taps(): readonly [WireTap, WireTap] {
    const fail = (what: string): never => {
      throw new Error(what);
    };
    const pair = [new WireTap(limits, fail), new WireTap(limits, fail)] as const;
    pair[0].other = pair[1];
    pair[1].other = pair[0];
    return pair;
  }

  /** A packet with the frames that `write` puts in. */
  function packet(packetNumber: number, write: (bytes: Uint8Array, at: number) => number): Uint8Array {
    const bytes = new Uint8Array(1200);
    const end = write(bytes, HEADER_BYTES);
    writeHeader(bytes, 0, 0, new Uint8Array(8), packetNumber, end - HEADER_BYTES + TAG_BYTES);
    return bytes.subarray(0, end + TAG_BYTES);
  }

  const numbers = (packetNumber: number, type: number, ...values: number[]): Uint8Array =>
    packet(packetNumber, (bytes, at) => writeNumbers(bytes, at, type, ...values));
  const stream = (packetNumber: number, streamId: number, offset: number, length: number): Uint8Array =>
    packet(
      packetNumber,
      (bytes, at) => writeStreamHeader(bytes, at, streamId, offset, length, false, true) + length,
    );

  it("lets honest traffic pass", () => {
    const [left, right] = taps();
    left.onSend(stream(0, 0, 0, 500));
    right.onReceive(stream(0, 0, 0, 500));
    const ranges = new RangeSet();
    ranges.add(0, 1);
    right.onSend(packet(9, (bytes, at) => writeAck(bytes, at, 1000, ranges, 0)));
    right.onSend(numbers(10, FRAME.maxStreamData, 0, 900));
    left.onSend(stream(2, 0, 500, 400));
    expect(left.packets + right.packets).toBe(4);
  });

  it.each<[string, (left: WireTap, right: WireTap) => void]>([
    ["packet number 4 after 4", (left) => [4, 4].forEach((n) => void left.onSend(numbers(n, FRAME.ping)))],
    [
      "credit shrank",
      (left) => [2000, 1999].forEach((limit, n) => void left.onSend(numbers(n, FRAME.maxData, limit))),
    ],
    [
      "credit shrank",
      (left) => [600, 599].forEach((limit, n) => void left.onSend(numbers(n, FRAME.maxStreamData, 0, limit))),
    ],
    ["overdrew stream 4", (left) => left.onSend(stream(0, 4, 400, 101))],
    [
      "overdrew the connection",
      (left) => [0, 1, 4].forEach((id, n) => void left.onSend(stream(n, id, 0, 400))),
    ],
    ["beyond the allowance", (left) => left.onSend(stream(0, 8, 0, 1))],
    [
      "never arrived",
      (_left, right) => {
        const ranges = new RangeSet();
        ranges.add(0, 3);
        right.onReceive(stream(0, 0, 0, 1));
        right.onSend(packet(0, (bytes, at) => writeAck(bytes, at, 1000, ranges, 0)));
      },
    ],
    [
      "after CLOSE",
      (left) => {
        left.onSend(numbers(0, FRAME.close, 0, 0));
        left.onSend(numbers(1, FRAME.ping));
      },
    ],
    ["cannot be read", (left) => left.onSend(numbers(0, 0x2d))],
    ["without frames", (left) => left.onSend(packet(0, (_bytes, at) => at))],
  ])("reports: %s", (message, act) => {
    const [left, right] = taps();
    expect(() => act(left, right)).toThrow(message);
  });
});

/** Bad input and attacks on a link that stands: what is replayed, forged, cut, moved or sealed too often. */
import { describe, expect, it } from "vitest";
import { HandshakeRoute } from "../../src/engine/handshake/handshake-route.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { packetNumberOf, writeHeader } from "../../src/wire/packet.ts";
import { Random } from "../sim/random.ts";
import { answer, newInitiator, newResponder } from "../unit/engine/handshake-sides.ts";
import { HOME, type Parcel, STRANGER, TwoEnds } from "./two-ends.ts";

const TEXT = new Random(5, "text").bytes(60_000);
const isData = (bytes: Uint8Array): boolean => (bytes[0]! & 0xf0) === 0xc0;

/** Sends the text over a link and sees that it arrives as it was. */
function talk(two: TwoEnds): void {
  two.ends[0].say(TEXT);
  two.run(30_000, () => two.ends[1].isFinished);
  expect(two.ends[1].text.equals(TEXT)).toBe(true);
  expect(two.ends.map((end) => end.isClosed)).toEqual([false, false]);
}

/** A datagram of a linked pair under the right keys, made by `make`, that the other side has not seen. */
function capture(two: TwoEnds, make: () => void): Parcel[] {
  const held: Parcel[] = [];
  const { onWire } = two;
  two.onWire = (parcel) => {
    held.push(parcel);
    return [];
  };
  make();
  two.drain();
  two.onWire = onWire;
  expect(held.length).toBeGreaterThan(0);
  return held;
}

describe("every packet", () => {
  it("1 · of a link, cut short anywhere or going on behind its end, is dropped and the link is unharmed", () => {
    const two = new TwoEnds().link();
    let cuts = 0;
    two.onWire = (parcel) => {
      if (!isData(parcel.bytes) || cuts > 20_000) return [parcel];
      const cut: Parcel[] = [];
      for (let length = 0; length < parcel.bytes.length; length += 1 + (cuts % 5)) {
        cut.push({ ...parcel, bytes: parcel.bytes.slice(0, length) });
        cuts++;
      }
      return [...cut, { ...parcel, bytes: Uint8Array.of(...parcel.bytes, 0xc0, 1, 2) }];
    };
    talk(two);
    expect(cuts).toBeGreaterThan(20_000);
  });

  it("2 · of a link with any one bit turned over is dropped and the link is unharmed", () => {
    const two = new TwoEnds().link();
    const [genuine] = capture(two, () => two.ends[0].say(TEXT.subarray(0, 100)));
    const { bytes } = genuine!;
    const target = two.ends[1].connection;
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = Uint8Array.from(bytes);
      copy[bit >>> 3]! ^= 1 << (bit & 7);
      target.handleDatagram(two.now, HOME[0], copy);
      two.ends[1].drainInto(two.now, () => undefined);
      expect(two.ends[1].received, `bit ${bit}`).toEqual([]);
    }
    two.inject(genuine!);
    two.run(100);
    expect(two.ends[1].text.equals(TEXT.subarray(0, 100))).toBe(true);
  });
});

describe("an answer", () => {
  it("3 · from an address that was not asked is ignored, and the genuine one still counts", () => {
    for (const mode of ["key", "code"] as const) {
      const initiator = newInitiator(mode);
      const responder = newResponder();
      const route = new HandshakeRoute(0, initiator, [HOME[1]]);
      const sent = { buffer: new Uint8Array(1200), length: 0, segmentBytes: 0, path: HOME[0] };
      expect(route.pollTransmit(0, sent)).toBe(true);
      const reply = answer(responder, sent.buffer.slice())!;
      expect(route.handlePacket(1, STRANGER, reply)).toBe("ignored");
      expect(route.pollTransmit(1, sent)).toBe(false);
      expect(route.handlePacket(1, HOME[1], reply)).toBe("advanced");
    }
  });
});

describe("a replay", () => {
  it("6 · of a whole capture has no effect on the link that it was taken from", () => {
    const two = new TwoEnds({ mode: "code" }).link();
    talk(two);
    const capture = [...two.sent];
    const before = two.ends.map(({ connection }) => connection.stats.receivedPackets);
    for (const { from, bytes } of capture) {
      for (const source of [HOME[from], STRANGER]) {
        two.inject({ to: from === 0 ? 1 : 0, bytes, from: source });
      }
    }
    two.run(5000);
    expect(two.ends[1].text.length, "no byte came twice").toBe(TEXT.length);
    expect(two.ends.map((end) => end.connection.path)).toEqual([HOME[1], HOME[0]]);
    // What is received beyond are the keep-alives of those five seconds, and what is answered to them.
    for (const [side, { connection }] of two.ends.entries()) {
      expect(connection.stats.receivedPackets - before[side]!).toBeLessThan(10);
      expect(connection.stats.droppedPackets).toBeGreaterThan(capture.length / 4);
    }
    talkBack(two);
  });

  it("7 · of a single packet, at once or much later, is dropped", () => {
    const two = new TwoEnds().link();
    const [packet] = capture(two, () => two.ends[0].say(TEXT.subarray(0, 10)));
    const { connection } = two.ends[1];
    const deliver = (): number => {
      const before = connection.stats.droppedPackets;
      connection.handleDatagram(two.now, HOME[0], Uint8Array.from(packet!.bytes));
      return connection.stats.droppedPackets - before;
    };
    expect(deliver()).toBe(0);
    expect(deliver(), "twice").toBe(1);
    two.run(20_000);
    sayAWord(two);
    expect(deliver(), "behind the window or in it").toBe(1);
  });
});

describe("a forged packet number", () => {
  it("8 · far in the future leaves the window where it is", () => {
    const two = new TwoEnds().link();
    const [genuine] = capture(two, () => two.ends[0].say(TEXT.subarray(0, 10)));
    const number = packetNumberOf(genuine!.bytes, 0);
    for (const far of [number + 1, number + 8192, number + 100_000, 2 ** 40, 2 ** 48 - 1]) {
      const forged = Uint8Array.from(genuine!.bytes);
      const sealedBytes = forged.length - 17;
      writeHeader(forged, 0, 0, forged.slice(1, 9), far, sealedBytes);
      two.inject({ to: 1, bytes: forged });
    }
    two.run(20);
    two.inject(genuine!);
    two.run(20);
    expect(two.ends[1].text.length, "the genuine one is still in the window").toBe(10);
    sayAWord(two);
  });
});

describe("a move that is none", () => {
  it("23 · an old packet from a new address leaves the path as it is", () => {
    const two = new TwoEnds().link();
    const held = capture(two, () => two.ends[0].say(TEXT.subarray(0, 5000)));
    // The newest arrives by its path, an older one, unseen so far, from elsewhere.
    two.inject(held.at(-1)!);
    two.run(20);
    const strange: number[] = [];
    two.onWire = (parcel, path) => {
      if (path === STRANGER) strange.push(parcel.bytes.length);
      return [parcel];
    };
    two.inject({ ...held[0]!, from: STRANGER });
    two.run(3000);
    expect(two.ends[1].connection.path).toEqual(HOME[0]);
    expect(strange).toEqual([]);
  });

  it("24 · an address that never answers the challenge gets three times what came from it, and the old path stays", () => {
    const two = new TwoEnds().link();
    const held = capture(two, () => two.ends[0].say(TEXT.subarray(0, 300)));
    let toStranger = 0;
    two.onWire = (parcel, path) => {
      if (path !== STRANGER) return [parcel];
      toStranger += parcel.bytes.length;
      return [];
    };
    const newest = held.at(-1)!;
    two.inject({ ...newest, from: STRANGER });
    two.run(15);
    // More to say than may go there.
    two.ends[1].say(TEXT);
    two.run(15_000, () => two.ends[0].isFinished);
    expect(toStranger).toBeGreaterThan(0);
    expect(toStranger).toBeLessThanOrEqual(3 * newest.bytes.length);
    expect(two.ends[1].connection.path).toEqual(HOME[0]);
    expect(two.ends[0].text.equals(TEXT), "what was under way has arrived by the old path").toBe(true);
  });
});

describe("a forged end", () => {
  it("25 · a CLOSE without the keys, and ICMP with nothing behind it, are ignored", () => {
    const two = new TwoEnds().link();
    const [genuine] = capture(two, () => two.ends[0].connection.ping());
    const key = nodePrimitives.aead.key(new Uint8Array(32));
    for (const source of [HOME[0], STRANGER]) {
      for (let epoch = 0; epoch < 4; epoch++) {
        const forged = new Uint8Array(17 + 4 + 16);
        const number = packetNumberOf(genuine!.bytes, 0) + 1 + epoch;
        const at = writeHeader(forged, 0, epoch, genuine!.bytes.slice(1, 9), number, 20);
        forged.set([0x1c, 0, 0, 0], at);
        key.seal(forged, 0, at, at + 4, number);
        two.inject({ to: 1, bytes: forged, from: source });
      }
    }
    two.run(1000);
    expect(two.ends.map((end) => [end.isClosed, end.connection.state])).toEqual([
      [false, "established"],
      [false, "established"],
    ]);
    sayAWord(two);
  });
});

describe("a key update", () => {
  it("27 · asked for by both at once, under load in both directions, ends in one epoch, again and again", () => {
    const two = new TwoEnds().link();
    two.ends[0].say(new Uint8Array(2_000_000).fill(1));
    two.ends[1].say(new Uint8Array(2_000_000).fill(2));
    const [a, b] = two.ends;
    for (let round = 1; round <= 6; round++) {
      // biome-ignore lint/suspicious/noExplicitAny: both are to ask in the same instant, which no command does
      for (const { connection } of two.ends) (connection as any).link.parts.keys.request();
      two.run(150);
      expect([a.connection.epoch, b.connection.epoch], `round ${round}`).toEqual([round, round]);
    }
    two.run(60_000, () => two.ends.every((end) => end.isFinished));
    expect([a.text.length, b.text.length]).toEqual([2_000_000, 2_000_000]);
    expect(two.nonces.reuses).toEqual([]);
  });
});

describe("a packet number", () => {
  it("28 · at the hard limit is not sent: the link ends instead", () => {
    const limit = 2 ** 48;
    const two = new TwoEnds({ firstPacketNumber: limit - 6000 }).link();
    two.ends[0].say(new Uint8Array(6_000_000));
    two.run(30_000, () => two.ends[0].isClosed);
    expect(two.ends[0].isClosed).toBe(true);
    const numbers = two.sent
      .filter(({ bytes }) => isData(bytes))
      .map(({ bytes }) => packetNumberOf(bytes, 0));
    expect(Math.max(...numbers)).toBeLessThan(limit);
    expect(two.nonces.reuses).toEqual([]);
  });

  it("33 · seals once under each key, over handshake, loss, moves and key updates", () => {
    for (const mode of ["key", "secret", "ticket", "code", "passphrase"] as const) {
      const random = new Random(9, mode);
      const two = new TwoEnds({ mode, rekey: { afterMs: 120_000, afterPackets: 60 } });
      two.onWire = (parcel) => {
        if (random.chance(0.1)) return [];
        return random.chance(0.1) ? [parcel, { ...parcel, delayMs: 200 }] : [parcel];
      };
      two.link();
      talk(two);
      talkBack(two);
      expect(two.nonces.reuses).toEqual([]);
      expect(two.nonces.sealedPackets).toBeGreaterThan(60);
      expect(two.ends[0].connection.epoch).toBeGreaterThan(0);
    }
  });
});

describe("the clock", () => {
  it("35 · that jumps over a suspend ends nothing by itself: the link is asked at once and goes on", () => {
    const two = new TwoEnds({ idleTimeoutMs: 60_000 }).link();
    for (const sleepMs of [59_000, 600_000, 86_400_000]) {
      // Both sleep: no timer runs, and nothing arrives.
      two.now += sleepMs;
      for (const { connection } of two.ends) connection.handleWake(two.now);
      two.run(2000);
      expect(two.ends.map((end) => end.connection.state)).toEqual(["established", "established"]);
    }
    sayAWord(two);
  });
});

/** The other direction, on a link that has carried the text already. */
function talkBack(two: TwoEnds): void {
  two.ends[1].say(TEXT);
  two.run(30_000, () => two.ends[0].isFinished);
  expect(two.ends[0].text.equals(TEXT)).toBe(true);
}

/** A word on a stream of its own: the link works, whatever was said before. */
function sayAWord(two: TwoEnds): void {
  const before = two.ends[1].text.length;
  two.ends[0].say(TEXT.subarray(0, 1000));
  two.run(10_000, () => two.ends[1].text.length >= before + 1000);
  expect(two.ends[1].text.subarray(before).equals(TEXT.subarray(0, 1000))).toBe(true);
}

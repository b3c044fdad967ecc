import { describe, expect, it } from "vitest";
import type { AeadKey } from "../../../src/crypto/primitives.ts";
import type { HandshakeKeys, Role } from "../../../src/engine/handshake/handshake-config.ts";
import { KeyUpdate } from "../../../src/engine/handshake/key-update.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import { FrameCursor } from "../../../src/wire/frames.ts";

const PTO_MS = 50;
const fill = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

function keysOf(role: Role): HandshakeKeys {
  const [mine, theirs] = role === "initiator" ? [1, 2] : [2, 1];
  return {
    mode: "key",
    role,
    sendKey: fill(32, mine),
    receiveKey: fill(32, theirs),
    handshakeHash: fill(32, 3),
    rekeySecret: fill(32, 4),
    exporterSecret: fill(32, 7),
    peerStatic: fill(32, 5),
    peerConnectionId: fill(8, 6),
    peerParameters: fill(0, 0),
    version: 0,
  };
}

function side(role: Role): KeyUpdate {
  let seed = role === "initiator" ? 10 : 20;
  const limits = { afterMs: 1000, afterPackets: 1000 };
  return new KeyUpdate(0, keysOf(role), nodePrimitives, (length) => fill(length, ++seed), limits);
}

/** Moves the frame that `from` has waiting to `to`; returns the frame's bytes. */
function carry(from: KeyUpdate, to: KeyUpdate, nowMs = 0): Uint8Array {
  const bytes = new Uint8Array(128);
  const end = from.writeFrame(bytes, 0);
  const frame = new FrameCursor();
  frame.reset(bytes, 0, end);
  expect(frame.next()).toBe(true);
  to.onFrame(nowMs, frame.id, frame.code, bytes.slice(frame.start, frame.end));
  return bytes.slice(0, end);
}

function opens(seal: AeadKey, open: AeadKey | undefined): boolean {
  const bytes = fill(64, 7);
  seal.seal(bytes, 0, 8, 40, 99);
  return open?.open(bytes, 0, 8, 40, 99) ?? false;
}

function expectLinked(a: KeyUpdate, b: KeyUpdate): void {
  expect(opens(a.sealKey, b.openKeyOf(a.epoch & 3))).toBe(true);
  expect(opens(b.sealKey, a.openKeyOf(b.epoch & 3))).toBe(true);
}

describe("key update", () => {
  it("moves both sides to one new epoch, and the answerer only after it has seen it used", () => {
    const a = side("initiator");
    const b = side("responder");
    b.request();
    carry(b, a);
    expect(a.hasFrame).toBe(true);
    expect(a.epoch).toBe(0);
    carry(a, b);
    expect(b.epoch).toBe(1);
    expectLinked(a, b);
    expect(a.onOpened(0, 1, PTO_MS)).toBe(true);
    expect(a.epoch).toBe(1);
    expectLinked(a, b);
  });

  it("ends in one epoch when both ask at once", () => {
    const a = side("initiator");
    const b = side("responder");
    a.request();
    b.request();
    const [fromA, fromB] = [new Uint8Array(128), new Uint8Array(128)];
    const ends = [a.writeFrame(fromA, 0), b.writeFrame(fromB, 0)];
    const frame = new FrameCursor();
    frame.reset(fromA, 0, ends[0]!);
    frame.next();
    b.onFrame(0, frame.id, frame.code, fromA.slice(frame.start, frame.end));
    frame.reset(fromB, 0, ends[1]!);
    frame.next();
    a.onFrame(0, frame.id, frame.code, fromB.slice(frame.start, frame.end));
    expect(a.hasFrame).toBe(false);
    carry(b, a);
    b.onOpened(0, 1, PTO_MS);
    expect([a.epoch, b.epoch]).toEqual([1, 1]);
    expectLinked(a, b);
  });

  it("goes on through many epochs, and keeps the old key for packets under way only", () => {
    const a = side("initiator");
    const b = side("responder");
    const first = a.sealKey;
    for (let epoch = 1; epoch <= 9; epoch++) {
      const [asker, answerer] = epoch % 2 ? [a, b] : [b, a];
      asker.request();
      carry(asker, answerer, epoch * 1000);
      carry(answerer, asker, epoch * 1000);
      answerer.onOpened(epoch * 1000, epoch & 3, PTO_MS);
      asker.onOpened(epoch * 1000, epoch & 3, PTO_MS);
      expect([a.epoch, b.epoch]).toEqual([epoch, epoch]);
      expectLinked(a, b);
      if (epoch === 1) expect(opens(first, b.openKeyOf(0))).toBe(true);
      a.handleTimeout(epoch * 1000 + 3 * PTO_MS);
      b.handleTimeout(epoch * 1000 + 3 * PTO_MS);
      if (epoch === 1) expect(b.openKeyOf(0)).toBeUndefined();
    }
  });

  it("repeats a lost frame with the same bytes, and takes a repeated one as nothing new", () => {
    const a = side("initiator");
    const b = side("responder");
    a.request();
    const value = a.recordValue;
    const bytes = new Uint8Array(128);
    a.writeFrame(bytes, 0);
    a.onFrameLost(value);
    expect(a.hasFrame).toBe(true);
    const again = carry(a, b);
    expect(again).toEqual(bytes.slice(0, again.length));
    carry(b, a);
    const frame = new FrameCursor();
    frame.reset(again, 0, again.length);
    frame.next();
    b.onFrame(0, frame.id, frame.code, again.slice(frame.start, frame.end));
    b.onOpened(0, 1, PTO_MS);
    expectLinked(a, b);
    a.onFrameLost(value);
    expect(a.hasFrame).toBe(false);
  });

  it("keeps the old key until the peer has used the new one, however long that takes", () => {
    const a = side("initiator");
    const b = side("responder");
    const old = b.sealKey;
    a.request();
    carry(a, b);
    carry(b, a);
    a.handleTimeout(100_000);
    expect(opens(old, a.openKeyOf(0))).toBe(true);
    a.onOpened(100_000, 1, PTO_MS);
    a.handleTimeout(100_000 + 3 * PTO_MS);
    expect(a.openKeyOf(0)).toBeUndefined();
  });

  it("comes due by time in use and by packets, and refuses forged exchanges", () => {
    const a = side("initiator");
    expect(a.isDue(5000)).toBe(false);
    for (let i = 0; i < 1000; i++) a.countSealed();
    expect(a.isDue(0)).toBe(true);
    expect(() => a.onFrame(0, 1, 2, fill(48, 1))).toThrow();
    expect(() => a.onFrame(0, 5, 1, fill(48, 1))).toThrow();
    expect(() => a.onFrame(0, 1, 1, fill(48, 1))).toThrow();
    expect(() => a.onFrame(0, 1, 1, fill(47, 1))).toThrow();
    expect(a.epoch).toBe(0);
  });
});

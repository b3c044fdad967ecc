/** Frames and floods of a malicious peer for tests, and what becomes of its victim. */
import { expect } from "vitest";
import { ERRORS, type ErrorCode } from "../../../src/base/errors.ts";
import { RangeSet } from "../../../src/base/range-set.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import { FRAME, writeAck, writeNumbers, writeStreamHeader } from "../../../src/wire/frames.ts";
import { EVENT, type FrameWrite, MaliciousPeer, type PeerOptions } from "../../fuzz/malicious-peer.ts";

export const ROLES = ["initiator", "responder"] as const;
export const LARGE = Number.MAX_SAFE_INTEGER;

export function against(role: (typeof ROLES)[number], options: Partial<PeerOptions> = {}): MaliciousPeer {
  return new MaliciousPeer({ primitives: nodePrimitives, victimRole: role, ...options });
}

/** First stream of the peer, and of the victim. */
export const firstOf = (peer: MaliciousPeer): number => (peer.victim.role === "responder" ? 0 : 1);
export const ownOf = (peer: MaliciousPeer): number => 1 - firstOf(peer);

export function stream(id: number, offset: number, byteLength: number, fin = false): FrameWrite {
  return (bytes, at) => {
    const payload = writeStreamHeader(bytes, at, id, offset, byteLength, fin, true);
    bytes.fill(0x61, payload, payload + byteLength);
    return payload + byteLength;
  };
}

export function numbers(type: number, ...values: number[]): FrameWrite {
  return (bytes, at) => writeNumbers(bytes, at, type, values[0], values[1], values[2]);
}

export function ack(...ranges: [number, number][]): FrameWrite {
  const set = new RangeSet();
  for (const [start, end] of ranges) set.add(start, end + 1);
  return (bytes, at) => writeAck(bytes, at, at + 1000, set, 0);
}

/** As many of these frames as one packet of a common size holds. */
export function packed(
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
export function flood(
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

export function expectClosed(peer: MaliciousPeer, code: ErrorCode): void {
  expect(peer.victim.closeCause?.code).toBe(code);
  expect(peer.victim.closeCause?.origin).toBe("remote");
  expect(peer.close?.errorCode).toBe(ERRORS[code].wire);
  expect(peer.victim.state).toBe("closing");
  expect(peer.events.get(EVENT.closed)).toBe(1);
  peer.elapse(60_000);
  expect(peer.victim.state).toBe("closed");
}

/** The link goes on, and does what it is for. */
export function expectUnharmed(peer: MaliciousPeer): void {
  expect(peer.close).toBeUndefined();
  const before = peer.frames.get(FRAME.ack) ?? 0;
  peer.send(numbers(FRAME.ping));
  peer.send(numbers(FRAME.ping));
  peer.elapse(30);
  expect(peer.frames.get(FRAME.ack) ?? 0).toBeGreaterThan(before);
  expect(peer.victim.state).toBe("established");
}

import { describe, expect, it } from "vitest";
import { ERRORS } from "../../../src/base/errors.ts";
import { DEFAULT_PARAMETERS } from "../../../src/engine/connection/transport-parameters.ts";
import {
  FRAME,
  writeClose,
  writeDatagramHeader,
  writeNewConnectionId,
  writeNumbers,
  writePathToken,
  writeRekey,
} from "../../../src/wire/frames.ts";
import type { FrameWrite, MaliciousPeer } from "../../fuzz/malicious-peer.ts";
import {
  ack,
  against,
  expectClosed,
  expectUnharmed,
  firstOf,
  flood,
  LARGE,
  numbers,
  ownOf,
  ROLES,
  stream,
} from "./malicious-frames.ts";

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

    it("is traced once when it breaks the protocol, as the origin of the end", () => {
      const peer = against(role);
      const closed: unknown[][] = [];
      const trace =
        (name: string | symbol) => (_nowMs: number, state: unknown, origin: unknown, code: unknown) => {
          if (name === "closed") closed.push([state, origin, code]);
        };
      Object.assign(peer.victim, { tracer: new Proxy({}, { get: (_target, name) => trace(name) }) });
      peer.send(ack([LARGE, LARGE]));
      expect(closed).toEqual([["closing", "remote", "ERR_PROTOCOL"]]);
    });

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
  });

  describe("that opens streams", () => {
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
      peer.keys.request();
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
      // Answered, so that an honest one would know.
      expect(peer.close).toMatchObject({ errorCode: 0 });
      expect(peer.frames.get(FRAME.close)).toBe(1);
      for (let n = 0; n < 1000; n++) peer.send((bytes, at) => writeClose(bytes, at, 0, new Uint8Array(0)));
      expect(peer.frames.get(FRAME.close)).toBeLessThanOrEqual(32);
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

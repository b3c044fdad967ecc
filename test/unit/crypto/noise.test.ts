/** What the Noise vectors do not show: forged, repeated and misplaced messages, and misuse. */
import { describe, expect, it } from "vitest";
import { toHex, utf8Encode } from "../../../src/base/bytes.ts";
import { noblePrimitives } from "../../../src/crypto/noble.ts";
import { NoiseHandshake, type NoiseOptions, type NoisePattern } from "../../../src/crypto/noise.ts";
import type { AeadKey, KeyPair, Primitives } from "../../../src/crypto/primitives.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";

const INTERNAL = expect.objectContaining({ code: "ERR_INTERNAL" });

function keyPair(seed: number): KeyPair {
  const secretKey = new Uint8Array(32).fill(seed);
  return { secretKey, publicKey: nodePrimitives.x25519.publicKey(secretKey) };
}

const KEYS = { initiator: keyPair(1), responder: keyPair(2) };
const PSK = new Uint8Array(32).fill(3);

function options(
  pattern: NoisePattern,
  role: "initiator" | "responder",
  changes: Partial<NoiseOptions> = {},
): NoiseOptions {
  const other = role === "initiator" ? "responder" : "initiator";
  const knowsOther = pattern === "KK" || (pattern === "IK" && role === "initiator");
  return {
    pattern,
    role,
    prologue: utf8Encode("prologue"),
    primitives: nodePrimitives,
    ephemeral: keyPair(role === "initiator" ? 11 : 12),
    ...(pattern.startsWith("NN") ? {} : { staticKeys: KEYS[role] }),
    ...(pattern.includes("psk") ? { psk: PSK } : {}),
    ...(knowsOther ? { remoteStatic: KEYS[other].publicKey } : {}),
    ...changes,
  };
}

function pairOf(
  pattern: NoisePattern,
  changes: Partial<NoiseOptions> = {},
): [NoiseHandshake, NoiseHandshake] {
  return [
    new NoiseHandshake(options(pattern, "initiator")),
    new NoiseHandshake(options(pattern, "responder", changes)),
  ];
}

/** Runs to the end, with `meddle` called on each message before it is read. */
function complete(
  [initiator, responder]: [NoiseHandshake, NoiseHandshake],
  meddle: (reader: NoiseHandshake, message: Uint8Array, index: number) => void = () => {},
): void {
  for (let index = 0; !initiator.isComplete; index++) {
    const [writer, reader] = index % 2 === 0 ? [initiator, responder] : [responder, initiator];
    const message = writer.writeMessage(utf8Encode(`payload ${index}`));
    meddle(reader, message, index);
    expect(toHex(reader.readMessage(message)!)).toBe(toHex(utf8Encode(`payload ${index}`)));
  }
  expect(responder.isComplete).toBe(true);
}

const PATTERNS: NoisePattern[] = ["NN", "NNpsk0", "XX", "XXpsk0", "XXpsk3", "KK", "IK"];

/** Whether a message carries a tag: all do, except first ones of patterns with neither psk nor known keys. */
function isSealed(pattern: NoisePattern, index: number): boolean {
  return index > 0 || !["NN", "XX"].includes(pattern);
}

describe.each(PATTERNS)("a handshake %s", (pattern) => {
  it("gives both sides the same keys, exports and hash", () => {
    const [initiator, responder] = pairOf(pattern);
    complete([initiator, responder]);
    expect(initiator.split()).toEqual(responder.split());
    expect(initiator.handshakeHash).toEqual(responder.handshakeHash);
    expect(initiator.exporter("rekey")).toEqual(responder.exporter("rekey"));
    expect(initiator.exporter("rekey").length).toBe(32);
  });

  it("tells the keys of each direction, the exports of each label and the hash apart", () => {
    const [initiator, responder] = pairOf(pattern);
    complete([initiator, responder]);
    const { initiatorKey, responderKey } = initiator.split();
    const exports = ["", "rekey", "rekey2"].map((label) => initiator.exporter(label));
    const all = [initiatorKey, responderKey, ...exports, initiator.handshakeHash];
    expect(new Set(all.map(toHex)).size).toBe(all.length);
  });

  it("ignores messages that are cut, longer, old or out of turn, and completes with the genuine ones", () => {
    const pair = pairOf(pattern);
    let last: Uint8Array | undefined;
    complete(pair, (reader, message, index) => {
      const before = [reader.handshakeHash, reader.remoteStatic];
      const cutEnd = isSealed(pattern, index) ? message.length : 32;
      for (let length = 0; length < cutEnd; length++) {
        expect(reader.readMessage(message.subarray(0, length)), `${length} bytes`).toBeUndefined();
      }
      const tooLong = new Uint8Array(65_536);
      tooLong.set(message);
      expect(reader.readMessage(tooLong)).toBeUndefined();
      if (isSealed(pattern, index)) expect(reader.readMessage(Uint8Array.of(...message, 0))).toBeUndefined();
      if (last !== undefined) expect(reader.readMessage(last)).toBeUndefined();
      expect([reader.handshakeHash, reader.remoteStatic]).toEqual(before);
      last = message;
      // The writer's own message, reflected.
      expect(pair.find((side) => side !== reader)!.readMessage(message)).toBeUndefined();
    });
    for (const side of pair) expect(side.readMessage(last!)).toBeUndefined();
  });

  it("reads nothing before it has begun what it is to begin", () => {
    const [initiator, other] = [0, 1].map(() => new NoiseHandshake(options(pattern, "initiator")));
    expect(initiator!.readMessage(other!.writeMessage(new Uint8Array(0)))).toBeUndefined();
    expect(initiator!.writeMessage(new Uint8Array(0)).length).toBeGreaterThanOrEqual(32);
  });

  it("ignores a message in which any bit was flipped, writes nothing into it, and reads the genuine one", () => {
    let flipped = 0;
    complete(pairOf(pattern), (reader, message, index) => {
      if (!isSealed(pattern, index)) return;
      const before = [reader.handshakeHash, reader.remoteStatic];
      // Steps of 7 visit each bit position in turn and leave out few bytes.
      for (let bit = 0; bit < message.length * 8; bit += 7, flipped++) {
        const forged = message.slice();
        forged[bit >> 3]! ^= 1 << (bit & 7);
        const sent = toHex(forged);
        expect(reader.readMessage(forged), `bit ${bit}`).toBeUndefined();
        expect(toHex(forged)).toBe(sent);
      }
      expect([reader.handshakeHash, reader.remoteStatic]).toEqual(before);
    });
    expect(flipped).toBeGreaterThan(50);
  });

  it("ignores ephemeral keys of low order, which would make the answer impossible", () => {
    complete(pairOf(pattern), (reader, message, index) => {
      if (message.length < 32 || index > 1) return;
      for (const lowOrder of [0, 1]) {
        const forged = message.slice();
        forged.fill(0, 0, 32);
        forged[0] = lowOrder;
        expect(reader.readMessage(forged)).toBeUndefined();
      }
    });
  });

  it("fails when the prologues differ", () => {
    const [initiator, responder] = pairOf(pattern, { prologue: utf8Encode("another") });
    const first = responder.readMessage(initiator.writeMessage(new Uint8Array(0)));
    if (isSealed(pattern, 0)) expect(first).toBeUndefined();
    else expect(initiator.readMessage(responder.writeMessage(new Uint8Array(0)))).toBeUndefined();
  });

  it("seals nothing twice under one key and nonce, whatever arrives in between", () => {
    const sealed = new Map<string, string>();
    const recording = { ...nodePrimitives, aead: recordingAead(sealed) };
    const pair: [NoiseHandshake, NoiseHandshake] = [
      new NoiseHandshake(options(pattern, "initiator", { primitives: recording })),
      new NoiseHandshake(options(pattern, "responder", { primitives: recording })),
    ];
    complete(pair, (reader, message, index) => {
      if (isSealed(pattern, index)) reader.readMessage(message.map((byte) => byte ^ 1));
    });
    expect(sealed.size).toBeGreaterThan(0);
  });

  it("completes between the two providers", () => {
    const pair = pairOf(pattern, { primitives: noblePrimitives });
    complete(pair);
    expect(pair[0].split()).toEqual(pair[1].split());
  });
});

/** node's AEAD, with every seal written down; a repeated key and nonce for another input is a throw. */
function recordingAead(sealed: Map<string, string>): Primitives["aead"] {
  return {
    name: "recording",
    key(keyBytes: Uint8Array): AeadKey {
      const key = nodePrimitives.aead.key(keyBytes);
      const keyText = toHex(keyBytes);
      return {
        seal(bytes, adStart, textStart, textEnd, packetNumber) {
          const point = `${keyText}/${packetNumber}`;
          const input = toHex(bytes.subarray(adStart, textEnd));
          if ((sealed.get(point) ?? input) !== input) throw new Error(`sealed twice: ${point}`);
          sealed.set(point, input);
          key.seal(bytes, adStart, textStart, textEnd, packetNumber);
        },
        open: (...point) => key.open(...point),
      };
    },
  };
}

describe("Noise and the peer's static key", () => {
  it("is known to the initiator of XX before it sends its own, and to the responder at the end", () => {
    const [initiator, responder] = pairOf("XX");
    const seen: (string | undefined)[] = [];
    complete([initiator, responder], () => {
      seen.push(initiator.remoteStatic && toHex(initiator.remoteStatic));
      expect(responder.remoteStatic).toBeUndefined();
    });
    expect(seen).toEqual([undefined, undefined, toHex(KEYS.responder.publicKey)]);
    expect(responder.remoteStatic).toEqual(KEYS.initiator.publicKey);
  });

  it("is not visible in any message of XX", () => {
    complete(pairOf("XX"), (_reader, message) => {
      for (const { publicKey } of Object.values(KEYS)) expect(toHex(message)).not.toContain(toHex(publicKey));
    });
  });

  it("is refused when it is a point of low order", () => {
    const staticKeys = { secretKey: KEYS.responder.secretKey, publicKey: new Uint8Array(32) };
    const [initiator, responder] = pairOf("XX", { staticKeys });
    expect(responder.readMessage(initiator.writeMessage(new Uint8Array(0)))).toBeDefined();
    expect(initiator.readMessage(responder.writeMessage(new Uint8Array(0)))).toBeUndefined();
    expect(initiator.remoteStatic).toBeUndefined();
  });

  it("cannot be claimed without its secret", () => {
    const staticKeys = { secretKey: new Uint8Array(32).fill(99), publicKey: KEYS.responder.publicKey };
    const [initiator, responder] = pairOf("XX", { staticKeys });
    responder.readMessage(initiator.writeMessage(new Uint8Array(0)));
    expect(initiator.readMessage(responder.writeMessage(new Uint8Array(0)))).toBeUndefined();
  });
});

describe("Noise with a wrong psk", () => {
  it.each(["NNpsk0", "XXpsk0"] as const)("fails at the first message of %s", (pattern) => {
    const [initiator, responder] = pairOf(pattern, { psk: new Uint8Array(32).fill(4) });
    expect(responder.readMessage(initiator.writeMessage(new Uint8Array(0)))).toBeUndefined();
  });
});

describe("misuse of Noise", () => {
  const nothing = new Uint8Array(0);

  it("is writing out of turn, twice, or after the end", () => {
    const [initiator, responder] = pairOf("XX");
    expect(() => responder.writeMessage(nothing)).toThrowError(INTERNAL);
    initiator.writeMessage(nothing);
    expect(() => initiator.writeMessage(nothing)).toThrowError(INTERNAL);
    const pair = pairOf("NN");
    complete(pair);
    for (const side of pair) expect(() => side.writeMessage(nothing)).toThrowError(INTERNAL);
  });

  it("is asking for keys before the end", () => {
    const [initiator] = pairOf("NN");
    initiator.writeMessage(nothing);
    expect(() => initiator.split()).toThrowError(INTERNAL);
    expect(() => initiator.exporter("label")).toThrowError(INTERNAL);
  });

  it("is a payload that makes the message longer than 65535 bytes, and a shorter one still goes", () => {
    const [initiator, responder] = pairOf("XXpsk0");
    expect(() => initiator.writeMessage(new Uint8Array(65535 - 47))).toThrowError(INTERNAL);
    const message = initiator.writeMessage(new Uint8Array(65535 - 48));
    expect(message.length).toBe(65535);
    expect(responder.readMessage(message)?.length).toBe(65535 - 48);
  });

  it("is leaving out a key that the pattern takes, giving one that it does not take, or a wrong length", () => {
    const { staticKeys: _, ...withoutStatic } = options("XX", "initiator");
    expect(() => new NoiseHandshake(withoutStatic)).toThrowError(INTERNAL);
    const { psk: __, ...withoutPsk } = options("XXpsk0", "initiator");
    expect(() => new NoiseHandshake(withoutPsk)).toThrowError(INTERNAL);
    const { remoteStatic: ___, ...withoutRemote } = options("IK", "initiator");
    expect(() => new NoiseHandshake(withoutRemote)).toThrowError(INTERNAL);
    expect(() => new NoiseHandshake(options("XX", "initiator", { psk: PSK }))).toThrowError(INTERNAL);
    expect(() => new NoiseHandshake(options("NN", "initiator", { staticKeys: KEYS.initiator }))).toThrowError(
      INTERNAL,
    );
    expect(() => new NoiseHandshake(options("XX", "initiator", { remoteStatic: PSK }))).toThrowError(
      INTERNAL,
    );
    expect(() => new NoiseHandshake(options("XXpsk0", "initiator", { psk: PSK.subarray(1) }))).toThrowError(
      INTERNAL,
    );
  });

  it("is a known static key of low order", () => {
    const initiator = new NoiseHandshake(options("IK", "initiator", { remoteStatic: new Uint8Array(32) }));
    expect(() => initiator.writeMessage(nothing)).toThrowError(INTERNAL);
  });
});

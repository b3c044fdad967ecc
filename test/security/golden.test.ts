/**
 * What is this protocol's own, against a second computation (reference.ts) and against bytes that were set down when
 * both agreed: whoever changes the wire changes this file, and the version.
 */
import { scryptSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { GateMac, gateKey } from "../../src/crypto/first-message-mac.ts";
import { Gate } from "../../src/engine/acceptor/gate.ts";
import { KeyUpdate, REKEY_LIMITS } from "../../src/engine/handshake/key-update.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { pointsOfCode } from "../../src/traversal/signalling/rendezvous-point.ts";
import { readClientHello } from "../../src/wire/first-message.ts";
import { FrameCursor } from "../../src/wire/frames.ts";
import { writeHeader } from "../../src/wire/packet.ts";
import { Random } from "../sim/random.ts";
import {
  answer,
  CREDENTIALS,
  configOf,
  INITIATOR_KEYS,
  newInitiator,
  newResponder,
  RESPONDER_KEYS,
  started,
} from "../unit/engine/handshake-sides.ts";
import { hkdf, hmac, ReferenceNoise, utf8, withLengths, xopen } from "./reference.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const NOTHING = Buffer.alloc(0);

describe("the header of a data packet", () => {
  it("stands as drawn: kind and epoch, connection ID, number, length", () => {
    const bytes = new Uint8Array(17);
    writeHeader(bytes, 0, 6, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 0x0102030405ff, 1183);
    expect(hex(bytes)).toBe("c4" + "0102030405060708" + "0102030405ff" + "049f");
  });
});

describe("mac1", () => {
  it.each([
    ["secret", "secret", CREDENTIALS.secret, "srudp/1 gate secret"],
    ["ticket", "ticket", CREDENTIALS.ticket, "srudp/1 gate secret"],
    ["a known key", "key", RESPONDER_KEYS.publicKey, "srudp/1 gate key"],
    ["a code", "code", NOTHING, "srudp/1 gate public"],
  ] as const)("is the documented one (%s)", (_name, mode, material, label) => {
    const first = started(newInitiator(mode, { peerKey: RESPONDER_KEYS.publicKey }));
    const end = 42 + ((first[40]! << 8) | first[41]!);
    const mac1 = hmac(hkdf(material, NOTHING, label), first.subarray(0, end)).subarray(0, 16);
    expect(hex(first.subarray(1152, 1168))).toBe(hex(mac1));
    expect(hex(first.subarray(1168, 1184))).toBe("00".repeat(16));
  });

  it("has the keys that were set down", () => {
    expect(hex(gateKey("public"))).toBe(GOLDEN.publicGate);
    expect(hex(gateKey("secret", new Uint8Array(32).fill(1)))).toBe(GOLDEN.secretGate);
  });
});

describe("the cookie", () => {
  it("is the documented one, from the secret to the proof", () => {
    const drawn: Uint8Array[] = [];
    const random = new Random(3, "cookie");
    const gate = new Gate(0, {
      publicKey: RESPONDER_KEYS.publicKey,
      random: (byteLength) => {
        drawn.push(random.bytes(byteLength));
        return drawn.at(-1)!;
      },
    });
    gate.setCredentials(CREDENTIALS);
    const secret = drawn.find((bytes) => bytes.length === 32)!;
    const initiator = newInitiator("code");
    const first = started(initiator);
    const visitor = gate.examine(first)!;
    let reply = gate.admit(0, visitor, "192.0.2.7", 4242);
    while (reply === "enter") reply = gate.admit(0, visitor, "192.0.2.7", 4242);
    const packet = Buffer.from(reply as Uint8Array);
    const { tieBreak, sourceId, mac1 } = readClientHello(first)!;
    const cookie = hmac(secret, tieBreak, sourceId, Buffer.from([16, 146]), utf8("192.0.2.7")).subarray(
      0,
      16,
    );
    expect(hex(packet.subarray(0, 10))).toBe(`e100${hex(sourceId)}`);
    const sealKey = hmac(utf8("srudp/1 cookie"), tieBreak, sourceId);
    expect(hex(xopen(sealKey, packet.subarray(10, 34), mac1, packet.subarray(34)))).toBe(hex(cookie));
    initiator.handlePacket(0, packet);
    const again = initiator.pollTransmit()!;
    expect(hex(again.subarray(1168, 1184))).toBe(hex(hmac(cookie, mac1).subarray(0, 16)));
    expect(hex(new GateMac(cookie).of(mac1))).toBe(hex(again.subarray(1168, 1184)));
  });
});

describe("a handshake", () => {
  it.each(["secret", "ticket", "key"] as const)(
    "is the reference's, byte by byte, to the last key (%s)",
    (mode) => {
      const initiator = newInitiator(mode);
      const responder = newResponder();
      const first = started(initiator);
      const second = answer(responder, first)!;
      const third = answer(initiator, second)!;
      responder.handlePacket(0, third);

      // What each side drew, in its order: connection ID, then (initiator) tie-break, then the ephemeral key.
      const [a, b] = [configOf(1, {}), configOf(2, { role: "responder" })];
      a.random(16);
      const parties = [
        { e: a.random(32), s: INITIATOR_KEYS.secretKey },
        { e: b.random(32), s: RESPONDER_KEYS.secretKey },
      ] as const;
      const fields = Buffer.concat([
        Buffer.from([0, first[21]!, first[19]!, first[20]!, 0, 0]),
        first.subarray(24, 40),
        first.subarray(11, 19),
        first.subarray(3, 11),
      ]);
      const prologue = withLengths(
        utf8("srudp/1"),
        utf8("25519_ChaChaPoly_SHA256 CPACE-X25519-SHA512"),
        fields,
      );
      const psk = mode === "key" ? undefined : CREDENTIALS[mode];
      const name = `Noise_XX${psk === undefined ? "" : "psk0"}_25519_ChaChaPoly_SHA256`;
      const reference = new ReferenceNoise(name, prologue, parties, psk);
      const body = (bytes: Uint8Array): string =>
        hex(bytes.subarray(42, 42 + ((bytes[40]! << 8) | bytes[41]!)));
      expect(body(first)).toBe(hex(reference.message(0, psk === undefined ? ["e"] : ["psk", "e"], NOTHING)));
      const hello = Buffer.concat([
        Buffer.from([1, 1, 1, 0, 0]),
        b.connectionId,
        utf8("parameters of the responder"),
      ]);
      expect(body(second)).toBe(hex(reference.message(1, ["e", "ee", "s", "es"], hello)));
      expect(body(third)).toBe(hex(reference.message(0, ["s", "se"], utf8("parameters of the initiator"))));
      const [initiatorKey, responderKey] = reference.split();
      for (const side of [initiator, responder]) {
        const { keys } = side;
        const [send, receive] =
          side === initiator ? [initiatorKey, responderKey] : [responderKey, initiatorKey];
        expect(hex(keys!.sendKey)).toBe(hex(send));
        expect(hex(keys!.receiveKey)).toBe(hex(receive));
        expect(hex(keys!.handshakeHash)).toBe(hex(reference.h));
        expect(hex(keys!.rekeySecret)).toBe(hex(reference.exported("srudp/1 rekey")));
        expect(hex(keys!.exporterSecret)).toBe(hex(reference.exported("srudp/1 exporter")));
      }
      if (mode === "secret") expect(hex(reference.h)).toBe(GOLDEN.handshakeHash);
    },
  );
});

describe("a key update", () => {
  it("is the reference's NNpsk0, and so are the keys that come of it", () => {
    const fill = (value: number): Uint8Array => new Uint8Array(32).fill(value);
    const [askerSecret, answererSecret] = [fill(11), fill(12)];
    const side = (role: "initiator" | "responder", secret: Uint8Array): KeyUpdate =>
      new KeyUpdate(
        0,
        {
          mode: "key",
          role,
          sendKey: fill(role === "initiator" ? 1 : 2),
          receiveKey: fill(role === "initiator" ? 2 : 1),
          handshakeHash: fill(3),
          rekeySecret: fill(4),
          exporterSecret: fill(7),
          peerStatic: fill(5),
          peerConnectionId: new Uint8Array(8).fill(6),
          peerParameters: new Uint8Array(0),
          version: 1,
        },
        nodePrimitives,
        () => secret,
        REKEY_LIMITS,
      );
    const [asker, answerer] = [side("initiator", askerSecret), side("responder", answererSecret)];
    const carry = (from: KeyUpdate, to: KeyUpdate): Uint8Array => {
      const bytes = new Uint8Array(128);
      const frame = new FrameCursor();
      frame.reset(bytes, 0, from.writeFrame(bytes, 0));
      frame.next();
      const message = bytes.slice(frame.start, frame.end);
      to.onFrame(0, frame.id, frame.code, message);
      return message;
    };
    asker.request();
    const question = carry(asker, answerer);
    const reply = carry(answerer, asker);
    const prologue = Buffer.concat([utf8("srudp/1 rekey"), fill(3), Buffer.from([0, 0, 0, 1])]);
    const reference = new ReferenceNoise(
      "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
      prologue,
      [{ e: askerSecret }, { e: answererSecret }],
      fill(4),
    );
    expect(hex(question)).toBe(hex(reference.message(0, ["psk", "e"], NOTHING)));
    expect(hex(reply)).toBe(hex(reference.message(1, ["e", "ee"], NOTHING)));
    const sealed = new Uint8Array(48);
    asker.sealKey.seal(sealed, 0, 0, 32, 9);
    const expected = new Uint8Array(48);
    nodePrimitives.aead.key(reference.split()[0]).seal(expected, 0, 0, 32, 9);
    expect(hex(sealed)).toBe(hex(expected));
  });
});

describe("the place of a code", () => {
  it("is scrypt of the code with label and ten minutes as salt, and four values from it", async () => {
    const at = Date.UTC(2026, 10, 22, 12, 3);
    const span = Buffer.alloc(6);
    span.writeUIntBE(at / 600_000 - ((at / 600_000) % 1), 0, 6);
    const label = utf8("srudp/1 place of code");
    const cost = { N: 65_536, r: 8, p: 2, maxmem: 1 << 28 };
    const root = scryptSync("42-ocean-lizard-maple", Buffer.concat([label, span]), 32, cost);
    const { value: point } = await pointsOfCode("42-ocean-lizard-maple", at).next();
    const values = { id: point!.id, seed: point!.seed, seal: point!.sealKey, check: point!.checkKey };
    for (const [name, value] of Object.entries(values)) {
      expect(hex(value), name).toBe(hex(hkdf(root, label, name)));
    }
    expect(hex(point!.id)).toBe(GOLDEN.placeOfCode);
  });
});

/** Set down when code and reference agreed; gate keys and place by a third computation, Python's hashlib. */
const GOLDEN = {
  publicGate: "e7533e5f6e9f13041f93551dd22b8198c470e7bc9e06cb68034f3dd1312f210d",
  secretGate: "07725851d8398a73b199b7d831498c9bac3643548438a9bf9c8172d712738f7e",
  handshakeHash: "bbd9a2fd8e4d4aa3d56f226acbdc2cdedb9e310957c76d1fe0cce29e8344838f",
  placeOfCode: "7785e4b9448fa2bb3d194e36be0e674ad951b9f98072fc862f73195c8ad71b23",
};

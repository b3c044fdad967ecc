import { hkdfSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { concatBytes, utf8Encode } from "../../../src/base/bytes.ts";
import { Cpace } from "../../../src/crypto/cpace.ts";
import { noblePrimitives } from "../../../src/crypto/noble.ts";
import { NoiseHandshake } from "../../../src/crypto/noise.ts";
import { Handshake, type Mode } from "../../../src/engine/handshake/handshake.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import {
  AT,
  answer,
  assertLinked,
  CREDENTIALS,
  carry,
  complete,
  configOf,
  INITIATOR_KEYS,
  keyPair,
  MODES_UNDER_TEST,
  newInitiator,
  newResponder,
  RESPONDER_KEYS,
  started,
} from "./handshake-sides.ts";

describe.each(MODES_UNDER_TEST)("handshake with a %s", (mode) => {
  const withPake = mode === "code" || mode === "passphrase";

  it("links two sides, which know the same of each other", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    complete(initiator, responder);
    assertLinked(initiator, responder);
    expect(initiator.keys).toMatchObject({ mode, role: "initiator", version: 1 });
    expect(initiator.keys!.peerStatic).toEqual(RESPONDER_KEYS.publicKey);
    expect(responder.keys!.peerStatic).toEqual(INITIATOR_KEYS.publicKey);
    expect(initiator.keys!.peerConnectionId).toEqual(configOf(2, {}).connectionId);
    expect(responder.keys!.peerConnectionId).toEqual(configOf(1, {}).connectionId);
    expect(initiator.keys!.peerParameters).toEqual(utf8Encode("parameters of the responder"));
    expect(responder.keys!.peerParameters).toEqual(utf8Encode("parameters of the initiator"));
    expect([initiator.stage, responder.stage]).toEqual(["established", "established"]);
    expect([responder.guessFailed, responder.refusedPeer]).toEqual([false, false]);
  });

  it(`takes ${withPake ? "five packets" : "three packets"} of 1200 bytes`, () => {
    const packets = complete(newInitiator(mode), newResponder());
    expect(packets.map((bytes) => bytes[0]! & 0x0f)).toEqual(withPake ? [0, 1, 2, 3, 4] : [2, 3, 4]);
    expect(packets.every((bytes) => bytes.length === 1200)).toBe(true);
  });

  it("has the responder established by the third message only", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    for (let packet = started(initiator); responder.keys === undefined; ) {
      expect(responder.stage).not.toBe("established");
      const reply = answer(responder, packet);
      if (reply === undefined) break;
      packet = answer(initiator, reply)!;
    }
    expect(initiator.stage).toBe("established");
    assertLinked(initiator, responder);
  });

  it("sends the same bytes for the same random bytes, and others for others", () => {
    const again = complete(newInitiator(mode), newResponder());
    expect(complete(newInitiator(mode), newResponder())).toEqual(again);
    const other = complete(newInitiator(mode, {}, 7), newResponder());
    expect(other[0]!.subarray(AT.body)).not.toEqual(again[0]!.subarray(AT.body));
  });

  it("shows neither static keys nor parameters", () => {
    for (const packet of complete(newInitiator(mode), newResponder())) {
      for (const hidden of [INITIATOR_KEYS.publicKey, RESPONDER_KEYS.publicKey, utf8Encode("parameters")]) {
        expect(Buffer.from(packet).includes(Buffer.from(hidden))).toBe(false);
      }
    }
  });

  it("chooses the highest version that both speak", () => {
    const initiator = newInitiator(mode, { versions: { lowest: 0, highest: 4 } });
    const responder = newResponder({ versions: { lowest: 2, highest: 3 } });
    complete(initiator, responder);
    assertLinked(initiator, responder);
    expect(initiator.keys!.version).toBe(3);
  });

  it("repeats each message, identical, after 250 ms and then ever later up to a second", () => {
    const initiator = newInitiator(mode);
    const first = started(initiator, 1000);
    const times: number[] = [];
    for (let now = 1000; now < 6000; now++) {
      initiator.handleTimeout(now);
      const packet = initiator.pollTransmit();
      if (packet === undefined) continue;
      expect(packet).toEqual(first);
      times.push(now - 1000);
    }
    expect(times).toEqual([250, 625, 1188, 2032, 3032, 4032]);
    const responder = newResponder();
    const second = answer(initiator, answer(responder, first)!, 6000)!;
    expect(initiator.timeoutAt).toBe(6250);
    initiator.handleTimeout(6250);
    expect(initiator.pollTransmit()).toEqual(second);
  });

  it("repeats the last message until the connection has heard the peer", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const last = complete(initiator, responder).at(-1);
    for (let repeats = 0; repeats < 20; repeats++) {
      initiator.handleTimeout(initiator.timeoutAt);
      expect(initiator.pollTransmit()).toEqual(last);
    }
    initiator.confirm();
    expect(initiator.timeoutAt).toBe(Number.POSITIVE_INFINITY);
    initiator.handleTimeout(1e9);
    expect(initiator.pollTransmit()).toBeUndefined();
    assertLinked(initiator, responder);
  });

  it("gives a request that is repeated the answer that it had", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    let request: Uint8Array | undefined = started(initiator);
    for (;;) {
      const reply = answer(responder, request);
      for (let repeats = 0; repeats < 3; repeats++) {
        expect(responder.handlePacket(0, request)).toBe("repeat");
        expect(responder.pollTransmit()).toEqual(reply);
      }
      if (reply === undefined) break;
      request = answer(initiator, reply)!;
      expect(initiator.handlePacket(0, reply), "the answer once more").toBe("ignored");
      expect(initiator.pollTransmit()).toBeUndefined();
    }
    assertLinked(initiator, responder);
  });

  it("has no timer at the responder", () => {
    const responder = newResponder();
    responder.start(0);
    answer(responder, started(newInitiator(mode)));
    expect(responder.timeoutAt).toBe(Number.POSITIVE_INFINITY);
    responder.handleTimeout(1e9);
    expect(responder.pollTransmit()).toBeUndefined();
  });

  it("checks the responder's key before the initiator's own leaves", () => {
    const asked: unknown[] = [];
    const initiator = newInitiator(mode, {
      verifyPeer: (publicKey, askedMode) => {
        asked.push([publicKey, askedMode]);
        return "refuse";
      },
    });
    const packets = complete(initiator, newResponder());
    expect(asked).toEqual([[RESPONDER_KEYS.publicKey, mode]]);
    expect(packets.map((bytes) => bytes[0]! & 0x0f)).not.toContain(4);
    expect([initiator.failure, initiator.keys]).toEqual(["ERR_PEER_KEY", undefined]);
    expect(initiator.timeoutAt).toBe(Number.POSITIVE_INFINITY);
  });

  it("completes at a responder that refuses the initiator's key, so that it can say so under the keys", () => {
    const asked: unknown[] = [];
    const responder = newResponder({
      verifyPeer: (publicKey, askedMode) => {
        asked.push([publicKey, askedMode]);
        return "refuse";
      },
    });
    const initiator = newInitiator(mode);
    complete(initiator, responder);
    expect(asked).toEqual([[INITIATOR_KEYS.publicKey, mode]]);
    expect([responder.refusedPeer, responder.failure]).toEqual([true, undefined]);
    assertLinked(initiator, responder);
  });

  it("parks at the initiator while somebody is asked, and keeps the peer's state warm", () => {
    const initiator = newInitiator(mode, { verifyPeer: () => "ask" });
    const responder = newResponder();
    const packets = complete(initiator, responder);
    expect([initiator.stage, initiator.keys]).toEqual(["asking", undefined]);
    const noise1 = packets.at(-2)!;
    expect(initiator.timeoutAt).toBe(5000);
    initiator.handleTimeout(5000);
    expect(initiator.pollTransmit()).toEqual(noise1);
    expect(initiator.timeoutAt).toBe(10_000);
    initiator.answerPeer(12_000, true);
    carry(initiator.pollTransmit(), responder, initiator, 12_000);
    assertLinked(initiator, responder);
    expect(initiator.timeoutAt).toBe(12_250);
  });

  it("fails at the initiator when the answer is no", () => {
    const initiator = newInitiator(mode, { verifyPeer: () => "ask" });
    complete(initiator, newResponder());
    initiator.answerPeer(9000, false);
    expect(initiator.failure).toBe("ERR_PEER_KEY");
    expect(initiator.pollTransmit()).toBeUndefined();
    initiator.answerPeer(9001, true);
    expect(initiator.failure).toBe("ERR_PEER_KEY");
  });

  it.each([true, false])("parks at the responder until the answer is there (%s)", (accepted) => {
    const responder = newResponder({ verifyPeer: () => "ask" });
    const initiator = newInitiator(mode);
    const last = complete(initiator, responder).at(-1)!;
    expect([responder.stage, responder.keys]).toEqual(["asking", undefined]);
    expect(responder.handlePacket(1, last)).toBe("repeat");
    responder.answerPeer(2, accepted);
    assertLinked(initiator, responder);
    expect(responder.refusedPeer).toBe(!accepted);
  });
});

describe("handshake", () => {
  it("accepts at a responder whichever of its modes is asked for, and no other", () => {
    for (const mode of MODES_UNDER_TEST) {
      const responder = newResponder({ credentials: { [mode]: CREDENTIALS[mode] } });
      for (const other of MODES_UNDER_TEST.filter((name) => name !== mode)) {
        const reply = answer(responder, started(newInitiator(other, {}, 5)));
        expect(reply?.length, `${other} at a responder for ${mode}`).toBe(
          other === "code" || other === "passphrase" ? 28 : undefined,
        );
        expect(responder.stage).toBe("waiting");
      }
      const initiator = newInitiator(mode);
      complete(initiator, responder);
      assertLinked(initiator, responder);
    }
  });

  it("keeps a code and a passphrase of the same letters apart", () => {
    const code = utf8Encode("42-ocean-lizard-maple");
    const initiator = newInitiator("code", { credentials: { code } });
    const responder = newResponder({ credentials: { code: utf8Encode("x"), passphrase: code } });
    complete(initiator, responder);
    expect([initiator.keys, responder.keys]).toEqual([undefined, undefined]);
    expect(responder.guessFailed).toBe(true);
  });

  it("is the same on either set of primitives", () => {
    for (const mode of MODES_UNDER_TEST) {
      const initiator = newInitiator(mode, { primitives: noblePrimitives });
      const responder = newResponder();
      expect(complete(initiator, responder)).toEqual(complete(newInitiator(mode), newResponder()));
      assertLinked(initiator, responder);
    }
  });

  it("refuses a configuration that no correct caller has", () => {
    const attempts: readonly [string, () => Handshake][] = [
      ["connection ID", () => newResponder({ connectionId: new Uint8Array(8) })],
      ["connection ID", () => newResponder({ connectionId: new Uint8Array(7).fill(1) })],
      ["parameters", () => newResponder({ parameters: new Uint8Array(257) })],
      ["version", () => newResponder({ versions: { lowest: 2, highest: 1 } })],
      ["version", () => newResponder({ versions: { lowest: 0, highest: 256 } })],
      ["secret", () => newResponder({ credentials: { secret: new Uint8Array(31) } })],
      ["credential", () => newInitiator("code", { credentials: { key: true } })],
      ["credential", () => new Handshake(configOf(1, { role: "initiator" }))],
    ];
    for (const [complaint, attempt] of attempts) {
      expect(attempt).toThrow(expect.objectContaining({ code: "ERR_INTERNAL" }));
      expect(attempt).toThrow(complaint);
    }
  });

  it("carries the longest parameters both ways", () => {
    const parameters = new Uint8Array(256).fill(9);
    const initiator = newInitiator("passphrase", { parameters });
    const responder = newResponder({ parameters });
    complete(initiator, responder);
    assertLinked(initiator, responder);
    expect(initiator.keys!.peerParameters).toEqual(parameters);
    expect(responder.keys!.peerParameters).toEqual(parameters);
  });

  it("answers a first message that two paths carried under two connection IDs, and links with one of them", () => {
    for (const mode of MODES_UNDER_TEST) {
      const initiator = newInitiator(mode);
      const first = started(initiator);
      const halves = [newResponder({}, 21), newResponder({}, 22)];
      const replies = halves.map((half) => answer(half, first)!);
      const next = replies.map((reply) => answer(initiator, reply));
      expect(next[1]).toBeUndefined();
      carry(next[0], halves[0]!, initiator);
      assertLinked(initiator, halves[0]!);
      expect(halves[1]!.keys).toBeUndefined();
    }
  });
});

/** The key schedule of docs/protocol.md, written out again by hand. */
describe("key schedule", () => {
  const parts = (...list: Uint8Array[]): Uint8Array =>
    concatBytes(...list.flatMap((part) => [Uint8Array.of(part.length >>> 8, part.length & 0xff), part]));
  const header = (bytes: Uint8Array, role: number): Uint8Array =>
    concatBytes(
      Uint8Array.of(role, bytes[21]!, bytes[19]!, bytes[20]!, bytes[22]!, bytes[23]!),
      bytes.subarray(24, 40),
      bytes.subarray(11, 19),
      bytes.subarray(3, 11),
    );
  const body = (bytes: Uint8Array): Uint8Array => bytes.subarray(42, 42 + ((bytes[40]! << 8) | bytes[41]!));
  const LABELS = [utf8Encode("srudp/1"), utf8Encode("25519_ChaChaPoly_SHA256 CPACE-X25519-SHA512")];

  /** A responder made of nothing but Noise: opens noise1, answers, and has to get the same hash and keys. */
  function follow(mode: Mode, psk: Uint8Array | undefined, prologue: Uint8Array, first: Uint8Array): void {
    const noise = new NoiseHandshake({
      pattern: psk === undefined ? "XX" : "XXpsk0",
      role: "responder",
      prologue,
      primitives: nodePrimitives,
      ephemeral: keyPair(5),
      staticKeys: RESPONDER_KEYS,
      ...(psk === undefined ? undefined : { psk }),
    });
    expect(noise.readMessage(body(first)), `${mode}: noise1 opens`).toEqual(new Uint8Array(0));
  }

  it("is the documented one with a key and with a secret", () => {
    for (const mode of ["key", "secret", "ticket"] as const) {
      const first = started(newInitiator(mode));
      const psk = mode === "key" ? undefined : CREDENTIALS[mode];
      follow(mode, psk, parts(...LABELS, header(first, 0)), first);
    }
  });

  it("is the documented one with a code and with a passphrase", () => {
    for (const mode of ["code", "passphrase"] as const) {
      const initiator = newInitiator(mode);
      const responder = newResponder();
      const open = started(initiator);
      const reply = answer(responder, open)!;
      const noise1 = answer(initiator, reply)!;
      // The initiator's run again, from the random bytes that it drew: 8 of ID, 16 of tie-break, then the scalar.
      const config = configOf(1, {});
      config.random(16);
      const run = new Cpace({
        password: parts(utf8Encode(`srudp/1 ${mode}`), CREDENTIALS[mode]),
        channelId: utf8Encode("srudp/1 pake"),
        sessionId: concatBytes(open.subarray(24, 40), open.subarray(11, 19)),
        associatedData: header(open, 0),
        scalar: config.random(32),
        x25519: nodePrimitives.x25519,
      });
      expect(body(open)).toEqual(run.share);
      const key = run.finish(body(reply), header(reply, 1))!;
      const psk = new Uint8Array(hkdfSync("sha256", key, new Uint8Array(0), "srudp/1 pake psk", 32));
      const prologue = parts(...LABELS, header(open, 0), body(open), body(reply), header(reply, 1));
      follow(mode, psk, prologue, noise1);
    }
  });
});

/** The cases of docs/threat-model.md: messages from strangers and on-path attackers, and their outcomes. */
import { describe, expect, it } from "vitest";
import { fromHex } from "../../src/base/bytes.ts";
import { packetIntegrity } from "../../src/crypto/integrity.ts";
import { NoiseHandshake } from "../../src/crypto/noise.ts";
import type { Handshake } from "../../src/engine/handshake/handshake.ts";
import {
  encodeResponderHello,
  fieldBytes,
  noiseOptions,
  type ResponderHello,
} from "../../src/engine/handshake/handshake-transcript.ts";
import { decodeHandshakePacket, encodeHandshakePacket } from "../../src/wire/handshake-packet.ts";
import {
  AT,
  answer,
  assertLinked,
  CREDENTIALS,
  carry,
  complete,
  configOf,
  edited,
  flipped,
  keyPair,
  MODES_UNDER_TEST,
  newInitiator,
  newResponder,
  resealed,
  started,
} from "../unit/engine/handshake-sides.ts";

/** Points of X25519 with which every exchange comes to nothing. RFC 7748 §6.1; Wycheproof has them too. */
const LOW_ORDER_POINTS = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
].map(fromHex);

/** Runs a handshake; before each packet is delivered, `interfere` may do what it likes with it and the target. */
function withInterference(
  initiator: Handshake,
  responder: Handshake,
  interfere: (packet: Uint8Array, target: Handshake) => void,
): void {
  let packet: Uint8Array | undefined = started(initiator);
  for (let target = responder; packet !== undefined; target = target === responder ? initiator : responder) {
    interfere(packet, target);
    packet = answer(target, packet);
  }
}

function assertIgnored(target: Handshake, bytes: Uint8Array, what: string): void {
  const before = target.stage;
  const result = target.handlePacket(0, bytes);
  const sent = target.pollTransmit();
  if (result !== "ignored" || sent !== undefined || target.stage !== before || target.guessFailed) {
    throw new Error(`${what}: ${result}, ${target.stage}, sent ${sent?.length} bytes`);
  }
}

describe.each(MODES_UNDER_TEST)("bad input to a handshake with a %s", (mode) => {
  it("2 · with any one bit turned over is dropped, and the genuine message completes", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    let tried = 0;
    withInterference(initiator, responder, (packet, target) => {
      for (let bit = 0; bit < packet.length * 8; bit++, tried++) {
        assertIgnored(target, flipped(packet, bit), `bit ${bit} of kind ${packet[0]! & 15}`);
      }
    });
    assertLinked(initiator, responder);
    expect(tried).toBe((mode === "code" || mode === "passphrase" ? 5 : 3) * 9600);
  });

  it("1 · cut short anywhere is dropped, and the genuine message completes", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    withInterference(initiator, responder, (packet, target) => {
      for (let length = 0; length < packet.length; length++) {
        assertIgnored(target, packet.subarray(0, length), `${length} bytes of kind ${packet[0]! & 15}`);
      }
    });
    assertLinked(initiator, responder);
  });

  it("2 · with a sealed part edited on the way, integrity made right, changes nothing", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    let tried = 0;
    withInterference(initiator, responder, (packet, target) => {
      const kind = packet[0]! & 15;
      if (kind < 3) return;
      const bodyBytes = (packet[40]! << 8) | packet[41]!;
      for (let byte = 0; byte < bodyBytes; byte++, tried++) {
        const change = [packet[AT.body + byte]! ^ 0x40];
        assertIgnored(target, edited(packet, AT.body + byte, change), `byte ${byte} of kind ${kind}`);
      }
      for (const length of [0, 31, 32, bodyBytes - 1, bodyBytes + 1]) {
        assertIgnored(target, edited(packet, 40, [length >>> 8, length & 255]), `length ${length}`);
      }
    });
    assertLinked(initiator, responder);
    expect(tried).toBeGreaterThan(150);
  });

  it("2 · with the header of a later message edited on the way changes nothing", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    withInterference(initiator, responder, (packet, target) => {
      const kind = packet[0]! & 15;
      if (kind === 3) {
        // What noise2 says in clear of its sender does not count: the sealed values do.
        assertIgnored(target, edited(packet, AT.sourceId, [1, 2, 3, 4, 5, 6, 7, 8]), "another source ID");
        assertIgnored(target, edited(packet, AT.tieBreak, [packet[AT.tieBreak]! ^ 1]), "another tie-break");
        assertIgnored(target, edited(packet, AT.destinationId, [packet[AT.destinationId]! ^ 1]), "not to us");
        assertIgnored(target, edited(packet, AT.mode, [packet[AT.mode]! ^ 1]), "another mode");
      }
      if (kind === 4) {
        for (const at of [AT.destinationId, AT.sourceId, AT.highest, AT.mode, AT.features, AT.tieBreak]) {
          assertIgnored(target, edited(packet, at, [packet[at]! ^ 1]), `byte ${at} of noise3`);
        }
      }
    });
    assertLinked(initiator, responder);
  });

  it("11 · coming back to its sender is refused", () => {
    const initiator = newInitiator(mode, { mayRespond: true });
    const responder = newResponder();
    withInterference(initiator, responder, (packet, target) => {
      const sender = target === responder ? initiator : responder;
      assertIgnored(sender, packet, `own packet of kind ${packet[0]! & 15}`);
    });
    assertLinked(initiator, responder);
  });

  it("out of turn is ignored at either side", () => {
    const packets = complete(newInitiator(mode), newResponder());
    for (const packet of packets.slice(1)) assertIgnored(newResponder(), packet, `kind ${packet[0]! & 15}`);
    const initiator = newInitiator(mode);
    started(initiator);
    const responder = newResponder();
    for (const packet of packets) {
      const kind = packet[0]! & 15;
      if (kind !== 1 && !(kind === 3 && packets.length === 3))
        assertIgnored(initiator, packet, `kind ${kind}`);
    }
    for (const packet of [...packets].reverse()) if (packet !== packets[0]) answer(responder, packet);
    carry(packets[0], responder, initiator);
    assertLinked(initiator, responder);
  });

  it("that begins a handshake with somebody else, or with a body of another length, is ignored", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const first = started(initiator);
    assertIgnored(responder, edited(first, AT.destinationId, [1]), "a first message to a known ID");
    const bodyBytes = first[41]!;
    for (const length of [0, 16, 31, bodyBytes - 1, bodyBytes + 1, 64]) {
      assertIgnored(responder, edited(first, 40, [0, length]), `a body of ${length} bytes`);
    }
    carry(first, responder, initiator);
    assertLinked(initiator, responder);
  });

  it("5 and 6 · replayed changes nothing: the first gets the cached answer, the third none", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const packets = complete(initiator, responder);
    const keys = responder.keys;
    for (const packet of packets) {
      const isLast = packet === packets.at(-1);
      expect(responder.handlePacket(1, packet)).toBe(isLast ? "repeat" : "ignored");
      expect(responder.pollTransmit()).toBeUndefined();
      expect(initiator.handlePacket(1, packet)).toBe("ignored");
    }
    expect(responder.keys).toBe(keys);
    // To a listener that has forgotten, a captured conversation is worth its first answer and no more.
    const fresh = newResponder({}, 77);
    for (const packet of packets) answer(fresh, packet);
    expect([fresh.stage, fresh.keys, fresh.guessFailed]).toEqual(["exchanging", undefined, false]);
  });

  it("10 · with a version range edited in the first message makes no link", () => {
    const initiator = newInitiator(mode, { versions: { lowest: 0, highest: 3 } });
    const responder = newResponder({ versions: { lowest: 0, highest: 3 } });
    carry(edited(started(initiator), AT.highest, [0]), responder, initiator);
    expect([initiator.keys, responder.keys]).toEqual([undefined, undefined]);
  });

  it("with any field of the first message edited makes no link", () => {
    for (const at of [AT.sourceId, AT.lowest, AT.highest, AT.features, AT.tieBreak]) {
      const versions = { lowest: 2, highest: 4 };
      const initiator = newInitiator(mode, { versions });
      const responder = newResponder({ versions });
      const first = started(initiator);
      carry(edited(first, at, [first[at]! ^ 1]), responder, initiator);
      expect([initiator.keys, responder.keys], `byte ${at}`).toEqual([undefined, undefined]);
    }
  });

  it("4 · with a point of low order is dropped wherever a key stands in clear", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    withInterference(initiator, responder, (packet, target) => {
      const kind = packet[0]! & 15;
      // A noise1 under a PAKE is a confirmation, and a wrong one: see the tests of guesses.
      if (kind === 4 || (kind === 2 && (mode === "code" || mode === "passphrase"))) return;
      for (const point of LOW_ORDER_POINTS) {
        assertIgnored(target, edited(packet, AT.body, point), `a low-order point in kind ${kind}`);
      }
    });
    assertLinked(initiator, responder);
  });

  it("11 · with the sender's own share or ephemeral key sent back is dropped", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    let own: Uint8Array | undefined;
    withInterference(initiator, responder, (packet, target) => {
      const kind = packet[0]! & 15;
      if (kind === 1) assertIgnored(target, edited(packet, AT.body, own!.subarray(42, 74)), "own share");
      own = packet;
    });
    assertLinked(initiator, responder);
  });

  it("of random bytes of every first byte is dropped", () => {
    const initiator = newInitiator(mode, { mayRespond: true });
    const responder = newResponder();
    withInterference(initiator, responder, (packet, target) => {
      for (let first = 0; first < 256; first++) {
        for (const length of [1, 28, 1200]) {
          const junk = new Uint8Array(length).fill(first * 7 + length);
          junk[0] = first;
          assertIgnored(target, junk, `junk ${first}`);
          if (length === 1200) junk.set([0x04, 0xb0], 1);
          if (length >= 28) assertIgnored(target, resealed(junk), `intact junk ${first}`);
        }
      }
      expect(packet.length).toBe(1200);
    });
    assertLinked(initiator, responder);
  });
});

describe("bad input to a handshake", () => {
  it("18 · from somebody who answers in the responder's place with another key reaches verifyPeer first", () => {
    const pinned = newInitiator("key", {
      verifyPeer: (publicKey) => (Buffer.compare(publicKey, newPinned) === 0 ? "accept" : "refuse"),
    });
    const newPinned = keyPair(102).publicKey;
    const impostor = newResponder({ identity: keyPair(666) }, 66);
    const packets = complete(pinned, impostor);
    expect(packets.map((bytes) => bytes[0]! & 15)).toEqual([2, 3]);
    expect(pinned.failure).toBe("ERR_PEER_KEY");
    expect(impostor.keys).toBeUndefined();
  });

  it("from somebody without the secret is met with silence, and the genuine message completes", () => {
    const responder = newResponder({ credentials: { secret: CREDENTIALS.secret } });
    const stranger = newInitiator("secret", { credentials: { secret: new Uint8Array(32).fill(1) } }, 9);
    const first = started(stranger);
    for (let repeats = 0; repeats < 5; repeats++) assertIgnored(responder, first, "a wrong secret");
    const initiator = newInitiator("secret");
    complete(initiator, responder);
    assertLinked(initiator, responder);
  });

  it("from a second initiator does not disturb a responder that has answered the first", () => {
    for (const mode of MODES_UNDER_TEST) {
      const initiator = newInitiator(mode);
      const responder = newResponder();
      const second = newInitiator(mode, {}, 9);
      const others = complete(second, newResponder({}, 8));
      withInterference(initiator, responder, (_packet, target) => {
        if (target !== responder || responder.stage === "waiting") return;
        for (const other of others) assertIgnored(responder, other, "another initiator's packet");
      });
      assertLinked(initiator, responder);
    }
  });

  describe("from a responder that lies in what it seals", () => {
    /** A noise2 in key mode, genuine but for what it says. */
    function noise2(first: Uint8Array, lie: Partial<ResponderHello>): Uint8Array {
      const packet = decodeHandshakePacket(first, packetIntegrity)!;
      const config = configOf(2, { role: "responder" });
      const initiatorFields = fieldBytes("initiator", { ...packet, mode: "key" });
      const noise = new NoiseHandshake(
        noiseOptions(config, "responder", initiatorFields, undefined, undefined),
      );
      noise.readMessage(packet.body);
      const { connectionId, parameters } = config;
      const versions = { lowest: 0, highest: 2 };
      const hello = { versions, version: 2, features: 0, connectionId, parameters, ...lie };
      const answerFields = {
        destinationId: packet.sourceId,
        sourceId: connectionId,
        tieBreak: packet.tieBreak,
      };
      const body = noise.writeMessage(encodeResponderHello(hello));
      return encodeHandshakePacket(
        { kind: "noise2", mode: "key", versions, features: 0, ...answerFields, body },
        packetIntegrity,
      );
    }
    const newAsker = (): Handshake => newInitiator("key", { versions: { lowest: 0, highest: 3 } });

    it("is accepted where it tells the truth", () => {
      const initiator = newAsker();
      expect(initiator.handlePacket(0, noise2(started(initiator), {}))).toBe("advanced");
      expect(initiator.keys!.version).toBe(2);
    });

    it("of another connection ID than the one in clear is ignored", () => {
      const initiator = newAsker();
      const first = started(initiator);
      assertIgnored(initiator, noise2(first, { connectionId: new Uint8Array(8).fill(5) }), "another ID");
      expect(initiator.handlePacket(0, noise2(first, {}))).toBe("advanced");
    });

    it.each([
      [0, { lowest: 0, highest: 2 }],
      [1, { lowest: 0, highest: 2 }],
      [3, { lowest: 0, highest: 2 }],
      [2, { lowest: 0, highest: 3 }],
      [7, { lowest: 7, highest: 9 }],
    ])("of version %i out of %o is believed after a second, unless the truth comes", (version, versions) => {
      const failing = newAsker();
      expect(failing.handlePacket(100, noise2(started(failing), { version, versions }))).toBe("repeat");
      expect([failing.pollTransmit(), failing.failure, failing.keys]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      failing.handleTimeout(1099);
      expect(failing.failure).toBeUndefined();
      failing.handleTimeout(1100);
      expect([failing.failure, failing.peerVersions]).toEqual(["ERR_VERSION", versions]);

      const saved = newAsker();
      const first = started(saved);
      saved.handlePacket(100, noise2(first, { version, versions }));
      expect(saved.handlePacket(900, noise2(first, {}))).toBe("advanced");
      saved.handleTimeout(5000);
      expect([saved.failure, saved.keys!.version]).toEqual([undefined, 2]);
    });
  });
});

import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../../src/base/bytes.ts";
import { packetIntegrity } from "../../../src/crypto/integrity.ts";
import {
  decodeHandshakePacket,
  decodeNotice,
  encodeHandshakePacket,
  encodeNotice,
  HANDSHAKE_BODY_BYTES,
  HANDSHAKE_BYTES,
  HANDSHAKE_KINDS,
  type HandshakePacket,
  MODES,
  type Mode,
  NOTICE_BYTES,
  type PacketMac,
} from "../../../src/wire/handshake-packet.ts";

/** The MAC as docs/protocol.md has it, by another implementation than the one in use. */
const mac: PacketMac = (connectionId, covered) =>
  Uint8Array.from(
    createHmac("sha256", Buffer.concat([Buffer.from("srudp integrity"), connectionId]))
      .update(covered)
      .digest()
      .subarray(0, 16),
  );

const PACKET: HandshakePacket & { mode: Mode } = {
  kind: "noise1",
  destinationId: fromHex("0102030405060708"),
  sourceId: fromHex("1112131415161718"),
  versions: { lowest: 3, highest: 5 },
  mode: "code",
  features: 0xabcd,
  tieBreak: fromHex("202122232425262728292a2b2c2d2e2f"),
  body: fromHex("c0ffee"),
};
const BYTES = encodeHandshakePacket(PACKET, mac);

const id = fc.uint8Array({ minLength: 8, maxLength: 8 });
const versions = fc
  .tuple(fc.nat(255), fc.nat(255))
  .map(([a, b]) => ({ lowest: Math.min(a, b), highest: Math.max(a, b) }));

/** `bytes` with a change and a right integrity field. */
function edited(at: number, ...values: number[]): Uint8Array {
  const copy = Uint8Array.from(BYTES);
  copy.set(values, at);
  copy.set(mac(copy.subarray(11, 19), copy.subarray(0, 1184)), 1184);
  return copy;
}

describe("handshake packet", () => {
  it("stands on the wire as the protocol document draws it", () => {
    expect(BYTES.length).toBe(HANDSHAKE_BYTES);
    expect(toHex(BYTES.subarray(0, 46))).toBe(
      "d204b0010203040506070811121314151617180305" + "02abcd202122232425262728292a2b2c2d2e2f0003c0ffee00",
    );
    expect(BYTES.subarray(45, 1184).every((byte) => byte === 0)).toBe(true);
    expect(toHex(BYTES.subarray(1184))).toBe("c82cfd01b2e8c1bc1ffb783297aa7489");
  });

  it("comes out as it went in", () => {
    const packet = fc.record({
      kind: fc.constantFrom(...HANDSHAKE_KINDS),
      destinationId: id,
      sourceId: id.filter((bytes) => bytes.some((byte) => byte !== 0)),
      versions,
      mode: fc.constantFrom(...MODES),
      features: fc.nat(0xffff),
      tieBreak: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      body: fc.uint8Array({ maxLength: HANDSHAKE_BODY_BYTES }),
    });
    fc.assert(
      fc.property(packet, (sent) => {
        expect(decodeHandshakePacket(encodeHandshakePacket(sent, mac), mac)).toEqual(sent);
      }),
      { numRuns: 200 },
    );
  });

  it("holds a body up to the reserved fields and refuses to be made with a longer one", () => {
    const longest = { ...PACKET, body: new Uint8Array(HANDSHAKE_BODY_BYTES).fill(7) };
    const bytes = encodeHandshakePacket(longest, mac);
    expect(decodeHandshakePacket(bytes, mac)).toEqual(longest);
    expect(bytes.subarray(1152, 1184).every((byte) => byte === 0)).toBe(true);
    const longer = { ...PACKET, body: new Uint8Array(HANDSHAKE_BODY_BYTES + 1) };
    expect(() => encodeHandshakePacket(longer, mac)).toThrow(/too long/);
  });

  it("is dropped with any one bit turned over", () => {
    const accepted: number[] = [];
    for (let bit = 0; bit < HANDSHAKE_BYTES * 8; bit++) {
      const copy = Uint8Array.from(BYTES);
      copy[bit >>> 3]! ^= 1 << (bit & 7);
      if (decodeHandshakePacket(copy, mac) !== undefined) accepted.push(bit);
    }
    expect(accepted).toEqual([]);
    expect(decodeHandshakePacket(BYTES, mac)).toEqual(PACKET);
  });

  it("is dropped when it is cut short or goes on", () => {
    for (let length = 0; length < HANDSHAKE_BYTES; length++) {
      expect(decodeHandshakePacket(BYTES.subarray(0, length), mac)).toBeUndefined();
    }
    expect(decodeHandshakePacket(Uint8Array.of(...BYTES, 0), mac)).toBeUndefined();
  });

  it("is dropped when it is intact and makes no sense", () => {
    expect(decodeHandshakePacket(edited(0, 0xd2), mac)).toEqual(PACKET);
    expect(decodeHandshakePacket(edited(0, 0xd5), mac), "a kind that is none").toBeUndefined();
    expect(decodeHandshakePacket(edited(1, 0x04, 0xaf), mac), "another length").toBeUndefined();
    expect(decodeHandshakePacket(edited(11, 0, 0, 0, 0, 0, 0, 0, 0), mac), "no source ID").toBeUndefined();
    expect(decodeHandshakePacket(edited(19, 6, 5), mac), "versions in reverse").toBeUndefined();
    expect(decodeHandshakePacket(edited(40, 0x04, 0x57), mac), "a body that does not fit").toBeUndefined();
  });

  it("is read when its mode, padding and last fields are those of a later version", () => {
    expect(decodeHandshakePacket(edited(21, 5), mac)).toEqual({ ...PACKET, mode: undefined });
    expect(decodeHandshakePacket(edited(1151, 9), mac)).toEqual(PACKET);
    expect(decodeHandshakePacket(edited(1152, 1, 2, 3), mac)).toEqual(PACKET);
  });

  it("does not change when the buffer that it came in is used again", () => {
    const buffer = Buffer.from(BYTES);
    const packet = decodeHandshakePacket(buffer, mac);
    buffer.fill(0xff);
    expect(packet).toEqual(PACKET);
  });

  it("is found in no random bytes, and nothing is thrown", () => {
    const junk = fc.uint8Array({ minLength: 0, maxLength: 1300 });
    const almost = fc
      .uint8Array({ minLength: HANDSHAKE_BYTES, maxLength: HANDSHAKE_BYTES })
      .map((bytes) => Uint8Array.of(0xd0 | (bytes[0]! & 7), 0x04, 0xb0, ...bytes.subarray(3)));
    fc.assert(
      fc.property(fc.oneof(junk, almost), (bytes) => {
        expect(decodeHandshakePacket(bytes, mac)).toBeUndefined();
        expect(decodeNotice(bytes, mac)).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });
});

describe("integrity field", () => {
  it("is computed by the crypto layer just as by node:crypto", () => {
    for (const length of [0, 12, 63, 64, 65, 1184]) {
      const covered = new Uint8Array(length).fill(length);
      expect(packetIntegrity(PACKET.sourceId, covered)).toEqual(mac(PACKET.sourceId, covered));
    }
  });
});

describe("notice packet", () => {
  const NOTICE = {
    reason: "version",
    destinationId: fromHex("1112131415161718"),
    versions: { lowest: 1, highest: 2 },
  } as const;
  const NOTICE_PACKET = encodeNotice(NOTICE, mac);

  it("stands on the wire as the protocol document draws it, smaller than any request", () => {
    expect(NOTICE_PACKET.length).toBe(NOTICE_BYTES);
    expect(NOTICE_PACKET.length).toBeLessThan(HANDSHAKE_BYTES);
    expect(toHex(NOTICE_PACKET.subarray(0, 12))).toBe("e00311121314151617180102");
  });

  it("comes out as it went in", () => {
    const notice = fc.record({
      reason: fc.constantFrom("refused" as const, "busy" as const, "version" as const),
      destinationId: id,
      versions,
    });
    fc.assert(
      fc.property(notice, (sent) => {
        expect(decodeNotice(encodeNotice(sent, mac), mac)).toEqual(sent);
      }),
    );
  });

  it("is dropped with any bit turned over, and when it is cut short or goes on", () => {
    for (let bit = 0; bit < NOTICE_BYTES * 8; bit++) {
      const copy = Uint8Array.from(NOTICE_PACKET);
      copy[bit >>> 3]! ^= 1 << (bit & 7);
      expect(decodeNotice(copy, mac)).toBeUndefined();
    }
    for (let length = 0; length < NOTICE_BYTES; length++) {
      expect(decodeNotice(NOTICE_PACKET.subarray(0, length), mac)).toBeUndefined();
    }
    expect(decodeNotice(Uint8Array.of(...NOTICE_PACKET, 0), mac)).toBeUndefined();
    expect(decodeNotice(NOTICE_PACKET, mac)).toEqual(NOTICE);
  });

  it("is dropped when it is intact and its reason is none", () => {
    for (const reason of [0, 4, 255]) {
      const copy = Uint8Array.from(NOTICE_PACKET);
      copy[1] = reason;
      copy.set(mac(copy.subarray(2, 10), copy.subarray(0, 12)), 12);
      expect(decodeNotice(copy, mac)).toBeUndefined();
    }
  });
});

import { createHash, createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { copyBytes, utf8Encode } from "../../../src/base/bytes.ts";
import {
  looksLikeStun,
  parseStun,
  STUN_ATTRIBUTE,
  STUN_CLASS,
  STUN_METHOD,
  type StunMac,
  type StunMessage,
  StunWriter,
  stunMessageBytes,
} from "../../../src/wire/stun.ts";
import {
  LONG_TERM,
  PASSWORD,
  SAMPLE_IPV4_RESPONSE,
  SAMPLE_IPV6_RESPONSE,
  SAMPLE_LONG_TERM_REQUEST,
  SAMPLE_REQUEST,
  SAMPLE_SHA256_REQUEST,
} from "./stun-vectors.ts";

const sha1: StunMac = (key, bytes) => createHmac("sha1", key).update(bytes).digest();
const sha256: StunMac = (key, bytes) => createHmac("sha256", key).update(bytes).digest();
const md5 = (text: string): Uint8Array => createHash("md5").update(text).digest();
const longTermKey = md5(`${LONG_TERM.username}:${LONG_TERM.realm}:${LONG_TERM.password}`);
const SAMPLES = [
  SAMPLE_REQUEST,
  SAMPLE_IPV4_RESPONSE,
  SAMPLE_IPV6_RESPONSE,
  SAMPLE_LONG_TERM_REQUEST,
  SAMPLE_SHA256_REQUEST,
];

function parsed(bytes: Uint8Array): StunMessage {
  const message = parseStun(bytes);
  if (message === undefined) throw new Error("not a STUN message");
  return message;
}

function flipped(bytes: Uint8Array, at: number, bit = 1): Uint8Array {
  const copy = copyBytes(bytes);
  copy[at]! ^= bit;
  return copy;
}

describe("the published messages", () => {
  it("reads a request under a short-term password (RFC 5769 §2.1)", () => {
    const message = parsed(SAMPLE_REQUEST);
    expect(message.method).toBe(STUN_METHOD.binding);
    expect(message.class).toBe(STUN_CLASS.request);
    expect(message.text(STUN_ATTRIBUTE.software)).toBe("STUN test client");
    expect(message.text(STUN_ATTRIBUTE.username)).toBe("evtj:h6vY");
    expect(message.isIntact(utf8Encode(PASSWORD), sha1)).toBe(true);
    expect(message.isIntact(utf8Encode("another"), sha1)).toBe(false);
    // PRIORITY is one of ICE and not known here.
    expect(
      message.unknownRequired(new Set([STUN_ATTRIBUTE.username, STUN_ATTRIBUTE.messageIntegrity])),
    ).toEqual([0x0024]);
  });

  it("reads responses with addresses of either family (RFC 5769 §2.2, §2.3)", () => {
    const v4 = parsed(SAMPLE_IPV4_RESPONSE);
    expect(v4.class).toBe(STUN_CLASS.success);
    expect(v4.mappedAddress).toEqual({ address: "192.0.2.1", port: 32853, family: 4 });
    expect(v4.isIntact(utf8Encode(PASSWORD), sha1)).toBe(true);
    const v6 = parsed(SAMPLE_IPV6_RESPONSE);
    expect(v6.mappedAddress).toEqual({
      address: "2001:db8:1234:5678:11:2233:4455:6677",
      port: 32853,
      family: 6,
    });
    expect(v6.isIntact(utf8Encode(PASSWORD), sha1)).toBe(true);
  });

  it("writes the request under long-term credentials byte by byte (RFC 5769 §2.4)", () => {
    const sample = parsed(SAMPLE_LONG_TERM_REQUEST);
    expect(sample.isIntact(longTermKey, sha1)).toBe(true);
    const written = new StunWriter(STUN_METHOD.binding, STUN_CLASS.request, sample.transactionId)
      .text(STUN_ATTRIBUTE.username, LONG_TERM.username)
      .text(STUN_ATTRIBUTE.nonce, sample.text(STUN_ATTRIBUTE.nonce)!)
      .text(STUN_ATTRIBUTE.realm, LONG_TERM.realm)
      .integrity(longTermKey, sha1)
      .finish();
    expect(written).toEqual(SAMPLE_LONG_TERM_REQUEST);
  });

  it("writes the request with a SHA-256 integrity byte by byte (RFC 8489 appendix B.1)", () => {
    const sample = parsed(SAMPLE_SHA256_REQUEST);
    const key = createHash("sha256")
      .update(`${LONG_TERM.username}:${LONG_TERM.realm}:${LONG_TERM.password}`)
      .digest();
    expect(sample.isIntactSha256(key, sha256)).toBe(true);
    expect(sample.isIntactSha256(longTermKey, sha256)).toBe(false);
    const written = new StunWriter(STUN_METHOD.binding, STUN_CLASS.request, sample.transactionId)
      .attribute(0x001e, sample.attribute(0x001e)!)
      .text(STUN_ATTRIBUTE.nonce, sample.text(STUN_ATTRIBUTE.nonce)!)
      .text(STUN_ATTRIBUTE.realm, LONG_TERM.realm)
      .attribute(STUN_ATTRIBUTE.passwordAlgorithm, Uint8Array.of(0, 2, 0, 0))
      .integritySha256(key, sha256)
      .finish();
    expect(written).toEqual(SAMPLE_SHA256_REQUEST);
  });

  it("writes a response with address and fingerprint that is the published one but for its padding", () => {
    const key = utf8Encode(PASSWORD);
    for (const sample of [SAMPLE_IPV4_RESPONSE, SAMPLE_IPV6_RESPONSE]) {
      const { transactionId, mappedAddress } = parsed(sample);
      const written = new StunWriter(STUN_METHOD.binding, STUN_CLASS.success, transactionId)
        .text(STUN_ATTRIBUTE.software, "test vector")
        .xorAddress(STUN_ATTRIBUTE.xorMappedAddress, mappedAddress!.address, mappedAddress!.port)
        .integrity(key, sha1)
        .fingerprint()
        .finish();
      expect(written.length).toBe(sample.length);
      const integrityAt = sample.length - 8 - 24;
      expect(written.subarray(36, integrityAt)).toEqual(sample.subarray(36, integrityAt));
      expect(parsed(written).isIntact(key, sha1)).toBe(true);
    }
  });
});

describe("what strangers send", () => {
  it("knows every one of its messages by its first bytes, and how long it is", () => {
    for (const sample of SAMPLES) {
      expect(looksLikeStun(sample)).toBe(true);
      expect(stunMessageBytes(sample)).toBe(sample.length);
    }
  });

  it("takes nothing with a wrong fingerprint, cookie, length or first bits", () => {
    const fingerprintAt = SAMPLE_IPV4_RESPONSE.length - 8;
    for (let at = 0; at < SAMPLE_IPV4_RESPONSE.length; at++) {
      // Under another type it is another attribute, and none is wrong.
      if (at === fingerprintAt || at === fingerprintAt + 1) continue;
      expect(parseStun(flipped(SAMPLE_IPV4_RESPONSE, at)), `byte ${at}`).toBeUndefined();
    }
    expect(parseStun(flipped(SAMPLE_LONG_TERM_REQUEST, 0, 0x80))).toBeUndefined();
    expect(parseStun(flipped(SAMPLE_LONG_TERM_REQUEST, 5))).toBeUndefined();
    expect(parseStun(SAMPLE_LONG_TERM_REQUEST.subarray(0, -4))).toBeUndefined();
    expect(parseStun(new Uint8Array(0))).toBeUndefined();
  });

  it("finds any change under the integrity", () => {
    const end = SAMPLE_LONG_TERM_REQUEST.length;
    for (let at = 8; at < end; at++) {
      const message = parseStun(flipped(SAMPLE_LONG_TERM_REQUEST, at));
      if (message !== undefined) expect(message.isIntact(longTermKey, sha1), `byte ${at}`).toBe(false);
    }
  });

  it("does not see what somebody hung on behind the integrity", () => {
    const { transactionId } = parsed(SAMPLE_REQUEST);
    const message = parsed(
      new StunWriter(STUN_METHOD.allocate, STUN_CLASS.success, transactionId)
        .u32(STUN_ATTRIBUTE.lifetime, 600)
        .integrity(longTermKey, sha1)
        .xorAddress(STUN_ATTRIBUTE.xorRelayedAddress, "192.0.2.66", 66)
        .fingerprint()
        .finish(),
    );
    expect(message.isIntact(longTermKey, sha1)).toBe(true);
    expect(message.u32(STUN_ATTRIBUTE.lifetime)).toBe(600);
    expect(message.xorAddress(STUN_ATTRIBUTE.xorRelayedAddress)).toBeUndefined();
  });

  it("answers undefined for attributes of another shape", () => {
    const message = parsed(
      new StunWriter(STUN_METHOD.binding, STUN_CLASS.error, parsed(SAMPLE_REQUEST).transactionId)
        .attribute(STUN_ATTRIBUTE.xorMappedAddress, Uint8Array.of(0, 1, 2, 3, 4, 5, 6))
        .attribute(STUN_ATTRIBUTE.mappedAddress, Uint8Array.of(0, 3, 2, 3, 4, 5, 6, 7))
        .attribute(STUN_ATTRIBUTE.errorCode, Uint8Array.of(0, 0, 4))
        .attribute(STUN_ATTRIBUTE.lifetime, Uint8Array.of(1))
        .finish(),
    );
    expect(message.mappedAddress).toBeUndefined();
    expect(message.error).toBeUndefined();
    expect(message.u32(STUN_ATTRIBUTE.lifetime)).toBeUndefined();
    expect(message.isIntact(longTermKey, sha1)).toBe(false);
    expect(message.isIntactSha256(longTermKey, sha256)).toBe(false);
  });
});

it("carries methods, classes and error codes", () => {
  const { transactionId } = parsed(SAMPLE_REQUEST);
  for (const method of Object.values(STUN_METHOD))
    for (const messageClass of Object.values(STUN_CLASS)) {
      const message = parsed(
        new StunWriter(method, messageClass, transactionId).error(438, "Stale Nonce").finish(),
      );
      expect([message.method, message.class]).toEqual([method, messageClass]);
      expect(message.error).toEqual({ code: 438, reason: "Stale Nonce" });
    }
});

it("grows with what is written", () => {
  const value = new Uint8Array(5001).fill(7);
  const bytes = new StunWriter(STUN_METHOD.send, STUN_CLASS.indication, new Uint8Array(12))
    .attribute(STUN_ATTRIBUTE.data, value)
    .fingerprint()
    .finish();
  expect(parsed(bytes).attribute(STUN_ATTRIBUTE.data)).toEqual(value);
});

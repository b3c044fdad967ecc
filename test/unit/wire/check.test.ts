import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../../src/base/bytes.ts";
import { checkMac } from "../../../src/crypto/check-mac.ts";
import {
  CHECK_BYTES,
  type Check,
  decodeCheck,
  encodeCheck,
  looksLikeCheck,
} from "../../../src/wire/check.ts";

const mac = checkMac(new Uint8Array(32).fill(3));
const transaction = fromHex("0102030405060708");
const REQUEST: Check = { kind: "request", role: "initiator", generation: 2, transaction };

const ipv4 = fc.ipV4();
const checks: fc.Arbitrary<Check> = fc.record({
  kind: fc.constantFrom("request", "response"),
  role: fc.constantFrom("initiator", "responder"),
  generation: fc.nat(0xffff),
  transaction: fc.uint8Array({ minLength: 8, maxLength: 8 }),
  observed: fc.option(fc.record({ address: ipv4, port: fc.nat(0xffff) }), { nil: undefined }),
});

describe("a connectivity check", () => {
  it("stands on the wire as drawn", () => {
    const observed = { address: "192.0.2.7", port: 4242 };
    const bytes = encodeCheck({ ...REQUEST, kind: "response", role: "responder", observed }, mac);
    expect(toHex(bytes.subarray(0, 32))).toBe(
      `e9010002010203040506070804${"1092"}c0000207${"00".repeat(13)}`,
    );
    expect(bytes.length).toBe(CHECK_BYTES);
  });

  it("shows an IPv6 address too", () => {
    const observed = { address: "2001:db8::7", port: 1 };
    expect(decodeCheck(encodeCheck({ ...REQUEST, observed }, mac), mac)).toEqual({ ...REQUEST, observed });
  });

  it("comes back as it was, and an answer is never larger than its request", () => {
    fc.assert(
      fc.property(checks, (check) => {
        const bytes = encodeCheck(check, mac);
        const { observed, ...rest } = check;
        expect(bytes.length).toBe(CHECK_BYTES);
        expect(decodeCheck(bytes, mac)).toEqual(observed === undefined ? rest : check);
      }),
    );
  });

  it("is refused with any bit changed, cut, lengthened, or under another key", () => {
    const bytes = encodeCheck(REQUEST, mac);
    for (let bit = 0; bit < 8 * CHECK_BYTES; bit++) {
      const changed = Uint8Array.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(decodeCheck(changed, mac)).toBeUndefined();
    }
    expect(decodeCheck(bytes.subarray(0, CHECK_BYTES - 1), mac)).toBeUndefined();
    expect(decodeCheck(Uint8Array.from([...bytes, 0]), mac)).toBeUndefined();
    expect(decodeCheck(bytes, checkMac(new Uint8Array(32)))).toBeUndefined();
  });

  it("never throws at what strangers send", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(decodeCheck(bytes, mac)).toBeUndefined();
      }),
    );
    expect(looksLikeCheck(new Uint8Array(0))).toBe(false);
  });

  it("is read from bytes whose address field makes no sense", () => {
    const bytes = encodeCheck(REQUEST, mac);
    bytes[12] = 9;
    bytes.set(mac(bytes.subarray(0, 32)), 32);
    expect(decodeCheck(bytes, mac)).toEqual(REQUEST);
  });
});

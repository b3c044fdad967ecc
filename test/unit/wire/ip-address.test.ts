import { isIP, SocketAddress } from "node:net";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ipFamily, ipFromBytes, ipToBytes } from "../../../src/wire/ip-address.ts";

it("spells every address as the sockets do, and reads it back", () => {
  const group = fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const bytes = Uint8Array.from(groups.flatMap((value) => [value >> 8, value & 255]));
      const text = ipFromBytes(bytes);
      const long = groups.map((value) => value.toString(16)).join(":");
      // Node's own form mixes notations for ::1.2.3.4 too, an address that has no use.
      if (groups.slice(0, 6).some((value) => value !== 0))
        expect(text).toBe(new SocketAddress({ address: long, family: "ipv6" }).address);
      expect(ipToBytes(text)).toEqual(bytes);
      expect(ipToBytes(long)).toEqual(bytes);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), (bytes) => {
      expect(isIP(ipFromBytes(bytes))).toBe(4);
      expect(ipToBytes(ipFromBytes(bytes))).toEqual(Uint8Array.from(bytes));
    }),
  );
});

it("takes nothing that the system would not", () => {
  const piece = fc.constantFrom(
    ":",
    "::",
    ".",
    "0",
    "1",
    "ffff",
    "10000",
    "255",
    "256",
    "01",
    "g",
    "-",
    "1.2.3.4",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 18 }), (pieces) => {
      const text = pieces.join("");
      expect(ipFamily(text) ?? 0).toBe(isIP(text));
    }),
    { numRuns: 2000 },
  );
  expect(ipFamily("fe80::1%eth0")).toBeUndefined();
  expect(ipFromBytes(new Uint8Array(5))).toBe("");
});

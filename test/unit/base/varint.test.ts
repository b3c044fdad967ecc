import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../../src/base/bytes.ts";
import { Reader } from "../../../src/base/reader.ts";
import { VARINT_MAX, varintBytes, writeVarint } from "../../../src/base/varint.ts";

/** RFC 9000 §A.1; the first is too long for a number. */
const SAMPLES: [string, number][] = [
  ["c2197c5eff14e88c", Number.POSITIVE_INFINITY],
  ["9d7f3e7d", 494_878_333],
  ["7bbd", 15_293],
  ["25", 37],
];

describe("varints", () => {
  it("reads the RFC's samples and refuses what a number cannot hold", () => {
    for (const [hex, value] of SAMPLES) {
      const reader = new Reader(fromHex(hex));
      const read = reader.varint();
      expect(reader.ok).toBe(value <= VARINT_MAX);
      if (reader.ok) expect(read).toBe(value);
    }
  });

  it("writes the RFC's samples", () => {
    const bytes = new Uint8Array(8);
    expect(toHex(bytes.slice(0, writeVarint(bytes, 0, 494_878_333)))).toBe("9d7f3e7d");
    expect(toHex(bytes.slice(0, writeVarint(bytes, 0, 15_293)))).toBe("7bbd");
  });

  it("comes back the same for every integer up to 2^53 − 1", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = new Uint8Array(8);
        const end = writeVarint(bytes, 0, value);
        const reader = new Reader(bytes.subarray(0, end));
        expect(end).toBe(varintBytes(value));
        expect(reader.varint()).toBe(value);
        expect(reader.ok && reader.remaining === 0).toBe(true);
      }),
    );
    for (const value of [63, 64, 16383, 16384, 2 ** 30 - 1, 2 ** 30, 2 ** 31, 2 ** 32, VARINT_MAX]) {
      const bytes = new Uint8Array(8);
      expect(new Reader(bytes.subarray(0, writeVarint(bytes, 0, value))).varint()).toBe(value);
    }
  });

  it("throws for what is no such integer", () => {
    const bytes = new Uint8Array(8);
    for (const value of [-1, 0.5 + 2 ** 31, Number.NaN, 2 ** 53]) {
      expect(() => writeVarint(bytes, 0, value)).toThrow();
    }
  });
});

describe("reader", () => {
  it("stays broken after reading past the end, and never throws", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 12 }),
        fc.array(fc.nat(20), { maxLength: 8 }),
        (bytes, takes) => {
          const reader = new Reader(bytes);
          let left = bytes.length;
          let broken = false;
          for (const count of takes) {
            const part = reader.take(count);
            broken ||= count > left;
            expect(part.length).toBe(broken ? 0 : count);
            expect(reader.ok).toBe(!broken);
            left -= count;
          }
        },
      ),
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  concatBytes,
  equalBytes,
  fromHex,
  toHex,
  utf8Decode,
  utf8Encode,
  writeU48,
} from "../../../src/base/bytes.ts";
import { Reader } from "../../../src/base/reader.ts";

describe("UTF-8", () => {
  it("encodes as the platform does", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(utf8Encode(text)).toEqual(new Uint8Array(new TextEncoder().encode(text)));
      }),
    );
    expect(toHex(utf8Encode("\ud800x"))).toBe("efbfbd78");
  });

  it("decodes what it encoded, and never throws on anything else", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.uint8Array(), (text, junk) => {
        expect(utf8Decode(utf8Encode(text))).toBe(
          new TextDecoder("utf-8", { ignoreBOM: true }).decode(utf8Encode(text)),
        );
        const decoded = utf8Decode(junk);
        expect(utf8Decode(utf8Encode(decoded))).toBe(decoded);
      }),
    );
  });

  it("refuses overlong forms and surrogates", () => {
    for (const hex of ["c080", "e08080", "eda080", "f08080af", "f4908080", "ff"]) {
      expect(utf8Decode(fromHex(hex))).toMatch(/^\ufffd+$/);
    }
  });
});

describe("bytes", () => {
  it("joins, compares and writes numbers", () => {
    expect(concatBytes(fromHex("01"), fromHex(""), fromHex("0203"))).toEqual(fromHex("010203"));
    expect(equalBytes(fromHex("0102"), fromHex("0103"))).toBe(false);
    expect(equalBytes(fromHex("0102"), fromHex("0102"))).toBe(true);
    expect(equalBytes(fromHex("01"), fromHex("0102"))).toBe(false);
    expect(() => fromHex("zz")).toThrow();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (value) => {
        const bytes = new Uint8Array(6);
        writeU48(bytes, 0, value);
        expect(new Reader(bytes).u48()).toBe(value);
      }),
    );
  });
});

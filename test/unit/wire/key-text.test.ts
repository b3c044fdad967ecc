import { describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import {
  decodeIdentity,
  decodeKey,
  decodeSecret,
  encodeIdentity,
  encodeKey,
  encodeSecret,
  shortKey,
} from "../../../src/wire/key-text.ts";

const BYTES = Uint8Array.from({ length: 32 }, (_, i) => i * 7);

function failure(decode: (text: string) => Uint8Array, text: string): SrudpError {
  try {
    decode(text);
  } catch (error) {
    expect(error).toBeInstanceOf(SrudpError);
    return error as SrudpError;
  }
  throw new Error("the text was accepted");
}

describe.each([
  ["public key", encodeKey, decodeKey, /^srudp1[a-z0-9]{58}$/, "ERR_KEY_FORMAT"],
  ["shared secret", encodeSecret, decodeSecret, /^srudps1[a-z0-9]{58}$/, "ERR_SECRET_FORMAT"],
  ["identity", encodeIdentity, decodeIdentity, /^srudpi1[a-z0-9]{58}$/, "ERR_KEY_FILE"],
] as const)("a %s as text", (_, encode, decode, form, code) => {
  it("comes back as the same bytes, also with blanks around it or in capitals", () => {
    const text = encode(BYTES);
    expect(text).toMatch(form);
    expect(decode(text)).toEqual(BYTES);
    expect(decode(` ${text}\r\n`)).toEqual(BYTES);
    expect(decode(text.toUpperCase())).toEqual(BYTES);
  });

  it("is refused when any one character is changed, lost or doubled", () => {
    const text = encode(BYTES);
    for (let i = 0; i < text.length; i++) {
      const other = text[i] === "q" ? "p" : "q";
      for (const wrong of [
        text.slice(0, i) + other + text.slice(i + 1),
        text.slice(0, i) + text.slice(i + 1),
        text.slice(0, i) + text[i] + text.slice(i),
      ]) {
        expect(failure(decode, wrong).code).toBe(code);
      }
    }
  });

  it("is refused with a byte order mark, in mixed case, empty, or endless", () => {
    const text = encode(BYTES);
    for (const wrong of [`\uFEFF${text}`, `Srudp${text.slice(5)}`, "", "x".repeat(1 << 20)]) {
      expect(failure(decode, wrong).code).toBe(code);
    }
  });

  it("refuses the other kinds and says what they are, without repeating them", () => {
    for (const other of [encodeKey, encodeSecret, encodeIdentity]) {
      if (other === encode) continue;
      const text = other(BYTES);
      const error = failure(decode, text);
      expect(error.code).toBe(code);
      expect(error.message).toMatch(/^This is /);
      expect(error.message).not.toContain(text.slice(8));
      expect(error.cause).toBeUndefined();
    }
  });
});

describe("a short key", () => {
  it("shows the prefix and eight characters", () => {
    expect(shortKey(BYTES)).toBe(`${encodeKey(BYTES).slice(0, 14)}…`);
  });
});

describe("encoding", () => {
  it("refuses bytes that are not 32", () => {
    expect(() => encodeKey(new Uint8Array(31))).toThrow(SrudpError);
  });
});

import { describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import {
  completeWord,
  generateCode,
  looksLikeCode,
  parseCode,
  parseCodeWord,
  suggestWord,
} from "../../../src/wire/code.ts";

/** Hands out the given bytes in order, as a source of randomness. */
function script(...bytes: number[]): (byteLength: number) => Uint8Array {
  let at = 0;
  return (byteLength) => {
    at += byteLength;
    if (at > bytes.length) throw new Error("more randomness asked for than the script has");
    return Uint8Array.from(bytes.slice(at - byteLength, at));
  };
}

function failure(text: string): SrudpError {
  try {
    parseCode(text);
  } catch (error) {
    expect(error).toBeInstanceOf(SrudpError);
    return error as SrudpError;
  }
  throw new Error("the text was taken for a code");
}

describe("a generated code", () => {
  it("is a number and three words, drawn from the bytes it is given", () => {
    expect(generateCode(script(0, 0, 0, 0, 1, 7, 255))).toBe("1-abandon-ability-zoo");
    expect(generateCode(script(98, 0, 0, 0, 0, 0, 0))).toBe("99-abandon-abandon-abandon");
    expect(generateCode(script(99, 0, 0, 0, 0, 0, 0))).toBe("1-abandon-abandon-abandon");
  });

  it("draws the number again where a byte would favour the small ones", () => {
    expect(generateCode(script(198, 255, 197, 0, 0, 0, 0, 0, 0))).toBe("99-abandon-abandon-abandon");
  });

  it("uses eleven bits of two bytes for a word, whatever the other five are", () => {
    expect(generateCode(script(0, 0xf8, 1, 0x08, 1, 0x80, 1))).toBe("1-ability-ability-ability");
  });

  it("is its own normal form", () => {
    let state = 1;
    const random = (byteLength: number): Uint8Array =>
      Uint8Array.from({ length: byteLength }, () => {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        return state >>> 16;
      });
    for (let i = 0; i < 500; i++) {
      const code = generateCode(random);
      expect(parseCode(code)).toBe(code);
      expect(looksLikeCode(code)).toBe(true);
    }
  });
});

describe("reading a code", () => {
  it.each([
    ["42-ocean-lizard-maple"],
    ["  42-ocean-lizard-maple\n"],
    ["42 ocean lizard maple"],
    ["42_ocean_lizard_maple"],
    ["42 - Ocean - LIZARD - maple"],
    ["42‑ocean‑lizard‑maple"],
    ["42–ocean—lizard maple"],
    ["42-ocea-liza-mapl"],
    ["42-ocean-lizar-maple\r\n"],
  ])("takes %j for 42-ocean-lizard-maple", (text) => {
    expect(parseCode(text)).toBe("42-ocean-lizard-maple");
  });

  it("takes a whole word for itself though a longer one begins with it", () => {
    expect(parseCode("07-add-act-art")).toBe("7-add-act-art");
    expect(parseCodeWord("addr")).toBe("address");
  });

  it.each([
    ["", "empty"],
    ["   \n", "empty"],
    ["-", "empty"],
    ["7", "no words"],
    ["7-", "no words"],
    ["7-ocean", "one word"],
    ["7-ocean-lizard", "2 words"],
    ["7-ocean-lizard-maple-tree", "4 words"],
    ["0-ocean-lizard-maple", "from 1 to 99"],
    ["100-ocean-lizard-maple", "from 1 to 99"],
    ["007-ocean-lizard-maple", "from 1 to 99"],
    ["+7-ocean-lizard-maple", "from 1 to 99"],
    ["ocean-lizard-maple", "from 1 to 99"],
    ["４２-ocean-lizard-maple", "from 1 to 99"],
    ["42-оcean-lizard-maple", "first word has characters"],
    ["42-ocean-lizard-mapıe", "third word has characters"],
    ["42-ocean-\u212Aite-maple", "second word has characters"],
    ["42-ocean-li\u200Bzard-maple", "second word has characters"],
    ["42-ocean-l1zard-maple", "second word has characters"],
    ["42-oce-lizard-maple", "first word is not on the list"],
    ["42-ocean-lizards-maple", 'did you mean "lizard"'],
  ])("refuses %j", (text, reason) => {
    const error = failure(text);
    expect(error.code).toBe("ERR_CODE_FORMAT");
    expect(error.message).toContain(reason);
  });

  it("refuses a megabyte at once", () => {
    expect(failure(`42-${"ocean-".repeat(170_000)}`).message).toContain("too long");
    expect(failure("7".repeat(1_000_000)).message).toContain("too long");
  });

  it("never repeats in the error what was typed", () => {
    expect(failure("17-velvet-topsecret-zebra").message).not.toMatch(/17|velvet|topsecret|zebra/);
  });
});

describe("telling a code from a host", () => {
  it.each(["42-ocean-lizard-maple", "7", "7-", "", "  ", "100-x", "42 ocean", "42-оcean-x-y"])(
    "%j is meant as a code",
    (text) => {
      expect(looksLikeCode(text)).toBe(true);
    },
  );
  it.each([
    "a.example.org:4242",
    "10.0.0.1",
    "7:4242",
    "1-host.example.org",
    "[::1]:4242",
    "laptop",
    "srudp1qqq",
    "4host",
  ])("%j is not", (text) => {
    expect(looksLikeCode(text)).toBe(false);
  });
});

describe("help with words", () => {
  it("completes a prefix in any case", () => {
    expect(completeWord("Liz")).toEqual(["lizard"]);
    expect(completeWord("oce")).toEqual(["ocean"]);
    expect(completeWord("zo")).toEqual(["zone", "zoo"]);
    expect(completeWord("q1")).toEqual([]);
    expect(completeWord("")).toHaveLength(2048);
  });

  it.each([
    ["lizzard", "lizard"],
    ["mapel", "maple"],
    ["ocaen", "ocean"],
    ["Ozean", "ocean"],
    ["zo", "zoo"],
  ])("suggests for %j the word %j", (typed, word) => {
    expect(suggestWord(typed)).toBe(word);
  });

  it("suggests nothing where no word is near", () => {
    expect(suggestWord("xqxqxqxq")).toBeUndefined();
    expect(suggestWord("")).toBeUndefined();
    expect(suggestWord("оcean")).toBeUndefined();
    expect(suggestWord("a".repeat(1_000_000))).toBeUndefined();
  });
});

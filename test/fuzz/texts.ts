/**
 * Codes, keys and other text: what is right is read right, what is wrong is refused with its code and never
 * quoted, and UTF-8 agrees with the platform's.
 */
import { fromHex, toHex, utf8Decode, utf8Encode } from "../../src/base/bytes.ts";
import { type ErrorCode, SrudpError } from "../../src/base/errors.ts";
import { completeWord, generateCode, looksLikeCode, parseCode, suggestWord } from "../../src/wire/code.ts";
import {
  decodeIdentity,
  decodeKey,
  decodeSecret,
  encodeIdentity,
  encodeKey,
  encodeSecret,
} from "../../src/wire/key-text.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const KINDS = [
  { encode: encodeKey, decode: decodeKey, code: "ERR_KEY_FORMAT" },
  { encode: encodeSecret, decode: decodeSecret, code: "ERR_SECRET_FORMAT" },
  { encode: encodeIdentity, decode: decodeIdentity, code: "ERR_KEY_FILE" },
] as const;
const SEPARATORS = ["-", " ", "_", "--", "\u2013", "\u2010", "\t"];
/** Letters that look alike, ends of ranges, lone surrogates, what terminals act on. */
const CHARACTERS = [
  ..."aZ09-_ .:\n\0",
  "\u212a",
  "\u0131",
  "\ufeff",
  "\ud800",
  "\udfff",
  "\u{1f600}",
  "\u001b",
  "é",
];
const BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const platform = new TextEncoder();

export const codes: FuzzTarget = {
  name: "code-text",
  inputsPerRun: 200,
  weight: 0.5,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 2) {
      const code = generateCode((byteLength) => random.bytes(byteLength));
      same(parseCode(typed(random, code)), code, "the code as typed");
      const text = changedText(random, code);
      const parsed = attempt(() => parseCode(text), "ERR_CODE_FORMAT", undefined);
      if (parsed !== undefined) same(parseCode(parsed), parsed, "the normal form of the normal form");
      looksLikeCode(text);
      const prefix = text.slice(0, random.below(6));
      for (const word of completeWord(prefix)) {
        if (!word.startsWith(prefix.toLowerCase())) broken(`${word} completes ${prefix}`);
      }
      if (random.oneIn(16)) suggestWord(text.slice(0, random.below(14)));
    }
  },
};

export const keyTexts: FuzzTarget = {
  name: "key-text",
  inputsPerRun: 300,
  weight: 1.5,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 3) {
      const { encode, decode, code } = random.pick(KINDS);
      const bytes = random.bytes(32);
      const text = encode(bytes);
      same(toHex(decode(random.oneIn(2) ? text : ` ${text}\r\n`)), toHex(bytes), "the key read back");
      // A key of one kind never passes for one of another.
      for (const other of KINDS) {
        if (other.decode !== decode && attempt(() => other.decode(text), other.code, text) !== undefined) {
          broken("a key was taken for one of another kind");
        }
      }
      // Up to four wrong letters are always found.  // BIP 350
      const letters = [...text];
      for (let wrong = 1 + random.below(4); wrong > 0; wrong--) {
        letters[text.lastIndexOf("1") + 1 + random.below(58)] = BECH32[random.below(32)]!;
      }
      const wrong = letters.join("");
      const read = attempt(() => decode(wrong), code, wrong);
      if (read !== undefined && wrong !== text) broken("a key with a wrong letter was taken");
      const changed = changedText(random, text);
      const taken = attempt(() => decode(changed), code, changed);
      if (taken !== undefined) same(taken.length, 32, "the length of a key");
    }
  },
};

export const utf8: FuzzTarget = {
  name: "utf8",
  inputsPerRun: 600,
  weight: 2,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 3) {
      const text = anyText(random);
      const bytes = utf8Encode(text);
      same(toHex(bytes), toHex(platform.encode(text)), "UTF-8");
      same(utf8Decode(bytes), strict.decode(bytes), "the text of it");
      const damaged = new Uint8Array(bytes.length + 16);
      damaged.set(bytes);
      const cut = damaged.subarray(0, random.mutate(damaged, bytes.length));
      comparesToPlatform(cut);
      comparesToPlatform(random.bytes(random.below(12)));
      same(toHex(fromHex(toHex(cut))), toHex(cut), "hexadecimal");
    }
  },
};

function comparesToPlatform(bytes: Uint8Array): void {
  const text = utf8Decode(bytes);
  let expected: string | undefined;
  try {
    expected = strict.decode(bytes);
  } catch {
    if (!text.includes("\ufffd")) broken(`malformed UTF-8 ${toHex(bytes)} was taken`);
    return;
  }
  same(text, expected, `the text of ${toHex(bytes)}`);
}

/** What a decoder makes of it; undefined when it refuses with `code`, without repeating `secret`. */
function attempt<T>(read: () => T, code: ErrorCode, secret: string | undefined): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SrudpError) || error.code !== code) throw error;
    if (error.cause !== undefined) broken("the library's error was chained");
    if (secret !== undefined && secret.length >= 12) {
      const part = secret.slice(8, 20);
      if (part.trim().length >= 8 && error.message.includes(part)) broken("the text was quoted");
    }
    return undefined;
  }
}

/** The code in the ways in which people write it. */
function typed(random: Xorshift, code: string): string {
  const parts = code.split("-").map((part, index) => {
    if (index === 0) return part.length === 1 && random.oneIn(2) ? `0${part}` : part;
    // The first four letters tell every word from the others.  // BIP 39
    const cut = random.oneIn(3) && part.length > 4 ? part.slice(0, random.integer(4, part.length)) : part;
    return random.oneIn(3) ? cut.toUpperCase() : cut;
  });
  return parts.join(random.pick(SEPARATORS));
}

function changedText(random: Xorshift, text: string): string {
  let changed = random.oneIn(12) ? text.repeat(random.below(12)) : text;
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    const at = random.below(changed.length + 1);
    const middle = random.oneIn(3) ? "" : random.pick(CHARACTERS);
    changed = changed.slice(0, at) + middle + changed.slice(at + random.below(3));
  }
  return changed;
}

function anyText(random: Xorshift): string {
  let text = "";
  for (let length = random.below(16); length > 0; length--) {
    text += random.oneIn(2) ? random.pick(CHARACTERS) : String.fromCharCode(random.below(0x10000));
  }
  return text;
}

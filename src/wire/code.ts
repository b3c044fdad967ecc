/**
 * One-use codes that people can read aloud: a number from 1 to 99 and three words,
 * `42-ocean-lizard-maple`.
 *
 * The words are the 2048 of BIP-39's English list, in which the first four letters identify a word,
 * so a code has log2(99 · 2048³) ≈ 39.6 bits of entropy. That is little for a password but
 * sufficient here: a code is valid for one link, and the PAKE allows three guesses
 * (`docs/protocol.md`).
 *
 * Parsing tolerates the changes that typing and mail programs make (case, blanks, underscores,
 * typographic hyphens, words shortened to four letters) and nothing else: a misread code must not
 * turn into another valid code. Only the normal form enters the PAKE.
 */
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { SrudpError } from "../base/errors.ts";

/** Number of words in a code, after the number. */
export const CODE_WORDS = 3;
/** The number of a code runs from 1 to this value. */
const CODE_NUMBERS = 99;
/** BIP-39: this many letters identify a word. */
const PREFIX_LETTERS = 4;
/** Longer texts are rejected unread. The longest code has 29 characters. */
const MAX_TEXT_LENGTH = 80;
/** No suggestion is made for longer words. The longest word of the list has eight letters. */
const MAX_MISTAKE_LENGTH = 12;

const WORDS: ReadonlySet<string> = new Set(wordlist);
const POSITIONS: readonly string[] = ["first", "second", "third"];

/**
 * A fresh code in normal form.
 *
 * @param random source of uniform random bytes; called again if a byte would bias the number
 */
export function generateCode(random: (byteLength: number) => Uint8Array): string {
  const even = CODE_NUMBERS * Math.floor(256 / CODE_NUMBERS);
  let byte = random(1)[0]!;
  while (byte >= even) byte = random(1)[0]!;
  const parts = [String(1 + (byte % CODE_NUMBERS))];
  const bytes = random(2 * CODE_WORDS);
  for (let i = 0; i < CODE_WORDS; i++) {
    // 2048 divides 65536, so all words are equally likely.
    parts.push(wordlist[((bytes[2 * i]! << 8) | bytes[2 * i + 1]!) & 2047]!);
  }
  return parts.join("-");
}

/**
 * The normal form of a code as typed by a user.
 *
 * @throws SrudpError ERR_CODE_FORMAT with the mistake. The message never repeats the text, but may
 * suggest the nearest word.
 */
export function parseCode(text: string): string {
  if (text.length > MAX_TEXT_LENGTH) throw malformed("It is too long for a code");
  const parts = text.split(SEPARATORS).filter((part) => part !== "");
  const [number, ...words] = parts;
  if (number === undefined) throw malformed("It is empty");
  const normalNumber = parseCodeNumber(number);
  if (normalNumber === undefined) throw malformed("A code begins with a number from 1 to 99");
  if (words.length !== CODE_WORDS) throw malformed(`It has ${count(words.length)} instead of three`);
  const normalWords = words.map((word, index) => {
    const normal = parseCodeWord(word);
    if (normal !== undefined) return normal;
    const which = POSITIONS[index]!;
    if (!ASCII_LETTERS.test(word)) throw malformed(`The ${which} word has characters other than a to z`);
    const nearest = suggestWord(word);
    throw malformed(
      `The ${which} word is not on the list${nearest === undefined ? "" : ` (did you mean "${nearest}"?)`}`,
    );
  });
  return [normalNumber, ...normalWords].join("-");
}

/**
 * Whether a text is meant as a code, well-formed or not: it starts with a number and has no dot or
 * colon, or it is empty.
 */
export function looksLikeCode(text: string): boolean {
  return /^\s*$|^\s*\d+(?:[\s_\u2010-\u2015-][^.:]*)?$/.test(text);
}

/** The number of a code in normal form ("07" is "7"); `undefined` if it is not valid. */
export function parseCodeNumber(text: string): string | undefined {
  return /^0?([1-9][0-9]?)$/.exec(text)?.[1];
}

/**
 * The intended word: the text in lower case, or the only word that begins with these four or more
 * letters.
 */
export function parseCodeWord(text: string): string | undefined {
  // Checked before the case is folded: U+212A, the Kelvin sign, would become a plain k.
  if (!ASCII_LETTERS.test(text) || text.length > MAX_MISTAKE_LENGTH) return undefined;
  const word = text.toLowerCase();
  if (WORDS.has(word)) return word;
  return word.length >= PREFIX_LETTERS ? completeWord(word)[0] : undefined;
}

/**
 * Every word that begins with `prefix` (in any case), in alphabetical order; all words for an empty
 * prefix.
 */
export function completeWord(prefix: string): string[] {
  if (prefix !== "" && !ASCII_LETTERS.test(prefix)) return [];
  const start = prefix.toLowerCase();
  return wordlist.filter((word) => word.startsWith(start));
}

/**
 * The word nearest to a mistyped one: one or two letters changed, swapped, missing or added.
 * `undefined` if there is none.
 */
export function suggestWord(text: string): string | undefined {
  if (!ASCII_LETTERS.test(text) || text.length > MAX_MISTAKE_LENGTH) return undefined;
  const typed = text.toLowerCase();
  let best: string | undefined;
  // Below four letters, a distance of two would match half of the list.
  let bestDistance = typed.length < PREFIX_LETTERS ? 2 : 3;
  for (const word of wordlist) {
    if (Math.abs(word.length - typed.length) > 2) continue;
    // People rarely mistype the first letter, so it breaks ties.
    const distance = editDistance(typed, word) + (word[0] === typed[0] ? 0 : 0.5);
    if (distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * Optimal string alignment distance: Levenshtein's distance, with the swap of two adjacent letters
 * as one step.
 */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

function malformed(detail: string): SrudpError {
  return new SrudpError("ERR_CODE_FORMAT", detail);
}

function count(words: number): string {
  return words === 0 ? "no words" : words === 1 ? "one word" : `${words} words`;
}

const ASCII_LETTERS = /^[A-Za-z]+$/;
/**
 * Allowed separators: blanks, underscores, hyphens, and the dashes that programs substitute for
 * hyphens.
 */
const SEPARATORS = /[\s_\u2010-\u2015-]+/;

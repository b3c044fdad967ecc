/**
 * The input line for a code. Each part is checked when it is complete, unambiguous prefixes are
 * completed to words, and a mistake is reported at once.
 *
 * This is a state machine over key strokes, without a terminal. `prompt.ts` passes key strokes to
 * it and shows its text.
 */
import { CODE_WORDS, completeWord, parseCodeNumber, parseCodeWord, suggestWord } from "../../wire/code.ts";

/** The entry is being typed, is a complete code, or was ended by Ctrl-C or Ctrl-D. */
export type EntryState = "open" | "done" | "interrupted" | "ended";

const PARTS = 1 + CODE_WORDS;

export class CodeEntry {
  /** A hint about the part that is being typed; empty if there is no mistake. */
  hint = "";
  #parts: string[] = [];
  #current = "";
  #state: EntryState = "open";

  get state(): EntryState {
    return this.#state;
  }

  /** The typed text with its parts in normal form. It is the code once the state is "done". */
  get text(): string {
    const open = this.#parts.length > 0 && this.#parts.length < PARTS;
    return this.#parts.join("-") + (open ? "-" : "") + this.#current;
  }

  /**
   * Handles key strokes as a terminal in raw mode sends them, including a pasted code. Ignores them
   * once the state is "done".
   */
  feed(keys: string): EntryState {
    // Arrow and function keys arrive as escape sequences, whose letters were not typed.
    for (const key of keys.replace(ESCAPE_SEQUENCE, "")) {
      if (this.#state !== "open") break;
      this.#press(key);
    }
    return this.#state;
  }

  #press(key: string): void {
    this.hint = "";
    if (key === CTRL_C) this.#state = "interrupted";
    else if (key === CTRL_D) this.#state = this.text === "" ? "ended" : "open";
    else if (key === "\r" || key === "\n") this.#enter();
    else if (key === "\t") this.#complete();
    else if (key === DELETE || key === "\b") this.#erase();
    else if (key === CTRL_U) this.#clear();
    else if (key === CTRL_W) this.#eraseWord();
    else if (/[\s_\u2010-\u2015-]/.test(key)) this.#endPart();
    // Quotes and full stops may be pasted with a code but are not part of it.
    else if (!/[\p{C}\p{Pi}\p{Pf}\p{Ps}\p{Pe}"'`.,;:!?]/u.test(key)) this.#add(key);
  }

  #add(character: string): void {
    if (this.#parts.length === PARTS) {
      this.hint = "that is the whole code: press Enter";
    } else if (this.#parts.length === 0) {
      if (!/\d/.test(character)) this.hint = NUMBER_FIRST;
      else if (parseCodeNumber(this.#current + character) === undefined) this.hint = NUMBER_FIRST;
      else this.#current += character;
    } else if (this.#current.length < MAX_WORD_LENGTH) {
      // A wrong character stays visible. Without it, the rest of a pasted word could be another
      // word.
      this.#current += /[A-Z]/.test(character) ? character.toLowerCase() : character;
      if (completeWord(this.#current).length === 0) this.#reportMistake();
    }
  }

  /** Ends the current part. Returns false, with a hint, if no code can contain it. */
  #endPart(): boolean {
    if (this.#current === "") {
      if (this.#parts.length === 0) this.hint = NUMBER_FIRST;
      return true;
    }
    const part = this.#parts.length === 0 ? parseCodeNumber(this.#current) : wordOf(this.#current);
    if (part === undefined) {
      this.#reportMistake();
      return false;
    }
    this.#parts.push(part);
    this.#current = "";
    return true;
  }

  #enter(): void {
    if (!this.#endPart()) return;
    if (this.#parts.length === PARTS) this.#state = "done";
    else if (this.#parts.length > 0) this.hint = REMAINING_PARTS[PARTS - this.#parts.length]!;
  }

  #complete(): void {
    if (this.#parts.length === 0 || this.#current === "") {
      this.#endPart();
      return;
    }
    const words = completeWord(this.#current);
    if (words.length === 1) this.#endPart();
    else if (words.length === 0) this.#reportMistake();
    else {
      this.#current = commonPrefix(words);
      this.hint = words.length > MAX_SHOWN ? `${words.length} words` : words.join(" ");
    }
  }

  #erase(): void {
    if (this.#current === "") this.#current = this.#parts.pop() ?? "";
    else this.#current = this.#current.slice(0, -1);
  }

  #eraseWord(): void {
    if (this.#current === "") this.#parts.pop();
    this.#current = "";
  }

  #clear(): void {
    this.#parts = [];
    this.#current = "";
  }

  #reportMistake(): void {
    if (/[^a-z]/.test(this.#current)) {
      this.hint = this.#parts.length === 0 ? NUMBER_FIRST : "letters from a to z only";
      return;
    }
    const words = completeWord(this.#current);
    if (words.length > 0) this.hint = words.length > MAX_SHOWN ? "more letters, please" : words.join(" ");
    else {
      const nearest = suggestWord(this.#current);
      this.hint = nearest === undefined ? "no word begins so" : `no word begins so; did you mean ${nearest}?`;
    }
  }
}

/**
 * The word that `text` abbreviates. Fewer than four letters are enough at a prompt, because it
 * shows the completion.
 */
function wordOf(text: string): string | undefined {
  const word = parseCodeWord(text);
  if (word !== undefined) return word;
  const words = completeWord(text);
  return words.length === 1 ? words[0] : undefined;
}

function commonPrefix(words: readonly string[]): string {
  let prefix = words[0]!;
  for (const word of words) while (!word.startsWith(prefix)) prefix = prefix.slice(0, -1);
  return prefix;
}

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const CTRL_U = "\u0015";
const CTRL_W = "\u0017";
const DELETE = "\u007f";
// ECMA-48 §5.4: CSI, parameters, a final byte; or SS3 and a letter.
const ESCAPE = "\u001b";
const ESCAPE_SEQUENCE = new RegExp(`${ESCAPE}(?:\\[[0-?]*[ -/]*[@-~]|O.|.|$)`, "g");
const MAX_WORD_LENGTH = 12;
const MAX_SHOWN = 8;
const NUMBER_FIRST = "a code begins with a number from 1 to 99";
const REMAINING_PARTS: Readonly<Record<number, string>> = {
  1: "one word is still to come",
  2: "two words are still to come",
  3: "three words are still to come",
};

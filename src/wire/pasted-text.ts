/**
 * Removes what people paste around a code or a ticket: quotes, a full stop, the quotation marks of
 * a mail, invisible characters, or the whole command that the peer printed.
 */

/** Zero-width characters, directional marks, soft hyphen, byte order mark. */
const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;
const QUOTES = /["'`\u00b4\u2018-\u201f\u00ab\u00bb\u2039\u203a]/g;
/** A shell prompt, the quotation mark of a mail, or an opening bracket. */
const LEADING = /^(?:[>|$#%([{<]\s*)+/;
/** Punctuation at the end of a sentence, or closing brackets. */
const TRAILING = /[.,;:!?)\]}>]+$/;
/** `srudp connect`, optionally preceded by a path or a launcher. */
const COMMAND = /^(?:\S+\s+){0,2}?\S*srudp(?:\.js)?\s+connect\s+/;
/** A code surrounded by blanks. */
const CODE = /(?:^|\s)(\d{1,2}(?:[\s_\u2010-\u2015-]+[A-Za-z]{3,12}){3})(?=\s|$)/;
/** Longer texts are left unchanged. */
const MAX_TEXT_LENGTH = 4096;

/** The text of a code without the text around it; the input itself if no code is recognized. */
export function unwrapCode(text: string): string {
  const line = unwrapLine(text);
  const command = COMMAND.exec(line);
  if (command === null) return line;
  const rest = line.slice(command[0].length);
  return CODE.exec(rest)?.[1] ?? rest;
}

/** The text of a ticket on one line, without the text around and between its parts. */
export function unwrapTicket(text: string): string {
  if (text.length > MAX_TEXT_LENGTH) return "";
  const line = text
    .split(/\r?\n|\r/)
    .map(unwrapLine)
    .join(" ");
  const command = COMMAND.exec(line);
  // Options may follow a pasted command.
  const words = command === null ? line : line.slice(command[0].length).split(/\s-/, 1)[0]!;
  return words.replace(/\s+/g, "");
}

/** A line without quotes, invisible characters and surrounding marks. */
export function unwrapLine(text: string): string {
  return unquote(text).replace(LEADING, "").replace(TRAILING, "").trim();
}

/** A text without quotes, invisible characters and surrounding blanks. */
export function unquote(text: string): string {
  if (text.length > MAX_TEXT_LENGTH) return text;
  return text.replace(INVISIBLE, "").replace(QUOTES, "").trim();
}

/**
 * What people paste around a code or a ticket: quotes, a full stop, the marks of a quoted mail, characters that
 * cannot be seen, or the whole command that the other side printed.
 */

/** Zero-width characters, marks of direction, soft hyphen, byte order mark. */
const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;
const QUOTES = /["'`\u00b4\u2018-\u201f\u00ab\u00bb\u2039\u203a]/g;
/** A shell's prompt, a mail's mark of quoted text, or an opened bracket. */
const LEADING = /^(?:[>|$#%([{<]\s*)+/;
/** What ends a sentence or closes a bracket. */
const TRAILING = /[.,;:!?)\]}>]+$/;
/** `srudp connect`, perhaps with a path or a launcher before it. */
const COMMAND = /^(?:\S+\s+){0,2}?\S*srudp(?:\.js)?\s+connect\s+/;
/** A code that stands alone between blanks. */
const CODE = /(?:^|\s)(\d{1,2}(?:[\s_\u2010-\u2015-]+[A-Za-z]{3,12}){3})(?=\s|$)/;
/** Longest text that is looked at. */
const MAX_TEXT_LENGTH = 4096;

/** The text of a code without what was pasted around it; the text itself where nothing is known about it. */
export function unwrapCode(text: string): string {
  const line = unwrapLine(text);
  const command = COMMAND.exec(line);
  if (command === null) return line;
  const rest = line.slice(command[0].length);
  return CODE.exec(rest)?.[1] ?? rest;
}

/** The text of a ticket on one line, without what was pasted around and between its parts. */
export function unwrapTicket(text: string): string {
  if (text.length > MAX_TEXT_LENGTH) return "";
  const line = text
    .split(/\r?\n|\r/)
    .map(unwrapLine)
    .join(" ");
  const command = COMMAND.exec(line);
  // Behind a pasted command there may be options.
  const words = command === null ? line : line.slice(command[0].length).split(/\s-/, 1)[0]!;
  return words.replace(/\s+/g, "");
}

/** A line without quotes, invisible characters and the marks around it. */
export function unwrapLine(text: string): string {
  return unquote(text).replace(LEADING, "").replace(TRAILING, "").trim();
}

/** A text without quotes and invisible characters, and without blanks around it. */
export function unquote(text: string): string {
  if (text.length > MAX_TEXT_LENGTH) return text;
  return text.replace(INVISIBLE, "").replace(QUOTES, "").trim();
}

/** Makes untrusted text, such as text from the peer, safe for terminals and logs. */

/** Maximum length of untrusted text that is shown. */
const MAX_SHOWN_LENGTH = 400;

/**
 * Escapes control characters, invisible characters and bidirectional controls in `text` as `\u{…}`,
 * and truncates long text. The result cannot move the cursor or start a new line.
 */
export function escapeText(text: string): string {
  const cut = text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\\]/gu, (character) =>
    character === "\\" ? "\\\\" : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** One line of JSON whose strings contain no character that a terminal could interpret. */
export function jsonLine(value: object): string {
  return JSON.stringify(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    // JSON needs two escapes for a character outside the basic plane.
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

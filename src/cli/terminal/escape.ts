/** Text that came from the peer, or from anywhere else, made harmless for a terminal and a log. */

/** Longest piece of foreign text that is shown. */
const MAX_SHOWN_LENGTH = 400;

/**
 * `text` with control characters, invisible ones and those that turn the direction of writing as
 * `\u{…}`, and cut when it is long: it can neither move a cursor nor start a line of its own.
 */
export function escapeText(text: string): string {
  const cut = text.length > MAX_SHOWN_LENGTH ? `${text.slice(0, MAX_SHOWN_LENGTH)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\\]/gu, (character) =>
    character === "\\" ? "\\\\" : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** One line of JSON whose strings hold no character that a terminal could act on. */
export function jsonLine(value: object): string {
  return JSON.stringify(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    // Beyond the basic plane JSON wants two escapes.
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

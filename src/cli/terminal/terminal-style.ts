/** Detects whether a terminal supports colours and non-ASCII characters. */
type Environment = Readonly<Record<string, string | undefined>>;

/** The properties of a stream that determine whether it shows colours. */
export interface ColorStream {
  readonly isTTY?: boolean;
  hasColors?(count?: number, environment?: object): boolean;
}

/**
 * Whether prose is coloured. A variable that disables colours takes precedence over one that forces
 * them. Both take precedence over the type of the stream. See no-color.org and
 * bixense.com/clicolors; FORCE_COLOR is read like Node and chalk do.
 */
export function wantsColors(stream: ColorStream, environment: Environment): boolean {
  const { NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, CLICOLOR, TERM } = environment;
  // An empty value does not count.
  if (NO_COLOR) return false;
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  if (CLICOLOR_FORCE && CLICOLOR_FORCE !== "0") return true;
  if (stream.isTTY !== true || TERM === "dumb" || CLICOLOR === "0") return false;
  // Node would also honour an empty NO_COLOR.
  return stream.hasColors?.(2, { ...environment, NO_COLOR: undefined }) === true;
}

/**
 * Whether the locale's character set goes beyond ASCII. POSIX defines the precedence of these
 * variables.
 */
export function hasUnicode({ LC_ALL, LC_CTYPE, LANG }: Environment): boolean {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || "");
}

/** Whether a terminal gets colours, and characters beyond ASCII. */
type Environment = Readonly<Record<string, string | undefined>>;

/** What of a stream tells whether it shows colours. */
export interface ColorStream {
  readonly isTTY?: boolean;
  hasColors?(count?: number, environment?: object): boolean;
}

/**
 * Whether prose is coloured: a variable that forbids it comes before one that demands it, and both come before what
 * the stream is. See no-color.org and bixense.com/clicolors; FORCE_COLOR as Node and chalk read it.
 */
export function wantsColors(stream: ColorStream, environment: Environment): boolean {
  const { NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, CLICOLOR, TERM } = environment;
  // An empty one does not count.
  if (NO_COLOR) return false;
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
  if (CLICOLOR_FORCE && CLICOLOR_FORCE !== "0") return true;
  if (stream.isTTY !== true || TERM === "dumb" || CLICOLOR === "0") return false;
  // Node lets NO_COLOR count when it is empty, too.
  return stream.hasColors?.(2, { ...environment, NO_COLOR: undefined }) === true;
}

/** Whether the locale's characters go beyond ASCII; POSIX gives these variables this order. */
export function hasUnicode({ LC_ALL, LC_CTYPE, LANG }: Environment): boolean {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || "");
}

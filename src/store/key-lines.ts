/** Files of keys, line by line: blank lines and those that begin with # mean nothing, all others must be right. */
import { SrudpError } from "../base/errors.ts";
import { quotePath } from "../platform/private-file.ts";
import { decodeKey } from "../wire/key-text.ts";

/** The lines that mean something, with their numbers from 1. */
export function meaningfulLines(text: string): [number, string][] {
  return text
    .split(/\r?\n/)
    .map((line, index): [number, string] => [index + 1, line.trim()])
    .filter(([, line]) => line !== "" && !line.startsWith("#"));
}

/**
 * The key in a line of a file. Skipping a line that cannot be read could turn a changed key into a new one.
 *
 * @throws SrudpError ERR_KEY_FILE, with the number of the line
 */
export function keyOfLine(path: string, number: number, key: string | undefined): Uint8Array {
  try {
    return decodeKey(key ?? "");
  } catch {
    throw refusedLine(path, number, "cannot be read");
  }
}

/** A line that must not be skipped. @param what is wrong with it, behind "Line 3 of FILE" */
export function refusedLine(path: string, number: number, what: string): SrudpError {
  return new SrudpError("ERR_KEY_FILE", `Line ${number} of ${quotePath(path)} ${what}`);
}

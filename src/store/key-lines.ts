/**
 * Reads files of keys line by line. Blank lines and lines that begin with # are ignored. All other
 * lines must be valid.
 */
import { SrudpError } from "../base/errors.ts";
import { quotePath } from "../platform/private-file.ts";
import { decodeKey } from "../wire/key-text.ts";

/** The lines with content, with their numbers from 1. */
export function meaningfulLines(text: string): [number, string][] {
  return text
    .split(/\r?\n/)
    .map((line, index): [number, string] => [index + 1, line.trim()])
    .filter(([, line]) => line !== "" && !line.startsWith("#"));
}

/**
 * Parses the key in a line of a file. An invalid line is an error, because skipping it could make a
 * changed key look like a new one.
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

/**
 * The error for a line that must not be skipped. @param what the problem, as text after "Line 3 of
 * FILE"
 */
export function refusedLine(path: string, number: number, what: string): SrudpError {
  return new SrudpError("ERR_KEY_FILE", `Line ${number} of ${quotePath(path)} ${what}`);
}

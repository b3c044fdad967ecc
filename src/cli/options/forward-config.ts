/**
 * The file of `srudp forward --config`: a peer, forwards and options, in TOML. It is read and
 * validated completely before it takes effect. An unknown key is an error.
 *
 *     peer = "laptop.example.org:4242"
 *     secret-file = "link.secret"          # any long option of the command; paths are relative to this file's folder
 *     [forward]
 *     local = ["2222:localhost:22"]        # the arguments of -L, -R and -D
 *     remote = ["8080:localhost:3000"]
 *     dynamic = ["1080"]
 */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Command, Option } from "commander";
import { Permissions } from "../../app/forward/permissions/permissions.ts";
import { parseForward } from "../../app/forward/spec.ts";
import { SrudpError } from "../../base/errors.ts";
import { collect, type ForwardOptions } from "./common-options.ts";
import { parsePeer } from "./operands.ts";

export interface ForwardConfig {
  readonly peer: string;
  readonly options: ForwardOptions;
}

const FORWARDS = { local: "L", remote: "R", dynamic: "D" } as const;
/**
 * Options whose values are paths. They are relative to the folder of the file, because a tunnel
 * must not depend on the working directory.
 */
const PATHS: ReadonlySet<string> = new Set([
  "code-file",
  "identity",
  "passphrase-file",
  "qlog",
  "secret-file",
  "turn-file",
]);
/** Options that are allowed only on the command line. */
const COMMAND_LINE_ONLY: ReadonlySet<string> = new Set([
  "config",
  "help",
  "json",
  "verbose",
  "quiet",
  "code-fd",
]);

/**
 * @param command defines the options that the file may contain
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_CONFIG
 */
export async function readForwardConfig(path: string, command: Command): Promise<ForwardConfig> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new SrudpError("ERR_FILE_UNREADABLE", path, error);
  }
  const { parse } = await import("smol-toml");
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (error) {
    const { line, message } = error as { line?: number; message: string };
    throw bad(path, `line ${line ?? "?"}: ${message.split("\n")[0]}`);
  }
  const { peer, forward = {}, ...rest } = table;
  const file = new ConfigFile(path, text);
  if (typeof peer !== "string" || peer === "") throw file.bad("peer", "is missing, or is not text");
  const options = { ...readOptions(file, rest, command), ...readForwards(file, forward) };
  checkEntries(file, peer, options);
  return { peer, options };
}

/** The text of a file, used to report the line of an error. */
class ConfigFile {
  readonly path: string;
  readonly #lines: readonly string[];

  constructor(path: string, text: string) {
    this.path = path;
    this.#lines = text.split("\n");
  }

  /** @param key as in `secret-file` or `forward.local`. @param what the problem */
  bad(key: string, what: string): SrudpError {
    const line = this.#lineOf(key);
    return bad(this.path, line === undefined ? `${key} ${what}` : `line ${line}: ${key} ${what}`);
  }

  /** The line of a key or of its table. The parser does not report it. */
  #lineOf(key: string): number | undefined {
    const [first, last] = [key.split(".")[0]!, key.split(".").at(-1)!];
    for (const word of [last, first]) {
      const quoted = word.replace(/[^\w-]/g, "\\$&");
      const pattern = new RegExp(`^\\s*(?:\\[+\\s*|[\\w."'-]+\\.)?["']?${quoted}["']?\\s*[\\].=]`);
      const at = this.#lines.findIndex((line) => pattern.test(line));
      if (at >= 0) return at + 1;
    }
    return undefined;
  }
}

function readForwards(file: ConfigFile, forward: unknown): ForwardOptions {
  const read: Record<string, string[]> = {};
  if (!isTable(forward)) throw file.bad("forward", "is not a table");
  for (const [name, value] of Object.entries(forward)) {
    if (!Object.hasOwn(FORWARDS, name)) throw file.bad(`forward.${name}`, "means nothing");
    read[FORWARDS[name as keyof typeof FORWARDS]] = textsOf(file, `forward.${name}`, value);
  }
  return read;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Validates values that are otherwise parsed later, when the error would not name the file. */
function checkEntries(file: ConfigFile, peer: string, options: ForwardOptions): void {
  const check = (key: string, texts: readonly string[] = [], parse: (text: string) => unknown): void => {
    for (const text of texts) {
      try {
        parse(text);
      } catch (error) {
        throw file.bad(key, `is not understood: ${(error as SrudpError).detail}`);
      }
    }
  };
  check("peer", [peer], (text) => parsePeer([text]));
  check("forward.local", options.L, (text) => parseForward("L", text));
  check("forward.remote", options.R, (text) => parseForward("R", text));
  check("forward.dynamic", options.D, (text) => parseForward("D", text));
  check("expose", options.expose, (text) => new Permissions([text]));
  check("permit-listen", options.permitListen, (text) => new Permissions([], [text]));
}

/** Reads options by their long names with the parsers of the command line. */
function readOptions(file: ConfigFile, table: Record<string, unknown>, command: Command): ForwardOptions {
  const read: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(table)) {
    const option = command.options.find(({ long }) => long === `--${name}`);
    if (option === undefined || COMMAND_LINE_ONLY.has(name)) throw file.bad(name, "means nothing here");
    read[option.attributeName()] = readOption(file, name, value, option);
  }
  return read as ForwardOptions;
}

function readOption(file: ConfigFile, name: string, value: unknown, option: Option): unknown {
  if (!option.required) {
    if (typeof value !== "boolean") throw file.bad(name, "is true or false");
    return option.negate ? !value : value;
  }
  // For an option that is not repeatable, all but the last of several values would be lost.
  const isRepeatable = option.parseArg === collect;
  if (Array.isArray(value) && !isRepeatable) throw file.bad(name, "takes one value");
  const given = Array.isArray(value) ? textsOf(file, name, value) : [textOf(file, name, value)];
  const folder = dirname(file.path);
  const texts = PATHS.has(name) ? given.map((text) => resolve(folder, text)) : given;
  let read: unknown;
  try {
    for (const text of texts) read = option.parseArg === undefined ? text : option.parseArg(text, read);
  } catch (error) {
    throw file.bad(name, `is not understood: ${(error as Error).message}`);
  }
  return read;
}

function textsOf(file: ConfigFile, name: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw file.bad(name, "is not a list");
  return value.map((one) => textOf(file, name, one));
}

function textOf(file: ConfigFile, name: string, value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number") throw file.bad(name, "is not text");
  return String(value);
}

function bad(path: string, detail: string): SrudpError {
  return new SrudpError("ERR_CONFIG", `${path}: ${detail}`);
}

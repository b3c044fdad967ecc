/**
 * The file of `srudp forward --config`: a peer, forwards and options, in TOML. All of it is read and checked before
 * anything is done, and a word that means nothing is a mistake.
 *
 *     peer = "laptop.example.org:4242"
 *     secret-file = "link.secret"          # any long option of the command, by its name; files from this one's folder
 *     [forward]
 *     local = ["2222:localhost:22"]        # as behind -L, -R and -D
 *     remote = ["8080:localhost:3000"]
 *     dynamic = ["1080"]
 */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Command, Option } from "commander";
import { SrudpError } from "../base/errors.ts";
import type { ForwardOptions } from "./options.ts";

export interface ForwardConfig {
  readonly peer: string;
  readonly options: ForwardOptions;
}

const FORWARDS = { local: "L", remote: "R", dynamic: "D" } as const;
/** Options whose values are paths: a standing tunnel must not depend on where it is started. */
const PATHS: ReadonlySet<string> = new Set([
  "code-file",
  "identity",
  "passphrase-file",
  "qlog",
  "secret-file",
  "turn-file",
]);
/** Options that mean something on the command line only. */
const NOT_HERE: ReadonlySet<string> = new Set(["config", "help", "json", "verbose", "quiet", "code-fd"]);

/**
 * @param command whose options may stand in the file
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
  if (typeof peer !== "string" || peer === "") throw bad(path, "peer is missing");
  return { peer, options: { ...readOptions(path, rest, command), ...readForwards(path, forward) } };
}

function readForwards(path: string, forward: unknown): ForwardOptions {
  const read: Record<string, string[]> = {};
  if (typeof forward !== "object" || forward === null) throw bad(path, "forward is not a table");
  for (const [name, value] of Object.entries(forward)) {
    if (!(name in FORWARDS)) throw bad(path, `forward.${name} means nothing`);
    read[FORWARDS[name as keyof typeof FORWARDS]] = textsOf(path, `forward.${name}`, value);
  }
  return read;
}

/** Options by their long names, each read as the command line reads it. */
function readOptions(path: string, table: Record<string, unknown>, command: Command): ForwardOptions {
  const read: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(table)) {
    const option = command.options.find(({ long }) => long === `--${name}`);
    if (option === undefined || NOT_HERE.has(name)) throw bad(path, `${name} means nothing here`);
    read[option.attributeName()] = readOption(path, name, value, option);
  }
  return read as ForwardOptions;
}

function readOption(path: string, name: string, value: unknown, option: Option): unknown {
  if (!option.required) {
    if (typeof value !== "boolean") throw bad(path, `${name} is true or false`);
    return option.negate ? !value : value;
  }
  const given = Array.isArray(value) ? textsOf(path, name, value) : [textOf(path, name, value)];
  const texts = PATHS.has(name) ? given.map((text) => resolve(dirname(path), text)) : given;
  let read: unknown;
  try {
    for (const text of texts) read = option.parseArg === undefined ? text : option.parseArg(text, read);
  } catch (error) {
    throw bad(path, `${name}: ${(error as Error).message}`);
  }
  return read;
}

function textsOf(path: string, name: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw bad(path, `${name} is not a list`);
  return value.map((one) => textOf(path, name, one));
}

function textOf(path: string, name: string, value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number") throw bad(path, `${name} is not text`);
  return String(value);
}

function bad(path: string, detail: string): SrudpError {
  return new SrudpError("ERR_CONFIG", `${path}: ${detail}`);
}

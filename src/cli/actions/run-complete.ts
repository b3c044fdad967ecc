/**
 * `srudp __complete`: prints the completions at the cursor, for the scripts of `srudp completion`.
 *
 * The first line of the output is `words`, `files` or `folders`, a tab, and the part of the current
 * word before the file name. `files` and `folders` mean that the shell also completes paths. Each
 * further line is a word, a tab, and its description.
 */
import type { Command, Option } from "commander";
import { runningProcesses } from "../../app/control/control-client.ts";
import { controlFolder } from "../../app/control/control-folder.ts";
import { configurationFolder, KeyStore } from "../../store/key-store.ts";
import { escapeText } from "../terminal/escape.ts";

interface Candidate {
  readonly word: string;
  readonly description: string;
}

interface Completion {
  readonly files?: "files" | "folders";
  readonly candidates: readonly Candidate[];
}

/** The kind of an operand or of an option's value. */
type Kind = "peer" | "process" | "file" | "folder" | "command" | readonly string[];

/** By command. The last operand of a command that takes several applies to all further ones. */
const OPERANDS: Readonly<Record<string, readonly Kind[]>> = {
  connect: ["peer"],
  forward: ["peer"],
  bench: ["peer"],
  control: ["process", ["add", "cancel"]],
  completion: [["bash", "zsh", "fish"]],
  help: ["command"],
  "peers forget": ["peer"],
  "peers check": ["peer"],
  "key secret": ["file"],
};

/** By the name of the option, or by the placeholder of its value. */
const VALUES: Readonly<Record<string, Kind>> = {
  "--peer": "peer",
  "--allow": "peer",
  "<file>": "file",
  "<dir>": "folder",
};

/** A word with this beginning is a path, where the path of a socket is allowed. */
const PATH_START = /^\.{0,2}\//;
const NOTHING: Completion = { candidates: [] };

/**
 * @param words the words after `srudp` up to the cursor; the last one is at the cursor and may be
 * empty
 * @returns the exit status
 */
export async function runComplete(
  program: Command,
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? "";
  const equals = /^(--[a-z-]+=)(.*)$/s.exec(current);
  const prefix = equals?.[1] ?? "";
  const position = positionOf(program, before);
  const { candidates, files } =
    equals === null
      ? await complete(position, current, environment)
      : await completeValue(optionOf(position.command, prefix.slice(0, -1)), equals[2]!, environment);
  const lines = [
    `${files ?? "words"}\t${prefix}`,
    ...candidates
      .map(({ word, description }) => ({ word: `${prefix}${word}`, description }))
      .filter(({ word }) => word.startsWith(current))
      .map(({ word, description }) => `${escapeText(word)}\t${escapeText(description)}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
  return 0;
}

/** The position of the cursor. */
interface CursorPosition {
  readonly program: Command;
  readonly command: Command;
  /** The name of the command, for example "peers forget". */
  readonly name: string;
  /** Number of operands before the cursor. */
  readonly operands: number;
  /** The option whose value is at the cursor. */
  readonly option: Option | undefined;
  /** Whether the cursor is after `--`, in a program and its arguments. */
  readonly isProgram: boolean;
}

function positionOf(program: Command, before: readonly string[]): CursorPosition {
  let command = program;
  let operands = 0;
  let option: Option | undefined;
  const names: string[] = [];
  const positionHere = (isProgram: boolean): CursorPosition => {
    return { program, command, name: names.join(" "), operands, option, isProgram };
  };
  for (const word of before) {
    if (option !== undefined) {
      option = undefined;
      continue;
    }
    if (word === "--") return positionHere(true);
    if (word.startsWith("-") && word !== "-") {
      const found = word.includes("=") ? undefined : optionOf(command, word);
      option = found?.required === true ? found : undefined;
      continue;
    }
    const inner = operands === 0 ? command.commands.find((one) => one.name() === word) : undefined;
    if (inner === undefined && command === program && word !== "help") return positionHere(true);
    if (inner === undefined && command !== program) operands++;
    else {
      command = inner ?? program;
      names.push(word);
      // The operand of `help` is a command.
      if (inner === undefined) operands = 0;
    }
  }
  return positionHere(false);
}

function optionOf(command: Command, flag: string): Option | undefined {
  // Several short options may be joined in one word. Only the last one can take its value from the
  // next word.
  const short = /^-[^-]/.test(flag) ? `-${flag.at(-1)}` : flag;
  return command.options.find((option) => option.long === flag || option.short === short);
}

async function complete(
  position: CursorPosition,
  current: string,
  environment: NodeJS.ProcessEnv,
): Promise<Completion> {
  const { program, command, name, operands, option, isProgram } = position;
  if (isProgram) return { files: "files", candidates: [] };
  if (option !== undefined) return completeValue(option, current, environment);
  if (current.startsWith("-")) return { candidates: optionsOf(command) };
  const kinds = OPERANDS[name];
  const kind =
    kinds?.[operands] ?? (command.registeredArguments.at(-1)?.variadic ? kinds?.at(-1) : undefined);
  if (kind !== undefined) return completeKind(kind, environment, program);
  return operands === 0 && command.commands.length > 0 ? { candidates: commandsOf(command) } : NOTHING;
}

function completeValue(
  option: Option | undefined,
  current: string,
  environment: NodeJS.ProcessEnv,
): Promise<Completion> {
  if (option === undefined) return Promise.resolve(NOTHING);
  const placeholder = /<[^>]*>/.exec(option.flags)?.[0] ?? "";
  const kind = option.argChoices ?? VALUES[option.long ?? ""] ?? VALUES[placeholder];
  if (kind !== undefined) return completeKind(kind, environment);
  return Promise.resolve(PATH_START.test(current) ? { files: "files", candidates: [] } : NOTHING);
}

async function completeKind(
  kind: Kind,
  environment: NodeJS.ProcessEnv,
  program?: Command,
): Promise<Completion> {
  switch (kind) {
    case "file":
      return { files: "files", candidates: [] };
    case "folder":
      return { files: "folders", candidates: [] };
    case "peer":
      return { candidates: await savedPeers(environment) };
    case "process":
      return { candidates: await processes(environment) };
    case "command":
      return { candidates: program === undefined ? [] : commandsOf(program) };
    default:
      return { candidates: kind.map((word) => ({ word, description: "" })) };
  }
}

function commandsOf(command: Command): Candidate[] {
  const help = command.createHelp();
  return help.visibleCommands(command).map((one) => ({
    word: one.name(),
    description: help.subcommandDescription(one),
  }));
}

function optionsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ short, long, description }) =>
      [long, short].filter((word) => word !== undefined).map((word) => ({ word, description })),
    );
}

/** Files that are not readable add no candidates. A completion cannot report errors. */
async function savedPeers(environment: NodeJS.ProcessEnv): Promise<Candidate[]> {
  try {
    const peers = await new KeyStore(configurationFolder(environment)).savedPeers.list();
    return peers.map(({ name, address }) => ({ word: name, description: address ?? "saved peer" }));
  } catch {
    return [];
  }
}

async function processes(environment: NodeJS.ProcessEnv): Promise<Candidate[]> {
  try {
    const running = await runningProcesses(controlFolder(environment));
    return running.map(({ pid, state }) => ({
      word: String(pid),
      description: "command" in state ? `${state.command} ${state.name}` : "not answering",
    }));
  } catch {
    return [];
  }
}

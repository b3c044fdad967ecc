/** `srudp completion`: a script for the shell, made from the program's own commands and options. */
import type { Command } from "commander";
import { usage } from "../options/operands.ts";

/** @returns the status to exit with */
export function runCompletion(program: Command, shell: string): number {
  const write = SHELLS[shell];
  if (write === undefined) throw usage("Completion is for bash, zsh and fish");
  process.stdout.write(write(wordsOf(program)));
  return 0;
}

interface Words {
  readonly commands: readonly {
    name: string;
    summary: string;
    options: readonly Flag[];
    operands: readonly string[];
  }[];
}

interface Flag {
  readonly short: string | undefined;
  readonly long: string | undefined;
  readonly takesFile: boolean;
  readonly takesValue: boolean;
  readonly summary: string;
}

function wordsOf(program: Command): Words {
  return {
    commands: program.commands.map((command) => ({
      name: command.name(),
      summary: command.summary() || command.description().split("\n")[0]!,
      operands:
        command.name() === "completion" ? Object.keys(SHELLS) : command.commands.map((inner) => inner.name()),
      options: [...command.options, ...command.commands.flatMap((inner) => inner.options)]
        .filter((option, index, all) => all.findIndex((other) => other.flags === option.flags) === index)
        .map((option) => ({
          short: option.short,
          long: option.long,
          takesFile: /<(file|dir)>/.test(option.flags),
          takesValue: option.required,
          summary: option.description,
        })),
    })),
  };
}

const names = (options: readonly Flag[]): string[] =>
  options.flatMap((option) => [option.short, option.long].filter((name) => name !== undefined));

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const SHELLS: Readonly<Record<string, (words: Words) => string>> = {
  bash: ({ commands }) => `# srudp completion for bash: source <(srudp completion bash)
_srudp() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} words=
  COMPREPLY=()
  case $before in
    ${names(commands.flatMap((command) => command.options.filter((option) => option.takesFile))).join("|")}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  if (( COMP_CWORD == 1 )); then words=${quoted(commands.map((command) => command.name).join(" "))}
  else case \${COMP_WORDS[1]} in
${commands.map(({ name, operands, options }) => `    ${name}) words=${quoted([...operands, ...names(options)].join(" "))} ;;`).join("\n")}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _srudp srudp
`,
  zsh: ({ commands }) => `#compdef srudp
# srudp completion for zsh: source <(srudp completion zsh)
_srudp() {
  if (( CURRENT == 2 )); then
    local -a commands=(${commands.map(({ name, summary }) => quoted(`${name}:${summary}`)).join(" ")})
    _describe command commands
    return
  fi
  case $words[2] in
${commands
  .map(({ name, operands, options }) => {
    const flags = options.flatMap((option) =>
      [option.short, option.long]
        .filter((flag) => flag !== undefined)
        .map((flag) => {
          const help = option.summary.replace(/[[\]]/g, "").replaceAll(":", "\\:");
          const value = option.takesFile ? ":file:_files" : option.takesValue ? ":value:" : "";
          return quoted(`${flag}[${help}]${value}`);
        }),
    );
    const rest = operands.length === 0 ? "" : ` ${quoted(`2:operand:(${operands.join(" ")})`)}`;
    return `    ${name}) _arguments ${flags.join(" ")}${rest} ;;`;
  })
  .join("\n")}
  esac
}
compdef _srudp srudp
`,
  fish: ({ commands }) => `# srudp completion for fish: srudp completion fish | source
complete -c srudp -f
${commands.map(({ name, summary }) => `complete -c srudp -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`).join("\n")}
${commands
  .flatMap(({ name, operands, options }) => {
    const when = `-n '__fish_seen_subcommand_from ${name}'`;
    return [
      ...operands.map((operand) => `complete -c srudp ${when} -a ${operand}`),
      ...options.map((option) => {
        const short = option.short === undefined ? "" : ` -s ${option.short.slice(1)}`;
        const long = option.long === undefined ? "" : ` -l ${option.long.slice(2)}`;
        return `complete -c srudp ${when}${short}${long}${option.takesFile ? " -rF" : option.takesValue ? " -x" : ""} -d ${quoted(option.summary)}`;
      }),
    ];
  })
  .join("\n")}
`,
};

/** Completion in the real shells, each at a terminal: what is typed, TAB, and what the command line is then. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeKey } from "../../src/wire/key-text.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { canMakeTerminals, Terminal, terminalLauncher } from "../lib/terminal.ts";

const SRUDP = resolve("bin/srudp.js");
/** Shows the command line as it is, between brackets; asked for with Ctrl-T. */
const SHELLS = {
  bash: {
    words: ["bash", "--norc", "--noprofile", "-i"],
    setUp: `PS1='ready> '; bind 'set bell-style none'; bind -x '"\\C-t": printf "[[%s]]\\n" "$READLINE_LINE"'`,
  },
  zsh: {
    words: ["zsh", "-f", "-i"],
    setUp:
      "PS1='ready> '; autoload -U compinit; compinit -u -D; show() { print -r -- \"[[$BUFFER]]\" }; zle -N show; bindkey -e; bindkey '^T' show",
  },
  fish: {
    words: ["fish", "--no-config", "-i"],
    setUp:
      "function fish_prompt; echo 'ready> '; end; function show; printf '[[%s]]\\n' (commandline); end; bind \\ct show",
  },
} as const;

/** What is typed behind `srudp`, and what TAB makes of it; PID stands for a running listener's process. */
const COMPLETIONS: readonly (readonly [string, string])[] = [
  ["lis", "listen"],
  ["conn", "connect"],
  ["ren", "rendezvous"],
  ["sta", "status"],
  ["help forw", "help forward"],
  ["completion z", "completion zsh"],
  ["peers for", "peers forget"],
  ["peers ch", "peers check"],
  ["key sec", "key secret"],
  ["connect al", "connect alice"],
  ["forward al", "forward alice"],
  ["bench al", "bench alice"],
  ["peers forget al", "peers forget alice"],
  ["peers check al", "peers check alice"],
  ["connect -4 al", "connect -4 alice"],
  ["connect -p 4242 al", "connect -p 4242 alice"],
  ["connect h:1 --peer al", "connect h:1 --peer alice"],
  ["connect --peer=al", "connect --peer=alice"],
  ["listen --allow al", "listen --allow alice"],
  ["listen --allow=al", "listen --allow=alice"],
  ["listen --congestion cu", "listen --congestion cubic"],
  ["listen --congestion=b", "listen --congestion=bbr"],
  ["listen --cong", "listen --congestion"],
  ["connect --passphrase-f", "connect --passphrase-file"],
  ["rendezvous --max-relays-p", "rendezvous --max-relays-per-address"],
  ["doctor --turn-f", "doctor --turn-file"],
  ["listen --secret-file sec", "listen --secret-file secret.txt"],
  ["connect alice --code-file=sec", "connect alice --code-file=secret.txt"],
  ["connect alice --qlog tra", "connect alice --qlog traces/"],
  ["forward alice --config tun", "forward alice --config tunnels.ini"],
  ["control PI", "control PID"],
  ["control PID can", "control PID cancel"],
  ["listen -e -- ./scr", "listen -e -- ./script.sh"],
];

const isInstalled = (name: string): boolean => spawnSync(name, ["-c", "exit 0"]).status === 0;

for (const shell of Object.keys(SHELLS)) {
  const reason = !canMakeTerminals ? "python3 with its pty module" : !isInstalled(shell) ? shell : undefined;
  if (reason !== undefined) console.log(`skipped: completion in ${shell}, since ${reason} is absent`);
}

const folder = temporaryFolder();
const env = { XDG_RUNTIME_DIR: temporaryFolder(), XDG_CONFIG_HOME: temporaryFolder() };
let pid = 0;

beforeAll(async () => {
  mkdirSync(join(folder, "bin"));
  symlinkSync(SRUDP, join(folder, "bin/srudp"));
  mkdirSync(join(folder, "traces"));
  for (const name of ["secret.txt", "tunnels.ini", "script.sh"]) writeFileSync(join(folder, name), "");
  mkdirSync(join(env.XDG_CONFIG_HOME, "srudp"), { mode: 0o700 });
  const key = encodeKey(new Uint8Array(32).fill(7));
  writeFileSync(join(env.XDG_CONFIG_HOME, "srudp/peers"), `alice ${key}\n`, { mode: 0o600 });
  const listener = SrudpProcess.start(["listen", "0"], { env });
  await listener.event("listening");
  pid = listener.pid;
});
afterAll(endAll);

/** A shell at a terminal, with completion set up. */
class Shell {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #terminal: Terminal;

  constructor(name: keyof typeof SHELLS) {
    const words = [...terminalLauncher([0, 1, 2]), ...SHELLS[name].words];
    this.#child = spawn(words[0]!, words.slice(1), {
      cwd: folder,
      env: { ...env, PATH: `${folder}/bin:${process.env.PATH}`, HOME: folder, TERM: "dumb", LANG: "C.UTF-8" },
    });
    this.#terminal = new Terminal(this.#child.stdin, this.#child.stdout);
    const source = name === "fish" ? "srudp completion fish | source" : `source <(srudp completion ${name})`;
    this.#terminal.type(`${SHELLS[name].setUp}; ${source}; echo set-"up"\r`);
  }

  isSetUp(): Promise<void> {
    return this.#terminal.shown("set-up");
  }

  /** The command line that TAB makes of `typed`. */
  async complete(typed: string): Promise<string> {
    this.#terminal.text = "";
    this.#terminal.type(`${typed}\t\u0014`);
    await this.#terminal.shown("]]");
    this.#terminal.type("\u0015");
    return /\[\[(.*?)\]\]/s.exec(this.#terminal.text)![1]!;
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}

describe.each(Object.keys(SHELLS) as (keyof typeof SHELLS)[])("completion in %s", (name) => {
  it.skipIf(!canMakeTerminals || !isInstalled(name))(
    "completes commands, options, their values, saved names, processes and files",
    async () => {
      const shell = new Shell(name);
      try {
        await shell.isSetUp();
        const wrong: string[] = [];
        for (const [typed, wanted] of COMPLETIONS) {
          const line = typed.replace("PID", String(pid)).replace("PI", String(pid).slice(0, -1));
          const completed = (await shell.complete(`srudp ${line}`)).trimEnd();
          const right = `srudp ${wanted.replace("PID", String(pid))}`;
          if (completed !== right) wrong.push(`${line} -> ${completed}`);
        }
        expect(wrong).toEqual([]);
      } finally {
        shell.end();
      }
    },
    120_000,
  );
});

it("completion offers what the help shows: every option of every command, and no hidden one", () => {
  const complete = (...words: string[]): string[] =>
    spawnSync(process.execPath, [SRUDP, "__complete", "--", ...words], { encoding: "utf8" })
      .stdout.split("\n")
      .slice(1, -1)
      .map((line) => line.split("\t")[0]!);
  const commands = complete("");
  expect(commands).toContain("listen");
  expect(commands).not.toContain("__complete");
  for (const command of commands.filter((name) => name !== "help")) {
    const help = spawnSync(process.execPath, [SRUDP, command, "--help"], { encoding: "utf8" }).stdout;
    const shown = [...help.matchAll(/^ {2}(-\S+?)(?:, (--\S+))?(?: |$)/gm)].flatMap(([, first, second]) =>
      [first!, second].filter((flag) => flag !== undefined),
    );
    expect(shown.length, command).toBeGreaterThan(0);
    expect(complete(command, "-").sort(), command).toEqual(shown.sort());
  }
});

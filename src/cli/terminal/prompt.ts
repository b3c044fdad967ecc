/**
 * Asks the user questions at the terminal. Questions and answers use `/dev/tty`, because stdin and
 * stdout carry data.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { ReadStream } from "node:tty";
import { SrudpError } from "../../base/errors.ts";
import { onAbort } from "../../platform/abort.ts";
import { Redacted } from "../../store/redacted.ts";
import { Interruption } from "../exit.ts";
import { CodeEntry } from "./code-entry.ts";

const TERMINAL = "/dev/tty";
const BELL = "\u0007";
const CLEAR_LINE = "\r\u001b[K";

/** Whether the process has a terminal. */
export function hasTerminal(): boolean {
  try {
    closeSync(openSync(TERMINAL, "r+"));
    return true;
  } catch {
    return false;
  }
}

/**
 * Asks for a code and checks it word by word.
 *
 * @returns the code in normal form
 * @throws SrudpError ERR_CODE_NEEDED without a terminal or at its end (Ctrl-D), ERR_INTERRUPTED on
 * Ctrl-C; the reason of `signal`
 */
export async function askCode(question: string, signal: AbortSignal): Promise<Redacted<string>> {
  const terminal = openTerminal();
  if (terminal === undefined) throw new SrudpError("ERR_CODE_NEEDED", "There is no terminal to ask on");
  const entry = new CodeEntry();
  const show = (): void => {
    const line = `${question}${entry.text}`;
    const room = Math.max(0, terminal.columns - line.length - 4);
    const hint = entry.hint.slice(0, room);
    const back = hint === "" ? "" : `\u001b[${hint.length + 2}D`;
    terminal.write(`${CLEAR_LINE}${line}${hint === "" ? "" : `  \u001b[2m${hint}\u001b[0m${back}`}`);
  };
  try {
    terminal.input.setRawMode(true);
    show();
    await terminal.read(signal, (keys) => {
      const state = entry.feed(keys);
      if (entry.hint !== "") terminal.write(BELL);
      show();
      return state !== "open";
    });
  } finally {
    terminal.close("\r\n");
  }
  if (entry.state === "interrupted") throw new Interruption("SIGINT");
  if (entry.state !== "done") throw new SrudpError("ERR_CODE_NEEDED", "No code was typed");
  return new Redacted(entry.text);
}

/**
 * Asks until the answer is a full "yes" or "no". The end of the terminal's input counts as "no".
 *
 * @returns `undefined` without a terminal
 */
export async function askYesOrNo(question: string, signal: AbortSignal): Promise<boolean | undefined> {
  const terminal = openTerminal();
  if (terminal === undefined) return undefined;
  let typed = "";
  let answer: boolean | undefined;
  try {
    terminal.write(question);
    await terminal.read(signal, (text) => {
      typed += text;
      for (let end = typed.indexOf("\n"); end >= 0 && answer === undefined; end = typed.indexOf("\n")) {
        const line = typed.slice(0, end).trim().toLowerCase();
        typed = typed.slice(end + 1);
        if (line === "yes") answer = true;
        else if (line === "no") answer = false;
        else terminal.write('Please type "yes" or "no": ');
      }
      return answer !== undefined;
    });
  } finally {
    terminal.close("");
  }
  return answer ?? false;
}

/**
 * Asks for lines until `judge` accepts one.
 *
 * @param judge receives each line; returns the next question, or `undefined` when it accepts the line
 * @returns whether a line was accepted; false without a terminal and at the end of its input
 */
export async function askLines(
  question: string,
  signal: AbortSignal,
  judge: (line: string) => string | undefined,
): Promise<boolean> {
  const terminal = openTerminal();
  if (terminal === undefined) return false;
  let typed = "";
  let isDone = false;
  try {
    terminal.write(question);
    await terminal.read(signal, (text) => {
      typed += text;
      for (let end = typed.indexOf("\n"); end >= 0 && !isDone; end = typed.indexOf("\n")) {
        const next = judge(typed.slice(0, end));
        typed = typed.slice(end + 1);
        if (next === undefined) isDone = true;
        else terminal.write(next);
      }
      return isDone;
    });
  } finally {
    terminal.close("");
  }
  return isDone;
}

interface Terminal {
  readonly input: ReadStream;
  readonly columns: number;
  write(text: string): void;
  /** Passes typed text to `take` until it returns true or the terminal's input ends. */
  read(signal: AbortSignal, take: (text: string) => boolean): Promise<void>;
  close(last: string): void;
}

function openTerminal(): Terminal | undefined {
  let descriptor: number;
  let output: number;
  try {
    descriptor = openSync(TERMINAL, "r+");
    // Writing uses another descriptor, because the input stream may make its descriptor
    // non-blocking.
    output = openSync(TERMINAL, "w");
  } catch {
    return undefined;
  }
  const input = new ReadStream(descriptor);
  const write = (text: string): void => {
    try {
      writeSync(output, text);
    } catch {
      // The terminal has hung up. The input reports its end.
    }
  };
  return {
    input,
    // A terminal of unknown width reports 0 columns.
    columns: process.stderr.columns || process.stdout.columns || 80,
    write,
    read: (signal, take) =>
      new Promise((resolve, reject) => {
        const release = onAbort(signal, () => reject(signal.reason));
        const end = (): void => {
          release();
          resolve();
        };
        input.setEncoding("utf8");
        input.on("data", (text: string) => {
          if (take(text)) end();
        });
        input.on("end", end);
        // A terminal that has hung up fails with EIO when it is read.
        input.on("error", end);
      }),
    close: (last) => {
      if (input.isRaw && !input.destroyed) input.setRawMode(false);
      input.destroy();
      write(last);
      closeSync(output);
    },
  };
}

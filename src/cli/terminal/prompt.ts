/**
 * Questions to the person at the terminal. stdin and stdout are data, so they go to `/dev/tty`, whatever
 * the three descriptors are.
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

/** Whether there is a terminal to ask on. */
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
 * @throws SrudpError ERR_CODE_NEEDED without a terminal or at its end (Ctrl-D), ERR_INTERRUPTED on Ctrl-C, the reason of `signal`
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
 * Asks until the answer is yes or no, in full; the end of the terminal is a no.
 *
 * @returns `undefined` where there is no terminal to ask on
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
 * Asks for a line, and again until one will do.
 *
 * @param judge is given each line; returns what to ask next, or `undefined` when that was the last line
 * @returns whether there was such a line, and not the end of the terminal or none at all
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
  /** Hands on what is typed until `take` says that it is enough, or the terminal ends. */
  read(signal: AbortSignal, take: (text: string) => boolean): Promise<void>;
  close(last: string): void;
}

function openTerminal(): Terminal | undefined {
  let descriptor: number;
  let output: number;
  try {
    descriptor = openSync(TERMINAL, "r+");
    // Writing has a descriptor of its own: the stream may set its one to non-blocking.
    output = openSync(TERMINAL, "w");
  } catch {
    return undefined;
  }
  const input = new ReadStream(descriptor);
  const write = (text: string): void => {
    try {
      writeSync(output, text);
    } catch {
      // A terminal that hangs up takes nothing more; its end comes through the input.
    }
  };
  return {
    input,
    // A terminal may not know its own width and call it 0.
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
        // A terminal that hangs up reads as EIO.
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

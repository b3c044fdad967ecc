/**
 * A terminal for a command under test, made by Python's pty module (Node has none): the command finds it as
 * `/dev/tty`, while its stdin, stdout and stderr stay the test's unless they are to be the terminal too.
 */
import { spawnSync } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { within } from "./deadline.ts";
import { rootFolder } from "./paths.ts";

/** Whether this machine can make terminals for tests. */
export const canMakeTerminals: boolean = spawnSync("python3", ["-c", "import pty"]).status === 0;

/**
 * Put before a command, this runs it at a terminal, with descriptors 3–5 as its 0–2.
 *
 * @param atTerminal those of 0–2 that are the terminal instead
 */
export function terminalLauncher(atTerminal: readonly number[] = []): string[] {
  const main = fileURLToPath(new URL("test/lib/terminal-main.py", rootFolder));
  return ["python3", main, atTerminal.join("")];
}

const SHOWN_TIMEOUT_MS = 10_000;

export class Terminal {
  /** Everything the terminal has shown. */
  text = "";
  readonly #keyboard: Writable;
  #wake: () => void = () => {};

  constructor(keyboard: Writable, screen: Readable) {
    this.#keyboard = keyboard;
    // The command may end before it has read everything that is typed.
    keyboard.on("error", () => {});
    screen.setEncoding("utf8");
    screen.on("data", (text: string) => {
      this.text += text;
      this.#wake();
    });
  }

  type(keys: string): void {
    this.#keyboard.write(keys);
  }

  /** Resolves once the terminal has shown anything at all, or `part`. */
  async shown(part = ""): Promise<void> {
    while (this.text === "" || !this.text.includes(part)) {
      const stirred = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await within(
        stirred,
        SHOWN_TIMEOUT_MS,
        () => `the terminal shows no "${part}" but: ${JSON.stringify(this.text)}`,
      );
    }
  }
}

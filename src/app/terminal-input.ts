/**
 * Standard input at a terminal. It is read only in the foreground and ends with the peer.
 *
 * A background job that reads from its terminal is stopped by SIGTTIN. A transfer in the background
 * must not stop for input that nobody types, so the terminal is not read until the job is in the
 * foreground. Without /proc, the job counts as a foreground job.
 */
import { once } from "node:events";
import { fstatSync, readFileSync } from "node:fs";
import { Readable } from "node:stream";

/** A running job is not notified when the shell puts it into the foreground. */
const FOREGROUND_POLL_INTERVAL_MS = 500;
/**
 * One turn of the event loop reads one line. A stream in between needs another turn to request the
 * next line.
 */
const QUIET_TURNS = 4;

export class TerminalInput extends Readable {
  readonly #source: Readable = process.stdin;
  #wantsBytes = false;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    // One chunk at a time: unread input stays in the terminal.
    super({ highWaterMark: 1 });
    this.#source.on("data", this.#onData);
    this.#source.on("end", this.#onEnd);
    this.#source.on("error", this.#onError);
    this.#source.pause();
    process.on("SIGCONT", this.#readInForeground);
  }

  override _read(): void {
    this.#wantsBytes = true;
    this.#readInForeground();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer);
    process.off("SIGCONT", this.#readInForeground);
    this.#source.off("data", this.#onData);
    this.#source.off("end", this.#onEnd);
    this.#source.pause();
    done(error);
  }

  /** Also called after SIGCONT, because a stopped job may continue in the background. */
  readonly #readInForeground = (): void => {
    clearTimeout(this.#timer);
    if (!this.#wantsBytes) return;
    if (!isInBackground()) {
      this.#source.resume();
      return;
    }
    this.#source.pause();
    this.#timer = setTimeout(this.#readInForeground, FOREGROUND_POLL_INTERVAL_MS);
    this.#timer.unref();
  };

  readonly #onData = (chunk: Uint8Array): void => {
    if (this.push(chunk)) return;
    this.#wantsBytes = false;
    this.#source.pause();
  };

  readonly #onEnd = (): void => {
    this.push(null);
  };

  readonly #onError = (error: Error): void => {
    this.destroy(error);
  };
}

/**
 * Resolves when the consumer of a flowing input at a terminal has received every line that was
 * entered so far. An unfinished line stays in the terminal.
 */
export async function flushEnteredLines(input: Readable): Promise<void> {
  let hasData = true;
  const onData = (): void => {
    hasData = true;
  };
  input.on("data", onData);
  try {
    while (hasData && !input.destroyed && !input.readableEnded) {
      if (input.isPaused()) {
        // The link exerts backpressure at present.
        await Promise.race([once(input, "resume"), once(input, "close")]).catch(() => undefined);
      }
      hasData = false;
      for (let turn = 0; turn < QUIET_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
      if (input.isPaused()) hasData = true;
    }
  } finally {
    input.off("data", onData);
  }
}

/** Whether standard input is the controlling terminal and another job is in the foreground. */
function isInBackground(): boolean {
  try {
    // The name in parentheses may contain any character. State, parent, group, session, terminal
    // and the terminal's foreground group follow.
    const fields = readFileSync("/proc/self/stat", "latin1").split(") ").at(-1)!.split(" ");
    const [groupId, terminal, terminalGroupId] = [fields[2], fields[4], fields[5]].map(Number);
    return terminal === fstatSync(0).rdev && terminalGroupId !== groupId;
  } catch {
    return false;
  }
}

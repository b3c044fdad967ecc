/**
 * A program at one end of a link: the peer's bytes are its input, its output is the peer's, and its status
 * is the command's.
 *
 * A program may end without having read all of its input, or close its output and go on: neither is a
 * failure here. The link ends with the program. The peer receives all of its output, how far its input was
 * read, and whether it ended by itself.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { SrudpError } from "../base/errors.ts";
import type { Link } from "../link/link.ts";
import { onAbort } from "../platform/abort.ts";
import { type Bridge, type BridgeResult, bridge } from "./pipe.ts";
import { ProgramGroup } from "./program-group.ts";

export interface ProgramOptions {
  /** Resets the link and sends SIGHUP to the program; `done` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** See `BridgeOptions`. */
  readonly quitAfterMs?: number;
}

export interface ProgramResult extends BridgeResult {
  /** The program's exit status; 128 and the signal's number when a signal ended it. */
  readonly status: number;
}

/** A link that is joined to a program. */
export interface ProgramBridge {
  readonly bridge: Bridge;
  /**
   * Fulfilled when the program has ended and the peer has its output. Rejects as a bridge's `done`, and with
   * ERR_FILE_UNREADABLE when the program cannot be started.
   */
  readonly done: Promise<ProgramResult>;
}

const SIGNAL_STATUS = 128;

/**
 * Starts `command` with `words`, without a shell, and joins the link to it. It inherits stderr.
 *
 * It runs in a session of its own, without a controlling terminal. When the link ends, its process group is
 * hung up. A program that closed its output before that may finish its work first.
 */
export function bridgeToProgram(
  link: Link,
  command: string,
  words: readonly string[],
  options: ProgramOptions = {},
): ProgramBridge {
  const { SRUDP_CODE: _secret, ...environment } = process.env;
  const child = spawn(command, words, {
    env: environment,
    stdio: ["pipe", "pipe", "inherit"],
    detached: true,
  });
  const joined = bridge(link, { ...options, input: child.stdout, output: child.stdin, isProgram: true });
  return { bridge: joined, done: runToEnd(link, command, child, joined, options.signal) };
}

async function runToEnd(
  link: Link,
  command: string,
  child: ChildProcessByStdio<Writable, Readable, null>,
  joined: Bridge,
  signal: AbortSignal | undefined,
): Promise<ProgramResult> {
  const group = child.pid === undefined ? undefined : new ProgramGroup(child.pid);
  const endGroup = (): void => void group?.end();
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      link.reset();
      reject(new SrudpError("ERR_FILE_UNREADABLE", `${command} (${error.code ?? error.message})`, error));
    });
    child.once("exit", (status, signalName) => {
      joined.programEnded(signalName === null);
      resolve(status ?? SIGNAL_STATUS + (signalName === null ? 0 : constants.signals[signalName]));
    });
  });
  // At once: closing a link to a dead peer takes seconds.
  const release = onAbort(signal, endGroup);
  link.once("close", () => {
    if (!child.stdout.readableEnded) endGroup();
  });
  joined.done.catch(endGroup);
  try {
    const [status, result] = await Promise.all([ended, joined.done]);
    // It was still at work after the link had ended, and was hung up by the signal.
    signal?.throwIfAborted();
    return { ...result, status };
  } finally {
    release();
    endGroup();
  }
}

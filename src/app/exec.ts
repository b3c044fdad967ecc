/**
 * Runs a program at one end of a link. The peer's bytes are the program's input, its output goes to
 * the peer, and its exit status becomes the exit status of the command.
 *
 * A program may exit without having read all of its input, or close its output and continue.
 * Neither is a failure. The link ends with the program. The peer receives the whole output, and a
 * report of how much input was read and whether the program exited by itself.
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
  /** The program's exit status, or 128 plus the number of the signal that ended it. */
  readonly status: number;
}

/** A link that is joined to a program. */
export interface ProgramBridge {
  readonly bridge: Bridge;
  /**
   * Fulfilled when the program has ended and the peer has its output. Rejects like the `done` of a
   * bridge, and with ERR_FILE_UNREADABLE when the program cannot be started.
   */
  readonly done: Promise<ProgramResult>;
}

const SIGNAL_STATUS = 128;

/**
 * Starts `command` with the arguments `words`, without a shell, and joins the link to it. The
 * program inherits stderr.
 *
 * The program runs in a new session without a controlling terminal. When the link ends, its process
 * group receives SIGHUP. A program that closed its output before that may finish its work first.
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
  // Not delayed until the link has closed, because closing a link to a dead peer takes seconds.
  const release = onAbort(signal, endGroup);
  link.once("close", () => {
    if (!child.stdout.readableEnded) endGroup();
  });
  joined.done.catch(endGroup);
  try {
    const [status, result] = await Promise.all([ended, joined.done]);
    // The signal ended the program, which was still running after the link had ended.
    signal?.throwIfAborted();
    return { ...result, status };
  } finally {
    release();
    endGroup();
  }
}

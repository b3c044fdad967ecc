/** Joins standard input and output to a target at the peer, like `ssh -W`. */
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { SrudpError } from "../../base/errors.ts";
import type { Target } from "../../link/forward-records.ts";
import type { Stream } from "../../link/stream.ts";
import { onAbort } from "../../platform/abort.ts";
import { inputError, openInput } from "../input.ts";
import { openOutput } from "../output.ts";
import { flushEnteredLines } from "../terminal-input.ts";
import type { Dialer } from "./dialer.ts";

export interface StdioOptions {
  /** Default: standard input. */
  readonly input?: Readable;
  /** Default: descriptor 1. It is closed when the target ends. */
  readonly output?: Writable;
  /** See `BridgeOptions`. */
  readonly endsWithPeer?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Forwards input to `target` and the target's bytes to output, until both have ended.
 *
 * @throws SrudpError ERR_TARGET_…, ERR_PEER_RESET, ERR_LINK_LOST, ERR_OUTPUT_CLOSED,
 * ERR_FILE_UNREADABLE (of input); the signal's reason
 */
export async function joinStdio(dialer: Dialer, target: Target, options: StdioOptions = {}): Promise<void> {
  const { signal } = options;
  const { stream, answered } = await dialer.reach(target);
  const release = onAbort(signal, () => stream.destroy());
  let input: Readable | undefined;
  try {
    await answered;
    input = options.input ?? openInput(0);
    const output = options.output ?? openOutput(1);
    input.pipe(stream);
    if (options.endsWithPeer) endWithPeer(input, stream);
    stream.pipe(output);
    await Promise.all([
      finished(stream),
      finished(output, { readable: false }).catch((error: unknown) => {
        throw new SrudpError("ERR_OUTPUT_CLOSED", undefined, error);
      }),
      finished(input, { writable: false }).catch((error: NodeJS.ErrnoException) => {
        // The input was destroyed because the target has ended.
        if (stream.writableEnded) return;
        throw inputError(error);
      }),
    ]);
  } catch (error) {
    stream.destroy();
    signal?.throwIfAborted();
    throw error;
  } finally {
    release();
    input?.destroy();
  }
}

/** Ends the input when the target ends, if the target has sent any bytes. */
function endWithPeer(input: Readable, stream: Stream): void {
  let hasReceived = false;
  stream.on("data", () => {
    hasReceived = true;
  });
  stream.once("end", () => {
    if (!hasReceived) return;
    void flushEnteredLines(input).then(() => {
      stream.end();
      input.destroy();
    });
  });
}

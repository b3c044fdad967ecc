/**
 * The pipe: standard input to the link, the link to standard output, and receipts for both directions.
 *
 * Each direction ends on its own. When the local output has accepted every byte and is closed, the pipe sends a
 * receipt (count and SHA-256). The pipe succeeds only when the peer's receipt matches the sent bytes and the local
 * receipt has been sent. It also succeeds when the peer stops early in order (`quitAfterMs`, `sendOnly`), as long as
 * its receipt covers every byte that was sent to it.
 *
 * A receipt for fewer bytes means that the peer's output closed early. The peer's direction is still received to its
 * end. The pipe then fails, unless the peer reports that its output was a program that ended by itself.
 */
import { type Readable, Writable } from "node:stream";
import { equalBytes } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import { PIPE_RECORD, type Receipt } from "../link/control-records.ts";
import { faultError, guarded } from "../link/fault.ts";
import type { Link } from "../link/link.ts";
import { onAbort } from "../platform/abort.ts";
import { LongTimeout } from "../platform/long-timeout.ts";
import { ByteDigest, type ByteDigestResult } from "./byte-digest.ts";
import { inputError, isRecycling, openInput, type RecyclingInput } from "./input.ts";
import { openOutput } from "./output.ts";
import { flushEnteredLines } from "./terminal-input.ts";

export interface BridgeOptions {
  /** Source of the bytes for the peer. Default: standard input. */
  readonly input?: Readable;
  /**
   * Destination of the peer's bytes. Ended when the peer ends. Default: descriptor 1, which is then
   * closed.
   */
  readonly output?: Writable;
  /** Drops received bytes. The end of input ends the pipe (`--send-only`). */
  readonly sendOnly?: boolean;
  /** Sends nothing and does not read the input (`--recv-only`). */
  readonly recvOnly?: boolean;
  /**
   * Ends the input when a peer that has sent data ends, after all lines that were entered before.
   * For input at a terminal, which does not end by itself.
   */
  readonly endsWithPeer?: boolean;
  /** Time for the other direction after the end of input, ms (`-q`). Default: unlimited. */
  readonly quitAfterMs?: number;
  /**
   * Input and output are those of a program. The program may close its input early; bytes that the
   * peer sends after that are dropped. The peer is notified how the program ended, so the caller
   * must call `programEnded()`.
   */
  readonly isProgram?: boolean;
  /** Resets the link; `done` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface BridgeResult {
  readonly sent: ByteDigestResult;
  /** Bytes that the output accepted. */
  readonly received: ByteDigestResult;
  /** Bytes of `sent` that the peer's program left unread when it ended by itself. */
  readonly unreadBytes: number;
  /** Time during which bytes were transferred, without idle time. */
  readonly transferMs: { readonly sent: number; readonly received: number };
  /** Time since the bridge was created. */
  readonly durationMs: number;
}

/**
 * Joins a link to input and output.
 *
 * `done` rejects with an SrudpError: ERR_OUTPUT_CLOSED, ERR_PEER_OUTPUT_CLOSED, ERR_LINK_LOST,
 * ERR_PEER_RESET, ERR_FILE_UNREADABLE (of input). All bytes that had arrived are written before it
 * rejects.
 */
export function bridge(link: Link, options: BridgeOptions = {}): Bridge {
  return new Bridge(link, options);
}

export class Bridge {
  /** Fulfilled when both sides have received every byte. The link is closed then. */
  readonly done: Promise<BridgeResult>;
  /** Fulfilled when input and output are no longer used, which is before the link has closed. */
  readonly released: Promise<void>;
  readonly #link: Link;
  readonly #options: BridgeOptions;
  readonly #input: Readable | undefined;
  readonly #recycling: RecyclingInput | undefined;
  readonly #output: Writable;
  /**
   * The output keeps no reference to written chunks, so their memory can be returned to the link.
   */
  readonly #isOutputOurs: boolean;
  readonly #sent: ByteDigest = new ByteDigest();
  readonly #received: ByteDigest = new ByteDigest();
  readonly #startedAtMs: number = performance.now();
  readonly #release: () => void;
  #resolve!: (result: BridgeResult) => void;
  #reject!: (error: unknown) => void;
  #resolveReleased!: () => void;

  #isInputEnded = false;
  /** The pipe no longer waits for the other direction. */
  #isQuitting = false;
  /** `quitAfterMs` has elapsed. */
  #isTimeUp = false;
  /** The peer's direction has ended. */
  #isReceiveEnded = false;
  #hasReceived = false;
  /** The output receives no further bytes. */
  #isOutputEnding = false;
  /** The output has accepted everything and is closed, and the receipt was sent. */
  #isOutputDone = false;
  /**
   * The output closed before it had accepted everything. Only the output of a program may do so.
   */
  #isOutputCutShort = false;
  /** The program at this end has ended. */
  #isProgramEnded = false;
  #receipt: Receipt | undefined;
  /** The peer's output was a program that has ended by itself. */
  #isPeerProgramEnded = false;
  /** Set once the link has ended, with its error if it failed. */
  #over: { readonly error: Error | undefined } | undefined;
  #quitTimer: LongTimeout | undefined;
  #isSettled = false;
  #endWaitForAbort: () => void = () => undefined;

  constructor(link: Link, options: BridgeOptions) {
    this.#link = link;
    this.#options = options;
    this.#input = options.recvOnly ? undefined : (options.input ?? openInput(0));
    this.#recycling = this.#input !== undefined && isRecycling(this.#input) ? this.#input : undefined;
    this.#output = options.sendOnly ? newDrain() : (options.output ?? openOutput(1));
    this.#isOutputOurs = options.output === undefined;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.released = new Promise((resolve) => {
      this.#resolveReleased = resolve;
    });
    // A caller that reads only the counters must not get an unhandled rejection.
    this.done.catch(() => undefined);
    // Without a hold, the link would close by itself before the receipts are exchanged.
    this.#release = link.hold();
    link.on("receipt", this.#onReceipt);
    link.on("record", this.#onRecord);
    link.on("error", this.#onLinkError);
    link.on("close", this.#onLinkClose);
    this.#startReceiving();
    this.#startSending();
    const { signal } = options;
    this.#endWaitForAbort = onAbort(signal, () => this.#breakOff(signal?.reason));
  }

  /** Bytes that were written to the link. */
  get sentBytes(): number {
    return this.#sent.bytes;
  }

  /** Bytes that the output accepted. */
  get receivedBytes(): number {
    return this.#received.bytes;
  }

  /** The counts so far, or the final ones. */
  result(): BridgeResult {
    return {
      sent: this.#sent.result(),
      received: this.#received.result(),
      unreadBytes: this.#unreadBytes,
      transferMs: { sent: this.#sent.transferMs, received: this.#received.transferMs },
      durationMs: performance.now() - this.#startedAtMs,
    };
  }

  /**
   * Reports that the program at this end (`isProgram`) has ended. Nothing more is read for it. The
   * link ends in order once the peer has the program's output.
   *
   * @param byItself false when a signal ended the program; unread input then counts as lost
   */
  programEnded(byItself: boolean): void {
    this.#isProgramEnded = true;
    if (byItself && this.#over === undefined && !this.#isSettled) {
      this.#link.sendRecord(PIPE_RECORD.programEnded, new Uint8Array(0));
    }
    this.#quit();
  }

  /**
   * Ends in order without waiting for the peer's end, once the peer has received all sent bytes.
   */
  #quit(): void {
    this.#isQuitting = true;
    this.#advance();
  }

  // ------------------------------------------------------------------ input to link

  #startSending(): void {
    const input = this.#input;
    if (input === undefined) {
      this.#endSending();
      return;
    }
    input.on("data", this.#onInput);
    input.on("end", this.#onInputEnd);
    input.on("error", this.#onInputError);
    // A stream that has ended or was destroyed before emits no further event.
    if (input.readableEnded || input.destroyed) this.#onInputEnd();
  }

  readonly #onInput = this.#guard((chunk: Uint8Array): void => {
    this.#sent.add(chunk);
    if (this.#recycling !== undefined)
      this.#recycling.recycle(this.#sent.bytes - chunk.length - this.#link.unacknowledgedBytes);
    if (this.#link.write(chunk)) return;
    this.#input?.pause();
    this.#link.once("drain", () => {
      this.#sent.recordTime(true);
      this.#input?.resume();
    });
  });

  readonly #onInputEnd = this.#guard((): void => this.#endSending());

  readonly #onInputError = this.#guard((error: Error): void => {
    if (this.#isInputEnded) return;
    this.#breakOff(inputError(error));
  });

  /** Ends this direction although the input has not ended. */
  #stopInput(): void {
    if (this.#isInputEnded) return;
    this.#releaseInput();
    this.#endSending();
  }

  #releaseInput(): void {
    this.#input?.off("data", this.#onInput);
    this.#input?.off("end", this.#onInputEnd);
    if (!this.#isInputEnded) this.#input?.destroy();
  }

  #endSending(): void {
    if (this.#isInputEnded) return;
    this.#isInputEnded = true;
    if (!this.#link.destroyed) this.#link.end();
    const { quitAfterMs, sendOnly } = this.#options;
    if (sendOnly) this.#quit();
    else if (quitAfterMs !== undefined) {
      const quit = this.#guard(() => {
        this.#isTimeUp = true;
        this.#quit();
      });
      this.#quitTimer = new LongTimeout(quit, quitAfterMs);
    }
    this.#advance();
  }

  // ------------------------------------------------------------------ link to output

  #startReceiving(): void {
    this.#output.on("error", this.#onOutputError);
    this.#output.on("finish", this.#onOutputFinish);
    this.#output.on("close", this.#onOutputClose);
    this.#link.on("data", this.#onLinkData);
    this.#link.on("end", this.#onLinkEnd);
  }

  readonly #onLinkData = (chunk: Uint8Array): void => {
    this.#hasReceived = true;
    const hasRoom = this.#output.write(chunk, (error) => {
      if (error) return;
      this.#received.add(chunk);
      if (this.#isOutputOurs) this.#link.recycle(chunk);
    });
    if (hasRoom) return;
    this.#link.pause();
    this.#output.once("drain", () => {
      if (!this.#isOutputEnding) this.#link.resume();
    });
  };

  readonly #onLinkEnd = (): void => {
    this.#isReceiveEnded = true;
    this.#endOutput();
    if (this.#options.endsWithPeer && this.#hasReceived && this.#input !== undefined && !this.#isInputEnded) {
      const stop = this.#guard(() => this.#stopInput());
      void flushEnteredLines(this.#input).then(stop);
    }
  };

  #endOutput(): void {
    if (this.#isOutputEnding) return;
    this.#isOutputEnding = true;
    this.#link.off("data", this.#onLinkData);
    if (!this.#isReceiveEnded) this.#link.pause();
    if (this.#output.destroyed) this.#onOutputFinish();
    else this.#output.end();
  }

  readonly #onOutputFinish = this.#guard((): void => {
    if (this.#isOutputDone) return;
    this.#isOutputDone = true;
    const { bytes } = this.#received;
    if (this.#over === undefined) {
      this.#link.sendReceipt({ streamId: this.#link.streamId, bytes, sha256: this.#received.digest() });
    }
    this.#advance();
  });

  readonly #onOutputError = this.#guard((error: NodeJS.ErrnoException): void => {
    const isClosed =
      error.code === "EPIPE" || error.code === "ECONNRESET" || error.code === "ERR_STREAM_DESTROYED";
    if (isClosed && this.#options.isProgram) {
      this.#cutOutputShort();
      return;
    }
    const failure = isClosed
      ? new SrudpError("ERR_OUTPUT_CLOSED", undefined, error)
      : new SrudpError("ERR_OUTPUT_FAILED", error.code ?? error.message, error);
    this.#breakOff(failure, "ERR_PEER_OUTPUT_CLOSED");
  });

  /** Node destroys the stdin of a program that exits, and may then emit no event but 'close'. */
  readonly #onOutputClose = this.#guard((): void => {
    if (this.#isOutputDone || this.#isSettled) return;
    if (this.#options.isProgram) this.#cutOutputShort();
    else this.#breakOff(new SrudpError("ERR_OUTPUT_CLOSED"), "ERR_PEER_OUTPUT_CLOSED");
  });

  /**
   * Handles a program that accepts no more input. The receipt reports how many bytes it accepted.
   * The rest is dropped, so that the peer can end.
   */
  #cutOutputShort(): void {
    if (this.#isOutputDone) return;
    this.#isOutputCutShort = true;
    this.#isOutputEnding = true;
    this.#link.off("data", this.#onLinkData);
    this.#link.on("data", this.#dropLinkData);
    this.#link.resume();
    this.#onOutputFinish();
  }

  readonly #dropLinkData = (chunk: Uint8Array): void => this.#link.recycle(chunk);

  // ------------------------------------------------------------------ the end

  readonly #onReceipt = (receipt: Receipt): void => {
    if (receipt.streamId === this.#link.streamId) {
      this.#receipt = receipt;
      if (this.#sent.bytes > 0) this.#sent.recordTime(this.#isInputEnded);
      // The peer's output is closed, so further input is not sent.
      this.#stopInput();
    }
    this.#advance();
  };

  readonly #onRecord = (type: number): void => {
    if (type !== PIPE_RECORD.programEnded) return;
    this.#isPeerProgramEnded = true;
    this.#advance();
  };

  readonly #onLinkError = (error: Error): void => this.#endWith(error);
  readonly #onLinkClose = (): void => this.#endWith(undefined);

  #endWith(error: Error | undefined): void {
    this.#over ??= { error };
    // No further bytes arrive, but the bytes that have arrived are still written.
    this.#endOutput();
    this.#advance();
  }

  /** Ends the pipe when both directions are complete. */
  #advance(): void {
    if (this.#isSettled) return;
    const isTaken = this.#isTaken();
    if (isTaken && this.#isQuitting) this.#endOutput();
    if (this.#over !== undefined) {
      if (this.#isOutputDone) this.#conclude(isTaken);
    } else if (this.#isInputEnded && !isTaken && this.#isReceiptFinal()) {
      this.#breakOff(new SrudpError("ERR_PEER_OUTPUT_CLOSED"));
    } else if (this.#isInputEnded && isTaken && this.#isOutputDone) {
      // The peer must learn whether the program ended by itself before the link closes.
      if (this.#isOutputCutShort && !this.#isProgramEnded) return;
      this.#settle(
        () => void this.#link.close(),
        (result) => this.#resolve(result),
      );
    }
  }

  /** Handles the end of the link before this side has finished. */
  #conclude(isTaken: boolean): void {
    const { error } = this.#over!;
    // With both receipts exchanged, a lost link is an orderly end: only the close was lost.
    const code = (error as SrudpError | undefined)?.code;
    const isOrderly = error === undefined || code === "ERR_PEER_OUTPUT_CLOSED" || code === "ERR_LINK_LOST";
    const isSuccess = isTaken && this.#isReceiveEnded && isOrderly;
    const isCutShort = this.#receipt !== undefined && !isTaken;
    const failure = new SrudpError(isCutShort ? "ERR_PEER_OUTPUT_CLOSED" : "ERR_PEER_RESET");
    this.#settle(undefined, (result) => {
      if (isSuccess) this.#resolve(result);
      else this.#reject(error ?? failure);
    });
  }

  /**
   * Whether the peer's output accepted every byte that was sent so far, or all that its program
   * wanted.
   */
  #isTaken(): boolean {
    const receipt = this.#receipt;
    if (receipt === undefined) return false;
    if (this.#unreadBytes > 0) return true;
    return receipt.bytes === this.#sent.bytes && equalBytes(receipt.sha256, this.#sent.digest());
  }

  get #unreadBytes(): number {
    if (this.#receipt === undefined || !this.#isPeerProgramEnded) return 0;
    return Math.max(0, this.#sent.bytes - this.#receipt.bytes);
  }

  /**
   * Whether a receipt that does not match the sent bytes ends the link at once. A receipt for fewer
   * bytes does not: the peer's direction is still received, and the report of how its program ended
   * is still to arrive.
   */
  #isReceiptFinal(): boolean {
    const receipt = this.#receipt;
    return receipt !== undefined && (receipt.bytes >= this.#sent.bytes || this.#isTimeUp);
  }

  #breakOff(error: unknown, forPeer: "ERR_PEER_RESET" | "ERR_PEER_OUTPUT_CLOSED" = "ERR_PEER_RESET"): void {
    this.#settle(
      () => this.#link.reset(forPeer),
      () => this.#reject(error),
    );
  }

  /**
   * Wraps handlers of input, output and timers. A fault ends the link (`link/fault.ts`) and the
   * bridge.
   */
  #guard<Values extends unknown[]>(work: (...values: Values) => void): (...values: Values) => void {
    return guarded(work, (fault) => {
      this.#link.fail(fault);
      this.#breakOff(faultError(fault));
    });
  }

  /** Releases input, output and timers, ends the link, and settles `done` when that has completed. */
  #settle(end: (() => void) | undefined, settle: (result: BridgeResult) => void): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const result = this.result();
    this.#quitTimer?.stop();
    this.#endWaitForAbort();
    this.#releaseInput();
    end?.();
    this.#release();
    this.#resolveReleased();
    void this.#link.whenGone().then(() => settle(result));
  }
}

/** An output that discards everything. */
function newDrain(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

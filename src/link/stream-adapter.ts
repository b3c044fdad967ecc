/**
 * Adapts one stream of the engine to a Duplex: bytes and backpressure in both directions, the end
 * of each direction, and resets.
 *
 * Outgoing: the Duplex passes a chunk to the engine and waits while the engine is blocked.
 * Incoming: bytes leave the engine only as the Duplex is read, because the engine grants the peer
 * credit for the bytes that have left it.
 *
 * After the link has ended, the bytes that had arrived are delivered before the error or the close.
 */
import type { Duplex } from "node:stream";
import { ERRORS, type ErrorCode, errorReceivedAs, SrudpError } from "../base/errors.ts";

/** The commands of the engine's connection that an adapter uses. */
export interface StreamEngine {
  write(streamId: number, bytes: Uint8Array): boolean;
  finish(streamId: number): void;
  reset(streamId: number, errorCode: number): void;
  stopSending(streamId: number, errorCode: number): void;
  breakOff(streamId: number, errorCode: number): void;
  read(streamId: number): Uint8Array | undefined;
  recycle(bytes: Uint8Array): void;
  readFinished(streamId: number): boolean;
}

/** The link that an adapter belongs to. */
export interface StreamHost {
  readonly engine: StreamEngine;
  /** Must be called after every command to the engine. */
  touch(): void;
  /** Reports a fault. The link ends (`fault.ts`). */
  fail(fault: unknown): void;
  /** Reports an exception of an event listener or of a writer's callback. */
  failByListener(thrown: unknown): void;
  /** A direction of the stream has ended. `isSettled` tells whether the whole stream has. */
  streamChanged(flow: StreamAdapter): void;
}

/** The wire code of ERR_PEER_RESET. */
export const WIRE_RESET: number = wireIn("ERR_PEER_RESET");

type Callback = (error?: Error | null) => void;

export class StreamAdapter {
  /** The engine's stream, −1 until it is known. */
  streamId = -1;
  /** Bytes written to the engine. */
  writtenBytes = 0;
  /** The local direction was finished at the engine. */
  isFinished = false;
  /** The peer has acknowledged the local direction with its end, or the direction was reset. */
  isDelivered = false;
  /** The Duplex has received the end of the peer's direction. */
  isReadEnded = false;

  readonly #host: StreamHost;
  #duplex: Duplex | undefined;
  #wantsBytes = false;
  #isPulling = false;
  /**
   * Bytes that left the engine before they were read, either with the kind of the stream or because
   * the link has ended.
   */
  readonly #held: Uint8Array[] = [];
  /** The writer's callback while the engine is blocked or the stream is not open. */
  #waiting: Callback | undefined;
  #unopened: readonly Uint8Array[] | undefined;
  #isClosed = false;
  #deliversFirst = false;
  /** Set when the link has ended. `#held` then contains the unread bytes. */
  #over: { readonly error: SrudpError | undefined; readonly isComplete: boolean } | undefined;

  constructor(host: StreamHost) {
    this.#host = host;
  }

  /** Whether the Duplex is destroyed and the engine has nothing left to deliver for it. */
  get isSettled(): boolean {
    return this.#isClosed && (this.isDelivered || this.#over !== undefined || this.streamId < 0);
  }

  // ------------------------------------------------------------------ from the Duplex

  /** Receives faults of the Duplex. */
  get host(): StreamHost {
    return this.#host;
  }

  join(duplex: Duplex): void {
    this.#duplex = duplex;
  }

  /** Implements `_write`. `done` is called once there is room for more. */
  write(chunks: readonly Uint8Array[], done: Callback): void {
    if (this.#over !== undefined) {
      done(this.#over.error ?? new SrudpError("ERR_PEER_OUTPUT_CLOSED"));
      return;
    }
    if (this.streamId < 0) {
      this.#unopened = chunks;
      this.#waiting = done;
      return;
    }
    let hasRoom = true;
    for (const chunk of chunks) {
      if (chunk.length === 0) continue;
      this.writtenBytes += chunk.length;
      hasRoom = this.#host.engine.write(this.streamId, chunk);
    }
    this.#host.touch();
    if (hasRoom) done();
    else this.#waiting = done;
  }

  /** Implements `_final`, after everything was written. */
  finish(done: Callback): void {
    if (this.#over === undefined && this.streamId < 0) {
      this.#unopened = [];
      this.#waiting = (error) => (error ? done(error) : this.finish(done));
      return;
    }
    this.isFinished = true;
    if (this.#over === undefined) {
      this.#host.engine.finish(this.streamId);
      this.#host.touch();
    }
    done();
  }

  /** Implements `_read`: the Duplex has room. */
  want(): void {
    this.#wantsBytes = true;
    this.#pull();
  }

  /** Must be called after each read of the Duplex, since it may have been the last. */
  handleRead(): void {
    if (this.#over !== undefined) this.#endAfterLastByte();
  }

  /** Reports that the reader no longer uses `bytes`. */
  recycle(bytes: Uint8Array): void {
    this.#host.engine.recycle(bytes);
  }

  /** Makes the next `close` deliver the written bytes before it resets the stream. */
  deliverFirst(): void {
    this.#deliversFirst = true;
  }

  /** Implements `_destroy`. Resets each direction that has not ended. */
  close(error: Error | null): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release(error ?? new SrudpError("ERR_INTERRUPTED", "The stream was destroyed"));
    if (this.#over === undefined && this.streamId >= 0) this.#breakOff(wireOf(error), error !== null);
    this.#host.streamChanged(this);
  }

  #breakOff(errorCode: number, isFailure: boolean): void {
    const { engine } = this.#host;
    if (this.#deliversFirst) {
      engine.breakOff(this.streamId, errorCode);
      this.isDelivered = true;
      this.#host.touch();
      return;
    }
    if (!this.isDelivered && (!this.isFinished || isFailure)) {
      engine.reset(this.streamId, errorCode);
      this.isDelivered = true;
    }
    if (!this.isReadEnded) engine.stopSending(this.streamId, errorCode);
    this.#host.touch();
  }

  // ------------------------------------------------------------------ from the link

  /** The stream was opened. `bytes` followed its kind and belong to the reader. */
  open(streamId: number, bytes?: Uint8Array): void {
    this.streamId = streamId;
    if (bytes !== undefined && bytes.length > 0) this.#held.push(bytes);
    const chunks = this.#unopened;
    const waiting = this.#waiting;
    this.#unopened = undefined;
    this.#waiting = undefined;
    if (this.#isClosed) this.#breakOff(wireOf(null), true);
    else {
      if (chunks !== undefined && waiting !== undefined) this.write(chunks, waiting);
      this.#pull();
    }
  }

  handleReadable(): void {
    if (this.#wantsBytes) this.#pull();
  }

  handleWritable(): void {
    this.#release();
  }

  handleAcknowledged(): void {
    this.isDelivered = true;
    this.#host.streamChanged(this);
  }

  /** The peer has reset its direction. */
  handleReset(errorCode: number): void {
    this.#duplex?.destroy(errorFor(errorCode, "ERR_PEER_RESET"));
  }

  /** The peer has stopped reading, and the engine has reset the local direction. */
  handleStopSending(errorCode: number): void {
    this.isDelivered = true;
    this.#duplex?.destroy(errorFor(errorCode, "ERR_PEER_OUTPUT_CLOSED"));
    this.#host.streamChanged(this);
  }

  /**
   * The connection has ended, with `error` or in order.
   *
   * @param isAbrupt this side ended it; bytes that have arrived are not delivered
   */
  handleOver(error: SrudpError | undefined, isAbrupt: boolean): void {
    if (this.#over !== undefined) return;
    const { engine } = this.#host;
    const { streamId } = this;
    if (streamId >= 0 && !this.isReadEnded && !isAbrupt) {
      for (let bytes = engine.read(streamId); bytes !== undefined; bytes = engine.read(streamId))
        this.#held.push(bytes);
    }
    const isComplete = this.isReadEnded || (streamId >= 0 && engine.readFinished(streamId));
    this.#over = { error: error ?? (isAbrupt ? undefined : this.#truncation(isComplete)), isComplete };
    this.#host.streamChanged(this);
    const duplex = this.#duplex;
    if (duplex === undefined || this.#isClosed) return;
    // Without a reader, a failure is reported at once.
    const isRead = duplex.readableFlowing !== null || duplex.listenerCount("readable") > 0;
    if (isAbrupt || duplex.readableEnded || (this.#over.error !== undefined && !isRead)) {
      duplex.destroy(this.#over.error);
      return;
    }
    duplex.once("end", () => duplex.destroy(this.#over?.error));
    duplex.emit("linkover");
    if (this.#wantsBytes) this.#pull();
    this.#endAfterLastByte();
  }

  /** The error of a stream that an orderly close of the link has truncated. */
  #truncation(isComplete: boolean): SrudpError | undefined {
    if (this.streamId < 0) return undefined;
    if (!isComplete) return new SrudpError("ERR_PEER_RESET");
    // A peer that closes before the end of the local direction has not read everything.
    return this.isFinished || this.writtenBytes === 0 ? undefined : new SrudpError("ERR_PEER_OUTPUT_CLOSED");
  }

  #pull(): void {
    const duplex = this.#duplex;
    if (duplex === undefined || this.#isPulling) return;
    this.#isPulling = true;
    let taken = false;
    while (this.#wantsBytes && !this.#isClosed) {
      const bytes = this.#next();
      if (bytes === undefined) break;
      taken = true;
      // The reader may request more bytes before push() returns. That request must not be lost.
      this.#wantsBytes = false;
      if (duplex.push(bytes)) this.#wantsBytes = true;
    }
    this.#isPulling = false;
    if (taken && this.#over === undefined) this.#host.touch();
    if (this.#wantsBytes && !this.#isClosed && !this.isReadEnded && this.#isAtEnd()) {
      this.isReadEnded = true;
      duplex.push(null);
      this.#host.streamChanged(this);
    }
    if (this.#over !== undefined) this.#endAfterLastByte();
  }

  #next(): Uint8Array | undefined {
    const held = this.#held.shift();
    if (held !== undefined || this.#over !== undefined || this.streamId < 0) return held;
    return this.#host.engine.read(this.streamId);
  }

  #isAtEnd(): boolean {
    if (this.#held.length > 0) return false;
    if (this.#over !== undefined) return this.#over.isComplete;
    return this.streamId >= 0 && this.#host.engine.readFinished(this.streamId);
  }

  /**
   * Handles a link that failed before the end of the peer's direction. The error follows the last
   * byte that arrived.
   */
  #endAfterLastByte(): void {
    const duplex = this.#duplex;
    if (duplex === undefined || this.#over === undefined || this.#over.isComplete) return;
    if (this.#held.length === 0 && duplex.readableLength === 0) duplex.destroy(this.#over.error);
  }

  #release(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#unopened = undefined;
    try {
      waiting?.(error);
    } catch (thrown) {
      // Node calls the callback of write() synchronously here.
      this.#host.failByListener(thrown);
    }
  }
}

/** The error of a stream that was reset with `errorCode`. */
function errorFor(errorCode: number, fallback: "ERR_PEER_RESET" | "ERR_PEER_OUTPUT_CLOSED"): SrudpError {
  return new SrudpError(errorReceivedAs(errorCode) ?? fallback);
}

/** The wire code that a stream or link is reset with because of `error`. */
export function wireOf(error: unknown): number {
  const code = error instanceof SrudpError ? error.code : "ERR_PEER_RESET";
  return wireOfCode(code);
}

/** The wire code of an error, or WIRE_RESET for errors that never travel. */
export function wireOfCode(code: ErrorCode): number {
  return ERRORS[code].wire ?? WIRE_RESET;
}

function wireIn(code: ErrorCode): number {
  const { wire } = ERRORS[code];
  if (wire === undefined) throw new TypeError(`${code} has no wire code`);
  return wire;
}

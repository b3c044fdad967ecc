/**
 * A flow joins one stream of the engine to a Duplex: bytes and backpressure both ways, the end of each
 * direction, and the ways in which a stream breaks.
 *
 * Out: the Duplex hands a chunk over and waits while the engine says blocked. In: bytes leave the engine only
 * as the Duplex is read, because the engine grants the peer credit for what has left it.
 *
 * When the link is over, what had arrived is still delivered; the error, or the close, comes after it.
 */
import type { Duplex } from "node:stream";
import { ERRORS, type ErrorCode, errorReceivedAs, SrudpError } from "../base/errors.ts";

/** What a flow needs of the engine's connection. */
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

/** Where the flow is at home. */
export interface StreamHost {
  readonly engine: StreamEngine;
  /** After every command to the engine. */
  touch(): void;
  /** A fault showed: the link ends (`fault.ts`). */
  fail(fault: unknown): void;
  /** A listener, or a callback of the writer's, threw. */
  failByListener(thrown: unknown): void;
  /** Something ended; `flow.isSettled` tells whether all of it has. */
  streamChanged(flow: StreamAdapter): void;
}

/** The wire code of ERR_PEER_RESET. */
export const WIRE_RESET: number = wireIn("ERR_PEER_RESET");

type Callback = (error?: Error | null) => void;

export class StreamAdapter {
  /** The engine's stream, −1 until it is known. */
  streamId = -1;
  /** Bytes that were handed to the engine. */
  writtenBytes = 0;
  /** The end of our direction was handed to the engine. */
  isFinished = false;
  /** Nothing of ours is on its way any more: acknowledged with its end, or given up. */
  isDelivered = false;
  /** The end of the peer's direction was handed to the Duplex. */
  isReadEnded = false;

  readonly #host: StreamHost;
  #duplex: Duplex | undefined;
  #wantsBytes = false;
  #isPulling = false;
  /** Bytes that left the engine and have no reader yet: came with the kind, or outlived the link. */
  readonly #held: Uint8Array[] = [];
  /** The writer's callback while it has to wait: for room, or for the stream to open. */
  #waiting: Callback | undefined;
  #unopened: readonly Uint8Array[] | undefined;
  #isClosed = false;
  #deliversFirst = false;
  /** Set when the link is over; what is left to be read is in `#held` then. */
  #over: { readonly error: SrudpError | undefined; readonly isComplete: boolean } | undefined;

  constructor(host: StreamHost) {
    this.#host = host;
  }

  /** Whether the Duplex is gone and the engine has nothing left to deliver for it. */
  get isSettled(): boolean {
    return this.#isClosed && (this.isDelivered || this.#over !== undefined || this.streamId < 0);
  }

  // ------------------------------------------------------------------ from the Duplex

  /** Where a fault of the Duplex's goes. */
  get host(): StreamHost {
    return this.#host;
  }

  join(duplex: Duplex): void {
    this.#duplex = duplex;
  }

  /** `_write`: `done` is called once there is room for more. */
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

  /** `_final`: everything was written. */
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

  /** `_read`: the Duplex has room. */
  want(): void {
    this.#wantsBytes = true;
    this.#pull();
  }

  /** After each read of the Duplex: it may have been the last. */
  noteRead(): void {
    if (this.#over !== undefined) this.#endAfterLastByte();
  }

  /** What read() gave up to here is used no more. */
  recycle(bytes: Uint8Array): void {
    this.#host.engine.recycle(bytes);
  }

  /** The next `close` lets the peer have what was written before it learns that the stream broke off. */
  deliverFirst(): void {
    this.#deliversFirst = true;
  }

  /** `_destroy`: whatever has not ended breaks off, at the peer too. */
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

  /** The stream is there; `bytes` came with its kind and belong to the reader. */
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

  /** The peer gave its direction up. */
  handleReset(errorCode: number): void {
    this.#duplex?.destroy(errorFor(errorCode, "ERR_PEER_RESET"));
  }

  /** The peer takes nothing more; the engine has reset our direction. */
  handleStopSending(errorCode: number): void {
    this.isDelivered = true;
    this.#duplex?.destroy(errorFor(errorCode, "ERR_PEER_OUTPUT_CLOSED"));
    this.#host.streamChanged(this);
  }

  /**
   * The connection is over, with `error`, or in order.
   *
   * @param isAbrupt nothing more is to be delivered: it was our side that ended it
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
    // A failure that nobody would learn of by reading is told at once.
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

  /** Why an orderly close is none for this stream, if it is none. */
  #truncation(isComplete: boolean): SrudpError | undefined {
    if (this.streamId < 0) return undefined;
    if (!isComplete) return new SrudpError("ERR_PEER_RESET");
    // A peer that read to our end closes; one that closes before it has not taken everything.
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
      // Whoever gets these bytes may ask for more before push() returns: that wish must not get lost.
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

  /** The link broke in the middle of the peer's direction: the error comes behind the last byte that arrived. */
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
      // Node calls the callback that was given to write() from in here.
      this.#host.failByListener(thrown);
    }
  }
}

/** The error that a stream broke off with. */
function errorFor(errorCode: number, fallback: "ERR_PEER_RESET" | "ERR_PEER_OUTPUT_CLOSED"): SrudpError {
  return new SrudpError(errorReceivedAs(errorCode) ?? fallback);
}

/** The wire code that tells the peer why a stream or a link breaks off. */
export function wireOf(error: unknown): number {
  const code = error instanceof SrudpError ? error.code : "ERR_PEER_RESET";
  return wireOfCode(code);
}

/** The wire code of an error; WIRE_RESET for errors that never travel. */
export function wireOfCode(code: ErrorCode): number {
  return ERRORS[code].wire ?? WIRE_RESET;
}

function wireIn(code: ErrorCode): number {
  const { wire } = ERRORS[code];
  if (wire === undefined) throw new TypeError(`${code} has no wire code`);
  return wire;
}

/** A stream of a link as a `node:stream` Duplex: used like a socket, ended in each direction on its own. */
import { Duplex } from "node:stream";
import { faultError, guarded } from "./fault.ts";
import type { StreamAdapter } from "./stream-adapter.ts";

/** Unread bytes in the Duplex. Further bytes stay in the engine, which then stops the peer. */
const READ_AHEAD_BYTES = 16 * 1024;
/**
 * Bytes of the writer that wait here before `write` returns false; the engine holds its own share beyond. More of
 * either is no faster, and a thousand streams hold it a thousand times.
 */
const WRITE_BEHIND_BYTES = 16 * 1024;

/**
 * One bidirectional stream.
 *
 * A chunk that was written belongs to the stream until the peer has acknowledged it, which is later than
 * the write's callback: do not change it. `end()` ends this direction only; the peer's goes on. `destroy()`
 * before both have ended breaks the stream off, and the peer's stream errors with `ERR_PEER_RESET`. Errors
 * are `SrudpError`s.
 *
 * When the link ends, what has arrived can still be read; the event `linkover` tells that no more will come.
 */
export class Stream extends Duplex {
  readonly #flow: StreamAdapter;

  /** Constructed by the library only: `Link.openStream()`, or the link's event `stream`. */
  constructor(flow: StreamAdapter) {
    super({ readableHighWaterMark: READ_AHEAD_BYTES, writableHighWaterMark: WRITE_BEHIND_BYTES });
    this.#flow = flow;
    flow.join(this);
  }

  /** Number of the stream on its link, the same on both sides; −1 while it is not known yet. */
  get streamId(): number {
    return this.#flow.streamId;
  }

  /**
   * Resets the stream as `destroy()` does, but delivers the written bytes before, as long as the peer's reader makes
   * room for them.
   */
  breakOff(error: Error): void {
    this.#flow.deliverFirst();
    this.destroy(error);
  }

  /**
   * Gives the memory of a received chunk back, to be filled anew. Nobody has to; at hundreds of megabytes a second
   * it spares the receiver a good part of its work. Chunks come back whole, in the order in which they came, when
   * nothing holds them or a view of them any more. Any other bytes are left alone.
   */
  recycle(chunk: Uint8Array): void {
    try {
      this.#flow.recycle(chunk);
    } catch (fault) {
      this.fail(fault);
    }
  }

  // biome-ignore lint/suspicious/noExplicitAny: the type that Duplex gives it
  override read(size?: number): any {
    const chunk = super.read(size);
    this.#flow.noteRead();
    return chunk;
  }

  /**
   * Chunks up to the peer's end. Node's own iterator would destroy the stream there, and with it the direction
   * that goes on; this one destroys it only when the loop is left early.
   */
  // biome-ignore lint/suspicious/noExplicitAny: the type that Duplex gives it
  override async *[Symbol.asyncIterator](): AsyncGenerator<any, undefined> {
    let isAtEnd = false;
    try {
      yield* this.iterator({ destroyOnReturn: false });
      isAtEnd = true;
    } finally {
      if (!isAtEnd) this.destroy();
    }
    return undefined;
  }

  /**
   * Ends the link because of a fault: an exception that means a bug on this side. It fails with ERR_INTERNAL here
   * and with ERR_PEER_INTERNAL at the peer.
   */
  fail(fault: unknown): void {
    this.#flow.host.fail(fault);
  }

  /** `work` with its exceptions made faults of this link: for timers, sockets and promises that serve it. */
  guard<Values extends unknown[]>(work: (...values: Values) => void): (...values: Values) => void {
    return guarded(work, (fault) => this.fail(fault));
  }

  /** An exception of an event listener is reported separately and never reaches the caller (`fault.ts`). */
  // biome-ignore lint/suspicious/noExplicitAny: as every Duplex has it
  override emit(event: string | symbol, ...values: any[]): boolean {
    try {
      return super.emit(event, ...values);
    } catch (thrown) {
      this.#flow.host.failByListener(thrown);
      return true;
    }
  }

  // Node may call these methods from any stack, so they must not throw.

  override _read(): void {
    try {
      this.#flow.want();
    } catch (fault) {
      this.fail(fault);
    }
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#write([chunk], done);
  }

  override _writev(entries: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#write(
      entries.map((entry) => entry.chunk),
      done,
    );
  }

  #write(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    try {
      this.#flow.write(chunks, done);
    } catch (fault) {
      this.fail(fault);
      done(faultError(fault));
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    try {
      this.#flow.finish(done);
    } catch (fault) {
      this.fail(fault);
      done(faultError(fault));
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    try {
      this.#flow.close(error);
    } catch (fault) {
      this.fail(fault);
    }
    done(error);
  }
}

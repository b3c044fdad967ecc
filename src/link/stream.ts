/**
 * A stream of a link as a `node:stream` Duplex. It is used like a socket, and each direction ends
 * separately.
 */
import { Duplex } from "node:stream";
import { faultError, guarded } from "./fault.ts";
import type { StreamAdapter } from "./stream-adapter.ts";

/**
 * Maximum number of unread bytes in the Duplex. Further bytes stay in the engine, which then stops
 * the peer by flow control.
 */
const READ_AHEAD_BYTES = 16 * 1024;
/**
 * Bytes that are buffered here before `write` returns false, in addition to the engine's buffer. A
 * larger buffer is no faster, and its cost multiplies with the number of streams.
 */
const WRITE_BEHIND_BYTES = 16 * 1024;

/**
 * One bidirectional stream.
 *
 * A written chunk belongs to the stream until the peer has acknowledged it, which is later than the
 * callback of the write. Do not change it before. `end()` ends this direction only. `destroy()`
 * before both directions have ended resets the stream, and the peer's stream fails with
 * `ERR_PEER_RESET`. Errors are `SrudpError`s.
 *
 * When the link ends, bytes that have arrived can still be read. The event `linkover` reports that
 * no more bytes will arrive.
 */
export class Stream extends Duplex {
  readonly #flow: StreamAdapter;

  /** Constructed by the library only: `Link.openStream()`, or the link's event `stream`. */
  constructor(flow: StreamAdapter) {
    super({ readableHighWaterMark: READ_AHEAD_BYTES, writableHighWaterMark: WRITE_BEHIND_BYTES });
    this.#flow = flow;
    flow.join(this);
  }

  /** ID of the stream on its link, the same on both sides; −1 while it is not known yet. */
  get streamId(): number {
    return this.#flow.streamId;
  }

  /**
   * Resets the stream like `destroy()`, but first delivers the written bytes as long as the peer
   * reads.
   */
  breakOff(error: Error): void {
    this.#flow.deliverFirst();
    this.destroy(error);
  }

  /**
   * Returns the memory of a received chunk for reuse. Optional: at hundreds of megabytes a second
   * it saves the receiver much of its work. Return whole chunks, in the order of their arrival,
   * once nothing references them or a view of them. Other bytes are ignored.
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
    this.#flow.handleRead();
    return chunk;
  }

  /**
   * Iterates over the chunks up to the peer's end. Node's default iterator would destroy the stream
   * there, including the local direction. This one destroys it only when the loop is left early.
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
   * Ends the link because of a fault, an exception that means a bug on this side. The link fails
   * with ERR_INTERNAL here and with ERR_PEER_INTERNAL at the peer.
   */
  fail(fault: unknown): void {
    this.#flow.host.fail(fault);
  }

  /**
   * Wraps `work` for timers, sockets and promises that serve this link: its exceptions become
   * faults of the link.
   */
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

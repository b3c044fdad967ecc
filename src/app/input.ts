/**
 * Standard input as a stream that reuses its buffers.
 *
 * A chunk stays in use until the peer has acknowledged it. As garbage it would outlive V8's young generation and
 * accumulate, tens of megabytes at full rate. The consumer of the stream may therefore report how many bytes it no
 * longer needs, and their buffers are read into again.
 *
 * A pipe is read by the event loop, never by a blocked thread, which would hold the process at its end.
 */
import { fstatSync, read, readSync } from "node:fs";
import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
import { Readable } from "node:stream";
import { isatty } from "node:tty";
import { SrudpError } from "../base/errors.ts";
import { TerminalInput } from "./terminal-input.ts";

const BUFFER_BYTES = 64 * 1024;
/** Shorter reads are copied, so that slow input does not pin a large buffer for each chunk. */
const COPIED_BYTES = 16 * 1024;
/** Buffers that are kept for reuse; the garbage collector takes further ones. */
const BUFFERS_LIMIT = 256;
/** How soon a descriptor that somebody made non-blocking is tried again when it has nothing. */
const EMPTY_RETRY_MS = 10;

/** A Readable whose consumer reports how many of its bytes, from the first on, it no longer needs. */
export interface RecyclingInput extends Readable {
  recycle(bytes: number): void;
}

/** The stream of an open descriptor; on a terminal it reads `process.stdin`, whatever the number. */
export function openInput(descriptor: number): Readable | RecyclingInput {
  if (isatty(descriptor)) return new TerminalInput();
  const stats = fstatSync(descriptor);
  return stats.isFIFO() || stats.isSocket() ? new StreamInput(descriptor) : new FileInput(descriptor);
}

/**
 * Finds out before anything is done for it that a descriptor cannot be read: a directory, or a file that is open for
 * writing only. Nothing is taken from it.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE
 */
export function checkInput(descriptor: number): void {
  const stats = fstatSync(descriptor);
  if (!stats.isFile() && !stats.isDirectory()) return;
  try {
    readSync(descriptor, new Uint8Array(1), 0, 1, 0);
  } catch (error) {
    throw inputError(error as NodeJS.ErrnoException);
  }
}

/** Why standard input cannot be read. */
export function inputError(error: NodeJS.ErrnoException): SrudpError {
  const reason = error.code === "EISDIR" ? "a directory" : (error.code ?? error.message);
  return new SrudpError("ERR_FILE_UNREADABLE", `Standard input (${reason})`, error);
}

export function isRecycling(input: Readable): input is RecyclingInput {
  return "recycle" in input;
}

/** Buffers in the order in which they were filled. */
class BufferPool {
  readonly #free: Uint8Array[] = [];
  readonly #used: { readonly endBytes: number; readonly buffer: Uint8Array }[] = [];
  #bytes = 0;

  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /** What to hand out of `buffer`, whose first `length` bytes were filled. */
  fill(buffer: Uint8Array, length: number): Uint8Array {
    this.#bytes += length;
    if (length < COPIED_BYTES) {
      this.#free.push(buffer);
      return Buffer.from(buffer.subarray(0, length));
    }
    this.#used.push({ endBytes: this.#bytes, buffer });
    if (this.#used.length > BUFFERS_LIMIT) this.#used.shift();
    return buffer.subarray(0, length);
  }

  recycle(bytes: number): void {
    for (let first = this.#used[0]; first !== undefined && first.endBytes <= bytes; first = this.#used[0]) {
      this.#free.push(first.buffer);
      this.#used.shift();
    }
  }
}

/** A file or a device. */
class FileInput extends Readable implements RecyclingInput {
  readonly #descriptor: number;
  readonly #pool: BufferPool = new BufferPool();

  constructor(descriptor: number) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#descriptor = descriptor;
  }

  recycle(bytes: number): void {
    this.#pool.recycle(bytes);
  }

  override _read(): void {
    this.#readInto(this.#pool.take());
  }

  #readInto(buffer: Uint8Array): void {
    read(this.#descriptor, buffer, 0, buffer.length, null, (error, length) => {
      if (this.destroyed) return;
      if (error === null) this.push(length === 0 ? null : this.#pool.fill(buffer, length));
      else if (error.code === "EAGAIN") setTimeout(() => this.#readInto(buffer), EMPTY_RETRY_MS);
      else this.destroy(error);
    });
  }
}

/** A pipe or a socket. */
class StreamInput extends Readable implements RecyclingInput {
  readonly #socket: Socket;
  readonly #pool: BufferPool = new BufferPool();

  constructor(descriptor: number) {
    super({ highWaterMark: BUFFER_BYTES });
    const options: SocketConstructorOpts & { onread: OnReadOpts } = {
      fd: descriptor,
      readable: true,
      writable: false,
      onread: {
        buffer: () => this.#pool.take(),
        // False stops the reading until `_read` asks for more.
        callback: (length, buffer) => this.push(this.#pool.fill(buffer, length)),
      },
    };
    this.#socket = new Socket(options);
    this.#socket.on("error", (error) => this.destroy(error));
    this.#socket.on("end", () => this.push(null));
  }

  recycle(bytes: number): void {
    this.#pool.recycle(bytes);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

/**
 * Standard input as a stream that reuses its buffers.
 *
 * A chunk stays in use until the peer has acknowledged it. As garbage it would outlive V8's young
 * generation and accumulate, tens of megabytes at full rate. The consumer of the stream may
 * therefore report how many bytes it no longer needs. Their buffers are then reused for further
 * reads.
 *
 * The event loop reads pipes. A blocked read in the thread pool would keep the process from
 * exiting.
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
/** Retry interval for an empty descriptor that another process has made non-blocking. */
const EMPTY_RETRY_MS = 10;

/**
 * A Readable whose consumer reports how many of its bytes, counted from the first, it no longer
 * needs.
 */
export interface RecyclingInput extends Readable {
  recycle(bytes: number): void;
}

/**
 * Opens a stream on an open descriptor. On a terminal it reads `process.stdin`, regardless of the
 * number.
 */
export function openInput(descriptor: number): Readable | RecyclingInput {
  if (isatty(descriptor)) return new TerminalInput();
  const stats = fstatSync(descriptor);
  return stats.isFIFO() || stats.isSocket() ? new StreamInput(descriptor) : new FileInput(descriptor);
}

/**
 * Fails early if a descriptor is not readable: a directory, or a file that is open for writing
 * only. Consumes no input.
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

/** The error that reports why standard input is not readable. */
export function inputError(error: NodeJS.ErrnoException): SrudpError {
  const reason = error.code === "EISDIR" ? "a directory" : (error.code ?? error.message);
  return new SrudpError("ERR_FILE_UNREADABLE", `Standard input (${reason})`, error);
}

export function isRecycling(input: Readable): input is RecyclingInput {
  return "recycle" in input;
}

/** Filled buffers, in order. */
class BufferPool {
  readonly #free: Uint8Array[] = [];
  readonly #used: { readonly endBytes: number; readonly buffer: Uint8Array }[] = [];
  #bytes = 0;

  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /** Returns the bytes to pass on. The first `length` bytes of `buffer` were filled. */
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

/** Reads a file or a device. */
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

/** Reads a pipe or a socket. */
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
        // Returning false stops reading until `_read` requests more.
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

/**
 * Standard output as a stream whose descriptor can be closed.
 *
 * Node never closes descriptors 0–2, so the next program in a shell pipeline would not see the end
 * of its input before this process exits. This stream closes its descriptor once everything is
 * written, and replaces it with `/dev/null` so that no file opened later gets its number.
 *
 * The event loop writes to pipes and sockets without blocking. Files and terminals go through the
 * thread pool, where a stopped terminal blocks nothing else.
 */
import { closeSync, fstatSync, type Stats, write, writev } from "node:fs";
import { Socket } from "node:net";
import { Writable } from "node:stream";
import { closeStandardDescriptor } from "../platform/standard-descriptors.ts";

/** Bytes that are buffered before the link is paused. */
const WRITE_BEHIND_BYTES = 256 * 1024;
/** Retry interval for a full descriptor that another process has made non-blocking. */
const FULL_RETRY_MS = 10;
const LAST_STANDARD_DESCRIPTOR = 2;

type Done = (error?: Error | null) => void;

/** Opens a Writable on an open descriptor. Its end closes the descriptor. */
export function openOutput(descriptor: number): Writable {
  const stats = fstatSync(descriptor);
  return stats.isFIFO() || stats.isSocket()
    ? new StreamOutput(descriptor, stats)
    : new FileOutput(descriptor);
}

/** Writes to a pipe or a socket. */
class StreamOutput extends Writable {
  readonly #descriptor: number;
  readonly #isSocket: boolean;
  readonly #socket: Socket;

  constructor(descriptor: number, stats: Stats) {
    super({ highWaterMark: WRITE_BEHIND_BYTES });
    this.#descriptor = descriptor;
    this.#isSocket = stats.isSocket();
    this.#socket = new Socket({ fd: descriptor, readable: false, writable: true });
    // The failing write reports the error.
    this.#socket.on("error", () => undefined);
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: Done): void {
    this.#socket.write(chunk, done);
  }

  override _writev(entries: { chunk: Uint8Array }[], done: Done): void {
    this.#socket.cork();
    const last = entries.length - 1;
    for (const [index, { chunk }] of entries.entries()) {
      if (index < last) this.#socket.write(chunk);
      else this.#socket.write(chunk, done);
    }
    this.#socket.uncork();
  }

  override _final(done: Done): void {
    // Another process may share the socket, as with inetd. Then only a shutdown signals the end to
    // its peer.
    if (this.#isSocket) this.#socket.end(() => this.#close(done));
    else this.#close(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy();
    done(error);
  }

  #close(done: Done): void {
    // Node closes the descriptor, unless it is a standard descriptor.
    if (this.#descriptor > LAST_STANDARD_DESCRIPTOR) this.#socket.once("close", () => done());
    this.#socket.destroy();
    if (this.#descriptor <= LAST_STANDARD_DESCRIPTOR) done(releaseDescriptor(this.#descriptor));
  }
}

/** Writes to a file, a terminal, or a device. */
class FileOutput extends Writable {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    super({ highWaterMark: WRITE_BEHIND_BYTES });
    this.#descriptor = descriptor;
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: Done): void {
    this.#writeAll(chunk, done);
  }

  override _writev(entries: { chunk: Uint8Array }[], done: Done): void {
    const chunks = entries.map((entry) => entry.chunk);
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    writev(this.#descriptor, chunks, (error, written) => {
      if (error !== null && error.code !== "EAGAIN") done(error);
      else if (error === null && written === length) done();
      // Partial writes are rare, so the rest is concatenated and written in one piece.
      else this.#writeAll(Buffer.concat(chunks).subarray(error === null ? written : 0), done);
    });
  }

  override _final(done: Done): void {
    done(releaseDescriptor(this.#descriptor));
  }

  #writeAll(bytes: Uint8Array, done: Done): void {
    write(this.#descriptor, bytes, (error, written) => {
      if (error === null && written === bytes.length) done();
      else if (error === null) this.#writeAll(bytes.subarray(written), done);
      else if (error.code === "EAGAIN") setTimeout(() => this.#writeAll(bytes, done), FULL_RETRY_MS);
      else done(error);
    });
  }
}

/**
 * Closes `descriptor`. Returns an error that the system reports only at close, for example a full
 * disk over NFS.
 */
function releaseDescriptor(descriptor: number): Error | undefined {
  if (descriptor <= LAST_STANDARD_DESCRIPTOR) return closeStandardDescriptor(descriptor);
  try {
    closeSync(descriptor);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/**
 * Standard output as a stream whose descriptor can be closed.
 *
 * Node never closes descriptors 0–2, so the next program in a shell's pipe would not see the end before
 * this process ends. Here the end of the stream closes the descriptor, once everything is written, and puts
 * `/dev/null` in its place so that no file opened later gets its number.
 *
 * Pipes and sockets are written without blocking, by the event loop. Files and terminals go through the
 * thread pool, where a stopped terminal holds up nothing but itself.
 */
import { closeSync, fstatSync, type Stats, write, writev } from "node:fs";
import { Socket } from "node:net";
import { Writable } from "node:stream";
import { closeStandardDescriptor } from "../platform/standard-descriptors.ts";

/** Bytes that wait before the link is told to wait. */
const WRITE_BEHIND_BYTES = 256 * 1024;
/** How soon a descriptor that somebody made non-blocking is tried again when it is full. */
const FULL_RETRY_MS = 10;
const LAST_STANDARD_DESCRIPTOR = 2;

type Done = (error?: Error | null) => void;

/** A Writable over an open descriptor, whose end is the descriptor's end. */
export function openOutput(descriptor: number): Writable {
  const stats = fstatSync(descriptor);
  return stats.isFIFO() || stats.isSocket()
    ? new StreamOutput(descriptor, stats)
    : new FileOutput(descriptor);
}

/** A pipe or a socket. */
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
    // A socket may be shared (as inetd does); then only a shutdown signals the end to its peer.
    if (this.#isSocket) this.#socket.end(() => this.#close(done));
    else this.#close(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy();
    done(error);
  }

  #close(done: Done): void {
    // Node closes what it was given, standard descriptors excepted.
    if (this.#descriptor > LAST_STANDARD_DESCRIPTOR) this.#socket.once("close", () => done());
    this.#socket.destroy();
    if (this.#descriptor <= LAST_STANDARD_DESCRIPTOR) done(releaseDescriptor(this.#descriptor));
  }
}

/** A file, a terminal, or a device. */
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
      // The rare rest is written in one piece.
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

/** Closes `descriptor`, and reports what the system kept back until now (a full disk over NFS, for one). */
function releaseDescriptor(descriptor: number): Error | undefined {
  if (descriptor <= LAST_STANDARD_DESCRIPTOR) return closeStandardDescriptor(descriptor);
  try {
    closeSync(descriptor);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

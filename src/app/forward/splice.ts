/**
 * Joins a TCP or Unix socket to a stream of the link. Both programs see what a direct connection
 * would show them: half-closes, resets as resets, and backpressure in both directions.
 *
 * The memory of a splice is bounded by the buffers of the socket and the stream and by the stream's
 * receive window.
 */
import { readSync } from "node:fs";
import type { Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import type { Stream } from "../../link/stream.ts";

/**
 * After the link has ended, the splice drops a socket whose program reads nothing for this long.
 */
const STALL_MS = 3000;

export class Splice {
  readonly #socket: Socket;
  readonly #stream: Stream;
  readonly #onOver: () => void;
  /** How many of the two are still open. */
  #open: number;
  /** Chunks that were written to the socket. */
  #takenChunks = 0;
  #stallTimer: NodeJS.Timeout | undefined;

  /**
   * Forwards the socket's bytes at once, and the stream's bytes after `receive`.
   *
   * @param onOver called once, when both are closed
   */
  constructor(socket: Socket, stream: Stream, onOver: () => void) {
    this.#socket = socket;
    this.#stream = stream;
    this.#onOver = onOver;
    const breakOff = stream.guard(() => this.breakOff());
    socket.on("error", breakOff);
    stream.on("error", breakOff);
    for (const one of [socket, stream]) {
      const handleClose = stream.guard(() => this.#handleClose(one));
      one.on("close", handleClose);
    }
    this.#open = (socket.closed ? 0 : 1) + (stream.closed ? 0 : 1);
    if (socket.destroyed || stream.destroyed) {
      this.breakOff();
      if (this.#open === 0) onOver();
      return;
    }
    socket.on("data", stream.guard(this.#send));
    socket.on("end", stream.guard(this.#endSending));
    stream.on("drain", () => socket.resume());
    stream.once("linkover", stream.guard(this.#watchForStall));
    socket.resume();
  }

  /**
   * Starts to forward the stream's bytes. The peer has reached the target, so that they belong to
   * the connection.
   */
  receive(): void {
    const socket = this.#socket;
    const stream = this.#stream;
    if (socket.destroyed || stream.destroyed) return;
    stream.on("data", this.#receive);
    stream.on("end", () => socket.end());
    const resume = stream.guard(() => stream.resume());
    socket.on("drain", resume);
    stream.resume();
  }

  /** Resets both. Bytes in flight are lost. */
  breakOff(): void {
    resetSocket(this.#socket);
    this.#stream.breakOff(new SrudpError("ERR_PEER_RESET"));
  }

  readonly #send = (chunk: Uint8Array): void => {
    if (!this.#stream.write(chunk)) this.#socket.pause();
  };

  readonly #receive = (chunk: Uint8Array): void => {
    const handleTaken = (): void => {
      this.#takenChunks++;
      this.#stream.recycle(chunk);
    };
    if (!this.#socket.write(chunk, handleTaken)) this.#stream.pause();
  };

  readonly #watchForStall = (): void => {
    let takenBefore = this.#takenChunks;
    const checkStall = (): void => {
      if (takenBefore === this.#takenChunks) this.breakOff();
      takenBefore = this.#takenChunks;
    };
    this.#stallTimer = setInterval(this.#stream.guard(checkStall), STALL_MS);
  };

  readonly #endSending = (): void => {
    if (wasReset(this.#socket)) this.breakOff();
    else this.#stream.end();
  };

  /**
   * If one of them closes before both of its directions have ended, it was reset, and the other is
   * reset as well.
   */
  #handleClose(one: Socket | Stream): void {
    if (!one.readableEnded || !one.writableFinished) this.breakOff();
    if (--this.#open > 0) return;
    clearInterval(this.#stallTimer);
    this.#onOver();
  }
}

/**
 * Closes a socket with a reset if its kind supports one, so that the program at its remote end sees
 * no orderly end.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  // Without a listener, an error of the socket would be thrown. Errors after a reset do not matter.
  socket.on("error", () => undefined);
  // During a shutdown libuv refuses a reset (EINVAL), and Node then never closes the descriptor.
  // The kernel has all bytes by then, so the shutdown ends within one turn of the event loop.
  const isShuttingDown = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isShuttingDown) {
    socket.pause();
    socket.once("finish", () => resetNow(socket));
  } else resetNow(socket);
}

function resetNow(socket: Socket): void {
  if (socket.destroyed) return;
  try {
    socket.resetAndDestroy();
  } catch {
    // Unix sockets have no reset.
    socket.destroy();
  }
}

/**
 * Whether the end that the socket has just reported was a reset. Node reports a reset as an orderly
 * end if it arrives while reading is paused. The kernel still returns the error to the next read.
 */
function wasReset(socket: Socket): boolean {
  const { _handle: handle } = socket as { readonly _handle?: { readonly fd?: number } | null };
  if (handle?.fd === undefined) return false;
  try {
    readSync(handle.fd, new Uint8Array(1));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNRESET";
  }
}

/**
 * Joins a TCP (or Unix) socket to a stream of the link so that neither program can tell: the end of each
 * direction on its own, a reset as a reset, and backpressure both ways.
 *
 * What either side may hold is bounded: the socket's and the stream's own buffers, and the stream's window.
 */
import { readSync } from "node:fs";
import type { Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import type { Stream } from "../../link/stream.ts";

/** After the link has ended, a program that takes nothing of what had arrived for so long is not waited for. */
const STALL_MS = 3000;

export class Splice {
  readonly #socket: Socket;
  readonly #stream: Stream;
  readonly #onOver: () => void;
  /** How many of the two are not closed yet. */
  #open: number;
  /** Chunks that the socket has taken. */
  #takenChunks = 0;
  #stallTimer: NodeJS.Timeout | undefined;

  /**
   * The socket's bytes flow at once; those of the stream after `receive`.
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

  /** The peer has reached its end: the stream's bytes are the connection's from here on. */
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

  /** Ends both as a reset does: whatever has not arrived never will. */
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
    const look = (): void => {
      if (takenBefore === this.#takenChunks) this.breakOff();
      takenBefore = this.#takenChunks;
    };
    this.#stallTimer = setInterval(this.#stream.guard(look), STALL_MS);
  };

  readonly #endSending = (): void => {
    if (wasReset(this.#socket)) this.breakOff();
    else this.#stream.end();
  };

  /** One that closed before both of its directions had ended has broken off, and takes the other with it. */
  #handleClose(one: Socket | Stream): void {
    if (!one.readableEnded || !one.writableFinished) this.breakOff();
    if (--this.#open > 0) return;
    clearInterval(this.#stallTimer);
    this.#onOver();
  }
}

/** Ends a socket with a reset where there is such a thing, so that its program sees no orderly end. */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  // Without a listener it would be thrown: whoever resets does not want to hear of it.
  socket.on("error", () => undefined);
  // libuv refuses a reset (EINVAL) while a shutdown is under way, and Node then never closes the descriptor. All
  // bytes are with the kernel by then, so that the shutdown ends within a turn of the event loop.
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
    // Unix sockets know no reset.
    socket.destroy();
  }
}

/**
 * Whether the end that the socket has just told of was a reset. Node takes one that came while reading was paused
 * for an orderly end, without asking: the system still has it to tell, to whoever reads next.
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

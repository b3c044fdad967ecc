/** A link to a peer: its pipe stream as a Duplex, further streams, datagrams, receipts and statistics. */

import type { ErrorCode, SrudpError } from "../base/errors.ts";
import type { PathKind, PathMove } from "../base/path.ts";
import type { ConnectionStats } from "../engine/connection/connection.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";
import type { Receipt } from "./control-records.ts";
import type { LinkCore } from "./link-core.ts";
import type { Auth } from "./link-options.ts";
import type { StreamPurpose } from "./link-state.ts";
import { remoteOf } from "./new-connection.ts";
import { Stream } from "./stream.ts";
import { wireOf, wireOfCode } from "./stream-adapter.ts";

/** Counters and estimates of a link; bytes are those of UDP payloads, times are milliseconds. */
export type LinkStats = ConnectionStats;

/** Events of a link beside those of every Duplex. */
export interface LinkEvents {
  /** The peer opened a stream. Without an event listener the stream is refused. */
  stream: [stream: Stream];
  /** A datagram arrived. */
  datagram: [bytes: Uint8Array];
  /** The link goes another way than before, or again. */
  path: [move: PathMove];
  /** The peer certifies the bytes that its output accepted. */
  receipt: [receipt: Receipt];
  /** The peer, which opened the link, has opened its pipe. */
  pipe: [];
  /** The peer opened a stream for a forwarded connection. Without a listener it is refused. */
  forward: [stream: Stream];
  /** The peer opened a stream to measure the link with. Without a listener it is refused. */
  bench: [stream: Stream];
  /** A control record arrived that the link does not handle itself. */
  record: [type: number, body: Uint8Array];
}

/**
 * An authenticated, encrypted link, used like a socket. The peer reads the written bytes in order, and each direction
 * ends on its own.
 *
 * When both have ended, the link closes by itself as soon as the peer has acknowledged everything ('close').
 * `destroy()` before that resets it. Failures are SrudpErrors: ERR_LINK_LOST, ERR_PEER_RESET,
 * ERR_PEER_OUTPUT_CLOSED (the peer closed without having read all), protocol errors. Bytes that
 * had arrived are delivered before the error if they are read.
 */
export class Link extends Stream {
  /** The peer's public key, 32 bytes: its static key, or one made for this link. */
  readonly peer: Uint8Array;
  /** How the two sides authenticated each other. */
  readonly auth: Auth;
  readonly #core: LinkCore;

  /** Made by `connect` and `listen` only. */
  constructor(core: LinkCore) {
    super(core.pipe);
    this.#core = core;
    const { peerStatic, mode } = core.engine.peer!;
    this.peer = peerStatic;
    this.auth = mode;
  }

  override on<K extends keyof LinkEvents>(event: K, listener: (...values: LinkEvents[K]) => void): this;
  // biome-ignore lint/suspicious/noExplicitAny: as every Duplex has it
  override on(event: string | symbol, listener: (...values: any[]) => void): this;
  // biome-ignore lint/suspicious/noExplicitAny: as every Duplex has it
  override on(event: string | symbol, listener: (...values: any[]) => void): this {
    return super.on(event, listener);
  }

  override once<K extends keyof LinkEvents>(event: K, listener: (...values: LinkEvents[K]) => void): this;
  // biome-ignore lint/suspicious/noExplicitAny: as every Duplex has it
  override once(event: string | symbol, listener: (...values: any[]) => void): this;
  // biome-ignore lint/suspicious/noExplicitAny: as every Duplex has it
  override once(event: string | symbol, listener: (...values: any[]) => void): this {
    return super.once(event, listener);
  }

  /** The peer's current address; the peer may migrate. */
  get remote(): RemoteAddress {
    return remoteOf(this.#core.engine.path);
  }

  /** The kind of the path in use. */
  get path(): PathKind {
    return this.#core.keeper?.kind ?? "direct";
  }

  stats(): LinkStats {
    return this.#core.engine.stats;
  }

  /** Bytes written on any stream that the peer has not acknowledged yet. */
  get unacknowledgedBytes(): number {
    return this.writableLength + this.#core.engine.bufferedBytes.sending;
  }

  /** Whether the pipe is open. The initiator opens it, unless the link is for forwarding only. */
  get hasPipe(): boolean {
    return this.streamId >= 0;
  }

  /**
   * Opens a further stream; waits while the peer allows no more. Rejects when the link is over.
   *
   * @param use the event that tells the peer of it: "application" makes it `stream`, the others are named alike
   */
  openStream(use: StreamPurpose = "application"): Promise<Stream> {
    return this.#core.openStream(use);
  }

  /** Largest datagram that `send` takes at present, bytes. */
  get maxDatagramBytes(): number {
    return this.#core.engine.maxDatagramBytes;
  }

  /**
   * Sends one datagram, which may get lost; do not change it afterwards. False when so many wait that it was
   * dropped. Throws RangeError when it is longer than `maxDatagramBytes`.
   */
  send(datagram: Uint8Array): boolean {
    return this.#core.sendDatagram(datagram);
  }

  /** Certifies to the peer the bytes that the output accepted; event `receipt` there. */
  sendReceipt(receipt: Receipt): void {
    this.#core.sendReceipt(receipt);
  }

  /** Sends a control record; event `record` there. At most 4 KiB. */
  sendRecord(type: number, body: Uint8Array): void {
    this.#core.sendRecord(type, body);
  }

  /** Elicits an acknowledgement from the peer; `stats().receivedPackets` grows when it arrives. */
  ping(): void {
    this.#core.ping();
  }

  /** Keeps the link open beyond the end of both directions, until the returned function is called. */
  hold(): () => void {
    return this.#core.hold();
  }

  /** Delays `close()` until the returned function is called; control records are still sent. */
  deferClose(): () => void {
    return this.#core.deferEnd();
  }

  /**
   * Ends this direction, waits until the peer has everything, and closes the link; what the peer still sends
   * is dropped. The peer is told until it answers, for 3 s at most. Never rejects: when the link fails first,
   * 'error' tells.
   *
   * @param reason for the peer's log, at most 128 bytes
   */
  close(reason = ""): Promise<void> {
    const afterEnd = (): void => {
      this.#core.endInOrder(reason, (error) => {
        if (error === undefined) this.destroy();
      });
    };
    if (this.destroyed || this.writableFinished || this.streamId < 0) afterEnd();
    else {
      this.once("finish", afterEnd);
      if (!this.writableEnded) this.end();
    }
    return this.whenGone();
  }

  /**
   * Resolves when the link has ended and nothing is to be sent for it any more: a process that exits before
   * leaves the peer to its idle timeout, should the last packet be lost.
   */
  whenGone(): Promise<void> {
    return new Promise((resolve) => this.#core.notifyWhenGone(resolve));
  }

  /** Breaks the link off at once, here without an error; `code` is what the peer's link fails with. */
  reset(code: ErrorCode = "ERR_PEER_RESET"): void {
    this.#core.abort(wireOfCode(code));
    this.destroy();
  }

  /** An event listener that received this link threw. */
  failByListener(thrown: unknown): void {
    this.#core.failByListener(thrown);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    try {
      this.#endFor(error, done);
    } catch (fault) {
      this.fail(fault);
      done(error);
    }
  }

  #endFor(error: Error | null, done: (error?: Error | null) => void): void {
    const core = this.#core;
    const { pipe } = core;
    const isClean = error === null && pipe.isFinished && pipe.isReadEnded;
    pipe.close(error);
    if (core.isOver) done(error);
    else if (isClean) core.endWhenIdle((failure: SrudpError | undefined) => done(failure ?? null));
    else {
      core.abort(wireOf(error));
      done(error);
    }
  }
}

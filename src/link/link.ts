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

/** Counters and estimates of a link. Bytes are those of UDP payloads, times are milliseconds. */
export type LinkStats = ConnectionStats;

/** Events of a link in addition to those of a Duplex. */
export interface LinkEvents {
  /** The peer opened a stream. Without an event listener the stream is refused. */
  stream: [stream: Stream];
  /** A datagram arrived. */
  datagram: [bytes: Uint8Array];
  /** The link has moved to another path. */
  path: [move: PathMove];
  /** The peer's receipt for the bytes that its output accepted. */
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
 * An authenticated, encrypted link with the interface of a socket. The peer reads the written bytes
 * in order, and each direction ends separately.
 *
 * When both directions have ended, the link closes by itself as soon as the peer has acknowledged
 * everything ('close'). `destroy()` before that resets it. Failures are SrudpErrors: ERR_LINK_LOST,
 * ERR_PEER_RESET, ERR_PEER_OUTPUT_CLOSED (the peer closed without having read everything), and
 * protocol errors. Bytes that had arrived are delivered before the error if they are read.
 */
export class Link extends Stream {
  /** The peer's public key, 32 bytes: its static key, or a key generated for this link. */
  readonly peer: Uint8Array;
  /** How the two sides authenticated each other. */
  readonly auth: Auth;
  readonly #core: LinkCore;

  /** Constructed by `connect` and `listen` only. */
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
   * Opens a further stream. Waits while the peer's stream limit is reached. Rejects when the link
   * has ended.
   *
   * @param use selects the event that announces the stream at the peer: `stream` for "application",
   * otherwise the event of the same name
   */
  openStream(use: StreamPurpose = "application"): Promise<Stream> {
    return this.#core.openStream(use);
  }

  /** Size of the largest datagram that `send` accepts at present, bytes. */
  get maxDatagramBytes(): number {
    return this.#core.engine.maxDatagramBytes;
  }

  /**
   * Sends one datagram, which may be lost. Do not change its bytes afterwards. Returns false when
   * the send queue is full and the datagram was dropped. Throws RangeError when it is longer than
   * `maxDatagramBytes`.
   */
  send(datagram: Uint8Array): boolean {
    return this.#core.sendDatagram(datagram);
  }

  /** Sends a receipt for the bytes that the output accepted. The peer emits `receipt`. */
  sendReceipt(receipt: Receipt): void {
    this.#core.sendReceipt(receipt);
  }

  /** Sends a control record of at most 4 KiB. The peer emits `record`. */
  sendRecord(type: number, body: Uint8Array): void {
    this.#core.sendRecord(type, body);
  }

  /** Elicits an acknowledgement from the peer. `stats().receivedPackets` grows when it arrives. */
  ping(): void {
    this.#core.ping();
  }

  /** Keeps the link open beyond the end of both directions, until the returned function is called. */
  hold(): () => void {
    return this.#core.hold();
  }

  /** Delays `close()` until the returned function is called. Control records are still sent. */
  deferClose(): () => void {
    return this.#core.deferEnd();
  }

  /**
   * Ends this direction, waits until the peer has acknowledged everything, and closes the link.
   * Bytes that the peer still sends are dropped. The close is repeated until the peer answers, for
   * at most 3 s. Never rejects: if the link fails first, it emits 'error'.
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
   * Resolves when the link has ended and has nothing more to send. If the process exits earlier and
   * the last packet is lost, the peer only notices the end by its idle timeout.
   */
  whenGone(): Promise<void> {
    return new Promise((resolve) => this.#core.notifyWhenGone(resolve));
  }

  /** Resets the link at once, without a local error. The peer's link fails with `code`. */
  reset(code: ErrorCode = "ERR_PEER_RESET"): void {
    this.#core.abort(wireOfCode(code));
    this.destroy();
  }

  /** Reports an exception of an event listener that received this link. */
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

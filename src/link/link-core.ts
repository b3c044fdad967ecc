/**
 * What happens inside a link: which stream is whose, the control stream, and how a link ends.
 *
 * The initiator opens the control stream and the pipe stream at once. A link ends in order when everything
 * that was written has been acknowledged: then one CLOSE goes out. Its code says whether the peer's
 * direction was read to its end, so that the other side can tell a clean end from a truncation.
 */
import { concatBytes } from "../base/bytes.ts";
import { type ErrorCode, isRemoteError, SrudpError } from "../base/errors.ts";
import type { Path, PathKind, PathMove } from "../base/path.ts";
import { Reader } from "../base/reader.ts";
import { type Connection, type ConnectionEvent, EVENT, PRIORITY } from "../engine/connection/connection.ts";
import type { ConnectionHandle, ConnectionOwner } from "./connection-handle.ts";
import {
  ControlReader,
  encodeKind,
  encodeReceipt,
  encodeRecord,
  type Receipt,
  STREAM_KIND,
} from "./control-records.ts";
import { faultError } from "./fault.ts";
import { Stream } from "./stream.ts";
import { StreamAdapter, type StreamHost, wireOfCode } from "./stream-adapter.ts";

/** Whoever keeps the link on a good path. */
export interface PathObserver {
  /** What carries the link. */
  readonly kind: PathKind;
  /** Told of the connection's events that concern paths. */
  handlePathEvent(kind: number, path: Path | undefined): void;
  close(): void;
}

/** What the link itself, which is what the user sees, is told. */
export interface LinkObserver {
  emit(event: string, ...values: unknown[]): boolean;
}

/** What a stream beyond the pipe is for: the library's user, or a forwarded connection. */
export type StreamPurpose = "application" | "forward" | "bench";

interface Opener {
  readonly use: StreamPurpose;
  readonly resolve: (stream: Stream) => void;
  readonly reject: (error: Error) => void;
}

/** What the link emits for the streams that the peer opens. */
const EVENT_OF_KIND: ReadonlyMap<number, string> = new Map([
  [STREAM_KIND.application, "stream"],
  [STREAM_KIND.forward, "forward"],
  [STREAM_KIND.bench, "bench"],
]);
/** A last acknowledgement that has not come after this does not come: its sender has gone. */
const TIMEOUT_MS = 10_000;
const NOTHING: Uint8Array = new Uint8Array(0);
const WIRE_RESET: number = wireOfCode("ERR_PEER_RESET");
const WIRE_NOT_READ: number = wireOfCode("ERR_PEER_OUTPUT_CLOSED");

export class LinkCore implements ConnectionOwner, StreamHost {
  readonly engine: Connection;
  readonly pipe: StreamAdapter;
  /** Where there is one it ends with the link. */
  keeper: PathObserver | undefined;
  readonly #connectionHandle: ConnectionHandle;
  #face: LinkObserver | undefined;
  /** Streams by ID, as long as either side of them is in use. */
  readonly #flows: Map<number, StreamAdapter> = new Map();
  /** The peer's streams whose kind has not arrived whole. */
  readonly #arrivals: Map<number, Uint8Array> = new Map();
  #openers: Opener[] = [];

  #controlId = -1;
  readonly #controlReader: ControlReader = new ControlReader({
    handleReceipt: (receipt) => this.#takeReceipt(receipt),
    handleRecord: (type, body) => this.#face?.emit("record", type, body),
  });
  #controlQueue: Uint8Array[] = [];
  #isControlDelivered = false;

  /** What happens before the link is in its user's hands, who could not listen yet. */
  #backlog: ConnectionEvent[] | undefined = [];
  /** Set when the connection has ended. */
  #over: { readonly error: SrudpError | undefined } | undefined;
  #isDetached = false;
  /** Why this side has closed the link, where that is an error. */
  #failure: SrudpError | undefined;
  /** The close was this object's doing, not the engine's own. */
  #isClosing = false;
  #holds = 0;
  /** Those who still have something to say before an end in order. */
  #deferrals = 0;
  /** The pipe has ended both ways, so the link may end by itself. */
  #isIdle = false;
  /** An end in order was asked for; `reason` goes to the peer. */
  #ending: { readonly reason: string } | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #whenOver: ((error: SrudpError | undefined) => void)[] = [];
  #whenGone: (() => void)[] = [];

  constructor(connection: Connection, connectionHandle: ConnectionHandle) {
    this.engine = connection;
    this.#connectionHandle = connectionHandle;
    this.pipe = new StreamAdapter(this);
  }

  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** For the keeper: the link's user hears of a move. */
  readonly onPathMoved = (move: PathMove): void => {
    this.#face?.emit("path", move);
  };

  // ------------------------------------------------------------------ from the link

  /** The link was handed out: from the next turn of the event loop on it is told of everything, from the first. */
  handOut(): void {
    setImmediate(() => {
      const backlog = this.#backlog ?? [];
      this.#backlog = undefined;
      try {
        if (this.#failure !== undefined) this.#finish(this.#failure, true);
        else for (const event of backlog) this.#handle(event);
      } catch (fault) {
        this.fail(fault);
      }
      if (this.#isDetached) this.handleDetached();
      this.touch();
    });
  }

  /**
   * The link is there; the initiator opens the control stream, and the pipe.
   *
   * @param hasPipe false for a link that only carries further streams
   */
  start(face: LinkObserver, hasPipe = true): void {
    this.#face = face;
    const { engine } = this;
    if (engine.role === "initiator") {
      this.#controlId = engine.openStream(PRIORITY.control);
      const pipeId = hasPipe ? engine.openStream() : -1;
      if (this.#controlId < 0 || (hasPipe && pipeId < 0)) {
        this.#violated("ERR_PARAMETER");
        return;
      }
      engine.write(this.#controlId, encodeKind(STREAM_KIND.control));
      if (hasPipe) this.#startPipe(pipeId);
    }
    this.touch();
  }

  #startPipe(pipeId: number): void {
    this.engine.write(pipeId, encodeKind(STREAM_KIND.pipe));
    this.#flows.set(pipeId, this.pipe);
    this.pipe.open(pipeId);
  }

  openStream(use: StreamPurpose): Promise<Stream> {
    if (this.#over !== undefined) return Promise.reject(this.#over.error ?? new SrudpError("ERR_PEER_RESET"));
    return new Promise((resolve, reject) => {
      this.#openers.push({ use, resolve, reject });
      this.#serveOpeners();
    });
  }

  sendDatagram(bytes: Uint8Array): boolean {
    if (this.engine.state !== "established") return false;
    const taken = this.engine.sendDatagram(bytes);
    this.touch();
    return taken;
  }

  sendReceipt(receipt: Receipt): void {
    this.#controlQueue.push(encodeReceipt(receipt));
    this.#writeControl();
  }

  sendRecord(type: number, body: Uint8Array): void {
    this.#controlQueue.push(encodeRecord(type, body));
    this.#writeControl();
  }

  /** Asks the peer for a sign of life. */
  ping(): void {
    this.engine.ping();
    this.touch();
  }

  /** Keeps the link from ending by itself; call what it returns to undo that. */
  hold(): () => void {
    this.#holds++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds--;
      this.#endWhenIdle();
    };
  }

  /** Has an end in order wait; call what it returns to undo that. */
  deferEnd(): () => void {
    this.#deferrals++;
    let isDeferred = true;
    return () => {
      if (!isDeferred) return;
      isDeferred = false;
      this.#deferrals--;
      this.#writeControl();
      this.#endWhenDelivered();
    };
  }

  /** Calls `whenOver` when the link has ended, with what it failed with. */
  notifyWhenOver(whenOver: (error: SrudpError | undefined) => void): void {
    if (this.#over === undefined) this.#whenOver.push(whenOver);
    else whenOver(this.#over.error);
  }

  /**
   * Calls `whenGone` when nothing is to be sent for the link any more: it has ended, and where that was our
   * doing, the peer has answered it or was given up.
   */
  notifyWhenGone(whenGone: () => void): void {
    if (this.#isGone) whenGone();
    else this.#whenGone.push(whenGone);
  }

  /** The pipe has ended both ways: the link ends too, as soon as nothing else is going on. */
  endWhenIdle(whenOver: (error: SrudpError | undefined) => void): void {
    this.notifyWhenOver(whenOver);
    this.#isIdle = true;
    this.#endWhenIdle();
  }

  /** Ends the link as soon as everything that was written and ended has been acknowledged. */
  endInOrder(reason: string, whenOver: (error: SrudpError | undefined) => void): void {
    this.notifyWhenOver(whenOver);
    if (this.#ending !== undefined || this.#over !== undefined) return;
    this.#ending = { reason };
    this.#writeControl();
    this.#endWhenDelivered();
  }

  /** Ends the link at once; `wireCode` is what the peer's link fails with. */
  abort(wireCode: number): void {
    if (this.#over === undefined) this.#close(wireCode, "");
  }

  touch(): void {
    this.#connectionHandle.touch();
  }

  /** A fault showed while the link was served: it ends with ERR_INTERNAL. */
  fail(fault: unknown): void {
    this.#connectionHandle.fail(fault);
  }

  /** A listener of the link, or of one of its streams, threw. */
  failByListener(thrown: unknown): void {
    this.#connectionHandle.failByListener(thrown);
  }

  streamChanged(flow: StreamAdapter): void {
    if (flow.isSettled && flow !== this.pipe) this.#flows.delete(flow.streamId);
    this.#endWhenIdle();
    this.#endWhenDelivered();
  }

  now(): number {
    return this.#connectionHandle.now();
  }

  // ------------------------------------------------------------------ from the connection

  handleEvent(event: ConnectionEvent): void {
    if (this.#backlog !== undefined) this.#backlog.push({ ...event });
    else this.#handle(event);
  }

  #handle(event: ConnectionEvent): void {
    // A record may have ended the link in the middle of its backlog: streams and records behind it have no owner
    // any more that would end them.
    if (this.#over !== undefined) return;
    const { streamId, errorCode } = event;
    const isControl = streamId === this.#controlId;
    const flow = this.#flows.get(streamId);
    switch (event.kind) {
      case EVENT.streamOpened:
        this.#arrivals.set(streamId, NOTHING);
        this.#takeArrival(streamId);
        break;
      case EVENT.readable:
        if (isControl) this.#readControl();
        else if (flow !== undefined) flow.handleReadable();
        else if (this.#arrivals.has(streamId)) this.#takeArrival(streamId);
        break;
      case EVENT.writable:
        flow?.handleWritable();
        break;
      case EVENT.streamReset:
        if (isControl) this.#violated("ERR_PROTOCOL");
        else if (flow !== undefined) flow.handleReset(errorCode);
        else if (this.#arrivals.delete(streamId)) this.#refuse(streamId);
        break;
      case EVENT.stopSending:
        if (isControl) this.#violated("ERR_PROTOCOL");
        else flow?.handleStopSending(errorCode);
        break;
      case EVENT.streamAcknowledged:
        if (isControl) this.#isControlDelivered = true;
        else flow?.handleAcknowledged();
        this.#endWhenDelivered();
        break;
      case EVENT.streamsAvailable:
        this.#serveOpeners();
        break;
      case EVENT.datagram:
        this.#deliverDatagrams();
        break;
      case EVENT.closed:
        this.#handleClosed();
        break;
      default:
        this.keeper?.handlePathEvent(event.kind, event.path);
    }
  }

  handleFault(fault: unknown): void {
    if (this.#over !== undefined) return;
    this.#failure = faultError(fault);
    try {
      // Not flushed: who is about to throw again is better driven by the endpoint, which lets go of it then.
      this.#isClosing = true;
      this.engine.close(this.#connectionHandle.now(), wireOfCode("ERR_INTERNAL"), "");
    } finally {
      if (this.#backlog === undefined) this.#finish(this.#failure, true);
    }
  }

  handleDetached(): void {
    this.#isDetached = true;
    if (this.#backlog !== undefined) return;
    // The endpoint was closed under the link; a link that ended by itself has been told before.
    this.#finish(new SrudpError("ERR_INTERRUPTED", "The endpoint was closed"), true);
    this.#tellWhenGone();
  }

  // ------------------------------------------------------------------ streams

  #serveOpeners(): void {
    while (this.#openers.length > 0) {
      const streamId = this.engine.openStream();
      if (streamId < 0) return;
      const { use, resolve } = this.#openers.shift()!;
      this.engine.write(streamId, encodeKind(STREAM_KIND[use]));
      this.touch();
      resolve(this.#newStream(streamId, NOTHING));
    }
  }

  #newStream(streamId: number, first: Uint8Array): Stream {
    const flow = new StreamAdapter(this);
    const stream = new Stream(flow);
    this.#flows.set(streamId, flow);
    flow.open(streamId, first);
    return stream;
  }

  /** Reads what a stream of the peer is for, and gives it to whom it concerns. */
  #takeArrival(streamId: number): void {
    for (;;) {
      const bytes = this.engine.read(streamId);
      if (bytes === undefined) break;
      const all = concatBytes(this.#arrivals.get(streamId) ?? NOTHING, bytes);
      const reader = new Reader(all);
      const kind = reader.varint();
      if (!reader.ok) {
        this.#arrivals.set(streamId, all);
        continue;
      }
      this.#arrivals.delete(streamId);
      this.#route(streamId, kind, reader.rest());
      this.touch();
      return;
    }
    if (!this.engine.readFinished(streamId)) return;
    this.#arrivals.delete(streamId);
    this.#refuse(streamId);
  }

  #route(streamId: number, kind: number, first: Uint8Array): void {
    const isResponder = this.engine.role === "responder";
    if (kind === STREAM_KIND.pipe && isResponder && this.pipe.streamId < 0) {
      this.#flows.set(streamId, this.pipe);
      this.pipe.open(streamId, first);
      this.#face?.emit("pipe");
    } else if (kind === STREAM_KIND.control && isResponder && this.#controlId < 0) {
      this.#controlId = streamId;
      this.#takeControl(first);
      this.#readControl();
      this.#writeControl();
    } else {
      const event = EVENT_OF_KIND.get(kind);
      if (event === undefined) {
        this.#refuse(streamId);
        return;
      }
      const stream = this.#newStream(streamId, first);
      if (!this.#face?.emit(event, stream)) stream.destroy();
    }
  }

  #refuse(streamId: number): void {
    this.engine.reset(streamId, WIRE_RESET);
    this.engine.stopSending(streamId, WIRE_RESET);
    this.touch();
  }

  #deliverDatagrams(): void {
    for (;;) {
      const bytes = this.engine.readDatagram();
      if (bytes === undefined) return;
      this.#face?.emit("datagram", bytes);
    }
  }

  // ------------------------------------------------------------------ control

  #readControl(): void {
    for (;;) {
      const bytes = this.engine.read(this.#controlId);
      if (bytes === undefined) break;
      this.#takeControl(bytes);
    }
    this.touch();
  }

  #takeControl(bytes: Uint8Array): void {
    try {
      this.#controlReader.take(bytes);
    } catch (error) {
      if (!isRemoteError(error)) throw error;
      this.#violated(error.code);
    }
  }

  /** A peer that certifies what it took has it, whether or not its acknowledgement comes. */
  #takeReceipt(receipt: Receipt): void {
    const { pipe } = this;
    if (receipt.streamId === pipe.streamId && pipe.isFinished && receipt.bytes === pipe.writtenBytes) {
      pipe.handleAcknowledged();
    }
    this.#face?.emit("receipt", receipt);
  }

  /** Sends the records that wait, and the end of the control stream when no more will come. */
  #writeControl(): void {
    if (this.#controlId < 0 || this.#over !== undefined) return;
    for (const record of this.#controlQueue) this.engine.write(this.#controlId, record);
    this.#controlQueue = [];
    if (this.#ending !== undefined && this.#deferrals === 0) this.engine.finish(this.#controlId);
    this.touch();
  }

  // ------------------------------------------------------------------ the end

  #endWhenIdle(): void {
    if (!this.#isIdle || this.#holds > 0 || this.#openers.length > 0) return;
    for (const flow of this.#flows.values()) if (flow !== this.pipe && !flow.isSettled) return;
    this.endInOrder("", () => undefined);
  }

  /** The end that was asked for, once nothing is on its way any more. */
  #endWhenDelivered(): void {
    if (this.#ending === undefined || this.#over !== undefined || this.#deferrals > 0) return;
    for (const flow of this.#flows.values()) if (flow.isFinished && !flow.isDelivered) return;
    if (!this.#isControlDelivered && this.#controlId >= 0 && this.#deadline === undefined) {
      // While the peer is there, what it lacks is sent again until it has it. It may have gone with all that it
      // wanted, though, and its last acknowledgement and CLOSE be lost: then this side has what it needs too.
      const giveUp = this.#connectionHandle.guard(() => {
        this.#isControlDelivered = true;
        this.#endWhenDelivered();
      });
      this.#deadline = setTimeout(giveUp, TIMEOUT_MS);
    }
    if (!this.#isControlDelivered && this.#controlId >= 0) return;
    // The peer's bytes that nobody here will read are told of, should there be any.
    const isPeerRead = this.pipe.isReadEnded || this.pipe.streamId < 0;
    this.#close(isPeerRead ? 0 : WIRE_NOT_READ, this.#ending.reason);
  }

  /** The peer broke the rules of streams and records, which the engine knows nothing of. */
  #violated(code: ErrorCode): void {
    if (this.#over !== undefined) return;
    this.#failure = new SrudpError(code);
    this.#close(wireOfCode(code), "");
  }

  #close(errorCode: number, reason: string): void {
    this.#isClosing = true;
    this.engine.close(this.#connectionHandle.now(), errorCode, reason);
    this.#connectionHandle.touch();
    this.#connectionHandle.flush();
  }

  #handleClosed(): void {
    const { origin, code, errorCode, reason } = this.engine.closeCause!;
    const isOurs = origin === "local";
    if (this.#failure !== undefined) this.#finish(this.#failure, false);
    else if (isOurs && !this.#isClosing && code !== undefined)
      this.#finish(new SrudpError(code, reason), false);
    else if (isOurs || code === undefined) this.#finish(undefined, isOurs);
    // What the peer did not read is no loss where there was nothing.
    else if (errorCode === WIRE_NOT_READ && this.pipe.writtenBytes === 0) this.#finish(undefined, false);
    else this.#finish(new SrudpError(code), false);
  }

  #finish(error: SrudpError | undefined, isAbrupt: boolean): void {
    if (this.#over !== undefined) return;
    clearTimeout(this.#deadline);
    this.keeper?.close();
    this.#over = { error };
    for (const flow of new Set([this.pipe, ...this.#flows.values()])) flow.handleOver(error, isAbrupt);
    this.#flows.clear();
    this.#arrivals.clear();
    for (const { reject } of this.#openers) reject(error ?? new SrudpError("ERR_PEER_RESET"));
    this.#openers = [];
    const waiting = this.#whenOver;
    this.#whenOver = [];
    for (const whenOver of waiting) whenOver(error);
    if (this.#isGone) this.#tellWhenGone();
  }

  get #isGone(): boolean {
    return this.#over !== undefined && (this.#isDetached || this.engine.state !== "closing");
  }

  #tellWhenGone(): void {
    const waiting = this.#whenGone;
    this.#whenGone = [];
    for (const whenGone of waiting) whenGone();
  }
}

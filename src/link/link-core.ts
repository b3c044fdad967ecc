/**
 * Performs the effects of a link. It issues commands to the engine's connection, dispatches its
 * events to the streams, and reports to the user's `Link`. `link-state.ts` decides which actions
 * are due and when; read that file first.
 */
import type { EventEmitter } from "node:events";
import { isRemoteError, SrudpError } from "../base/errors.ts";
import type { Path, PathKind, PathMove } from "../base/path.ts";
import { type Connection, type ConnectionEvent, EVENT, PRIORITY } from "../engine/connection/connection.ts";
import type { ConnectionHandle, ConnectionOwner } from "./connection-handle.ts";
import {
  ControlReader,
  type ControlRecord,
  encodeKind,
  encodeReceipt,
  encodeRecord,
  type Receipt,
  STREAM_KIND,
} from "./control-records.ts";
import { faultError } from "./fault.ts";
import { type IdentifiedStream, LinkState, type StreamPurpose } from "./link-state.ts";
import { Stream } from "./stream.ts";
import { StreamAdapter, type StreamHost, WIRE_RESET } from "./stream-adapter.ts";

/** Keeps the link on a good path. */
export interface PathObserver {
  /** The kind of the path in use. */
  readonly kind: PathKind;
  /** Receives the connection's events that concern paths. */
  handlePathEvent(kind: number, path: Path | undefined): void;
  close(): void;
}

/** A request for a stream that the peer does not allow yet. */
interface StreamRequest {
  readonly purpose: StreamPurpose;
  readonly resolve: (stream: Stream) => void;
  readonly reject: (error: Error) => void;
}

/** Events from before the link is handed out, when its user cannot have added listeners yet. */
interface Backlog {
  readonly events: ConnectionEvent[];
  isDetached: boolean;
}

export class LinkCore implements ConnectionOwner, StreamHost {
  readonly engine: Connection;
  readonly pipe: StreamAdapter;
  /** The link's path manager, if it has one. It ends with the link. */
  keeper: PathObserver | undefined;
  readonly #connectionHandle: ConnectionHandle;
  readonly #state: LinkState<StreamAdapter>;
  readonly #controlReader: ControlReader = new ControlReader();
  /** The user's `Link`. */
  #link: EventEmitter | undefined;
  #requests: StreamRequest[] = [];
  /** Undefined once the link was handed out. */
  #backlog: Backlog | undefined = { events: [], isDetached: false };
  #timer: NodeJS.Timeout | undefined;
  #whenOver: ((error: SrudpError | undefined) => void)[] = [];
  #whenGone: (() => void)[] = [];

  /** @param connection established */
  constructor(connection: Connection, connectionHandle: ConnectionHandle) {
    this.engine = connection;
    this.#connectionHandle = connectionHandle;
    this.pipe = new StreamAdapter(this);
    this.#state = new LinkState(connection.role, this.pipe);
  }

  get isOver(): boolean {
    return this.#state.isOver;
  }

  /** For the path manager: reports a path change to the link's user. */
  readonly onPathMoved = (move: PathMove): void => {
    this.#link?.emit("path", move);
  };

  // ------------------------------------------------------------------ from the link

  /**
   * Opens the control stream, and the pipe if this side is the initiator.
   *
   * @param link receives the events
   * @param hasPipe false for a link that has only further streams
   */
  start(link: EventEmitter, hasPipe = true): void {
    this.#link = link;
    const { engine } = this;
    if (engine.role === "initiator") {
      const controlId = engine.openStream(PRIORITY.control);
      this.#state.handleControlOpened(controlId);
      const pipeId = hasPipe ? engine.openStream() : -1;
      if (controlId < 0 || (hasPipe && pipeId < 0)) {
        this.#state.handleViolation("ERR_PARAMETER");
        this.#drain();
        return;
      }
      engine.write(controlId, encodeKind(STREAM_KIND.control));
      if (hasPipe) this.#startPipe(pipeId);
    }
    this.touch();
  }

  #startPipe(pipeId: number): void {
    this.engine.write(pipeId, encodeKind(STREAM_KIND.pipe));
    this.#state.addStream(pipeId, this.pipe);
    this.pipe.open(pipeId);
  }

  /**
   * Reports that the link was handed out. Events are emitted from the next turn of the event loop
   * on, the queued ones first.
   */
  handOut(): void {
    setImmediate(() => {
      const backlog = this.#backlog;
      this.#backlog = undefined;
      const { end } = this.#state;
      try {
        if (end.kind === "closing" && end.failure !== undefined) this.#finish(end.failure, true);
        else if (backlog !== undefined) for (const event of backlog.events) this.#handle(event);
      } catch (fault) {
        this.fail(fault);
      }
      if (backlog?.isDetached) this.handleDetached();
      this.touch();
    });
  }

  openStream(purpose: StreamPurpose): Promise<Stream> {
    const { end } = this.#state;
    if (end.kind === "over") return Promise.reject(end.error ?? new SrudpError("ERR_PEER_RESET"));
    return new Promise((resolve, reject) => {
      this.#requests.push({ purpose, resolve, reject });
      this.#state.waitForOpen();
      this.#openRequested();
    });
  }

  sendDatagram(bytes: Uint8Array): boolean {
    if (this.engine.state !== "established") return false;
    const taken = this.engine.sendDatagram(bytes);
    this.touch();
    return taken;
  }

  sendReceipt(receipt: Receipt): void {
    this.#state.sendRecord(encodeReceipt(receipt));
    this.#drain();
  }

  sendRecord(type: number, body: Uint8Array): void {
    this.#state.sendRecord(encodeRecord(type, body));
    this.#drain();
  }

  /** Elicits an acknowledgement from the peer. */
  ping(): void {
    this.engine.ping();
    this.touch();
  }

  /** Keeps the link from ending by itself until the returned function is called. */
  hold(): () => void {
    this.#state.hold();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#state.release();
      this.#drain();
    };
  }

  /** Delays an orderly end until the returned function is called. */
  deferEnd(): () => void {
    this.#state.deferEnd();
    let isDeferred = true;
    return () => {
      if (!isDeferred) return;
      isDeferred = false;
      this.#state.resumeEnd();
      this.#drain();
    };
  }

  /** Calls `whenOver` when the link has ended, with the error if it failed. */
  notifyWhenOver(whenOver: (error: SrudpError | undefined) => void): void {
    const { end } = this.#state;
    if (end.kind === "over") whenOver(end.error);
    else this.#whenOver.push(whenOver);
  }

  /**
   * Calls `whenGone` when the link has ended and has nothing more to send. If this side closed the
   * link, the peer has answered by then or the wait for it has timed out.
   */
  notifyWhenGone(whenGone: () => void): void {
    if (this.#isGone) whenGone();
    else this.#whenGone.push(whenGone);
  }

  /**
   * Reports that the pipe has ended in both directions. The link ends as soon as nothing else uses
   * it.
   */
  endWhenIdle(whenOver: (error: SrudpError | undefined) => void): void {
    this.notifyWhenOver(whenOver);
    this.#state.endWhenIdle();
    this.#drain();
  }

  /**
   * Ends the link as soon as the peer has acknowledged everything, including the end of each
   * stream.
   */
  endInOrder(reason: string, whenOver: (error: SrudpError | undefined) => void): void {
    this.notifyWhenOver(whenOver);
    this.#state.endInOrder(reason);
    this.#drain();
  }

  /** Ends the link at once. The peer's link fails with `wireCode`. */
  abort(wireCode: number): void {
    this.#state.abort(wireCode);
    this.#drain();
  }

  // ------------------------------------------------------------------ from the streams

  touch(): void {
    this.#connectionHandle.touch();
  }

  /** Reports a fault that occurred while the link was served. The link ends with ERR_INTERNAL. */
  fail(fault: unknown): void {
    this.#connectionHandle.fail(fault);
  }

  /** Reports an exception of an event listener of the link or of one of its streams. */
  failByListener(thrown: unknown): void {
    this.#connectionHandle.failByListener(thrown);
  }

  streamChanged(stream: StreamAdapter): void {
    this.#state.handleStreamChanged(stream);
    this.#drain();
  }

  // ------------------------------------------------------------------ from the connection

  handleEvent(event: ConnectionEvent): void {
    if (this.#backlog !== undefined) this.#backlog.events.push({ ...event });
    else this.#handle(event);
  }

  #handle(event: ConnectionEvent): void {
    // A record may have ended the link in the middle of its backlog. The remaining streams would
    // never be ended.
    const state = this.#state;
    if (state.isOver) return;
    const { streamId, errorCode } = event;
    const isControl = streamId === state.controlId;
    const stream = state.streamOf(streamId);
    switch (event.kind) {
      case EVENT.streamOpened:
        state.handlePeerStream(streamId);
        this.#readKind(streamId);
        break;
      case EVENT.readable:
        if (isControl) this.#readControl();
        else if (stream !== undefined) stream.handleReadable();
        else if (state.isUnidentified(streamId)) this.#readKind(streamId);
        break;
      case EVENT.writable:
        stream?.handleWritable();
        break;
      case EVENT.streamReset:
        if (isControl) this.#violated();
        else if (stream !== undefined) stream.handleReset(errorCode);
        else if (state.forgetPeerStream(streamId)) this.#refuse(streamId);
        break;
      case EVENT.stopSending:
        if (isControl) this.#violated();
        else stream?.handleStopSending(errorCode);
        break;
      case EVENT.streamAcknowledged:
        if (isControl) state.handleControlDelivered();
        else stream?.handleAcknowledged();
        this.#drain();
        break;
      case EVENT.streamsAvailable:
        this.#openRequested();
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
    if (this.#state.isOver) return;
    const failure = faultError(fault);
    this.#state.fail(failure);
    try {
      // Does not flush: if the engine is about to throw again, the endpoint should drive it,
      // because the endpoint then detaches the connection.
      this.#drain(false);
    } finally {
      if (this.#backlog === undefined) this.#finish(failure, true);
    }
  }

  handleDetached(): void {
    if (this.#backlog !== undefined) {
      this.#backlog.isDetached = true;
      return;
    }
    const wasOver = this.#state.isOver;
    this.#state.handleDetached();
    if (!wasOver) this.#reportEnd(true);
    this.#reportGone();
  }

  // ------------------------------------------------------------------ streams

  #openRequested(): void {
    while (this.#requests.length > 0) {
      const streamId = this.engine.openStream();
      if (streamId < 0) return;
      const request = this.#requests.shift();
      if (request === undefined) return;
      this.#state.handleOpened();
      this.engine.write(streamId, encodeKind(STREAM_KIND[request.purpose]));
      this.touch();
      request.resolve(this.#newStream(streamId));
    }
  }

  #newStream(streamId: number, first?: Uint8Array): Stream {
    const adapter = new StreamAdapter(this);
    const stream = new Stream(adapter);
    this.#state.addStream(streamId, adapter);
    adapter.open(streamId, first);
    return stream;
  }

  /** Reads the kind of a stream of the peer. */
  #readKind(streamId: number): void {
    for (;;) {
      const bytes = this.engine.read(streamId);
      if (bytes === undefined) break;
      const identified = this.#state.identify(streamId, bytes);
      if (identified === undefined) continue;
      this.#accept(streamId, identified);
      this.touch();
      return;
    }
    if (!this.engine.readFinished(streamId)) return;
    this.#state.forgetPeerStream(streamId);
    this.#refuse(streamId);
  }

  #accept(streamId: number, { purpose, rest }: IdentifiedStream): void {
    switch (purpose) {
      case "pipe":
        this.#state.addStream(streamId, this.pipe);
        this.pipe.open(streamId, rest);
        this.#link?.emit("pipe");
        return;
      case "control":
        this.#takeControl(rest);
        this.#readControl();
        this.#drain();
        return;
      case "unknown":
        this.#refuse(streamId);
        return;
      default: {
        const stream = this.#newStream(streamId, rest);
        const event = purpose === "application" ? "stream" : purpose;
        if (!this.#link?.emit(event, stream)) stream.destroy();
      }
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
      this.#link?.emit("datagram", bytes);
    }
  }

  // ------------------------------------------------------------------ control

  #readControl(): void {
    for (;;) {
      const bytes = this.engine.read(this.#state.controlId);
      if (bytes === undefined) break;
      this.#takeControl(bytes);
    }
    this.touch();
  }

  #takeControl(bytes: Uint8Array): void {
    try {
      this.#controlReader.push(bytes);
      for (;;) {
        const record = this.#controlReader.next();
        if (record === undefined) return;
        this.#handleRecord(record);
      }
    } catch (error) {
      if (!isRemoteError(error)) throw error;
      this.#state.handleViolation(error.code);
      this.#drain();
    }
  }

  #handleRecord(record: ControlRecord): void {
    if (record.kind === "receipt") this.#handleReceipt(record.receipt);
    else this.#link?.emit("record", record.type, record.body);
  }

  /** A receipt proves that the peer has the bytes, even if its acknowledgement is lost. */
  #handleReceipt(receipt: Receipt): void {
    const { pipe } = this;
    if (receipt.streamId === pipe.streamId && pipe.isFinished && receipt.bytes === pipe.writtenBytes) {
      pipe.handleAcknowledged();
    }
    this.#link?.emit("receipt", receipt);
  }

  // The peer reset the control stream.

  /** The peer reset the control stream. */
  #violated(): void {
    this.#state.handleViolation("ERR_PROTOCOL");
    this.#drain();
  }

  /** Performs the actions that are due, and sets the timer for the next deadline. */
  #drain(flushes = true): void {
    const state = this.#state;
    for (;;) {
      const action = state.poll(this.#connectionHandle.now());
      if (action === undefined) break;
      switch (action.kind) {
        case "sendRecord":
          this.engine.write(state.controlId, action.record);
          break;
        case "finishControl":
          this.engine.finish(state.controlId);
          break;
        case "close":
          this.engine.close(this.#connectionHandle.now(), action.errorCode, action.reason);
      }
      this.touch();
      if (action.kind === "close" && flushes) this.#connectionHandle.flush();
    }
    if (state.deadlineMs !== Infinity && this.#timer === undefined) this.#setTimer();
  }

  #setTimer(): void {
    const delayMs = Math.max(0, Math.ceil(this.#state.deadlineMs - this.#connectionHandle.now()));
    const handleTimeout = this.#connectionHandle.guard(() => {
      this.#timer = undefined;
      this.#state.handleTimeout(this.#connectionHandle.now());
      this.#drain();
    });
    this.#timer = setTimeout(handleTimeout, delayMs);
  }

  #handleClosed(): void {
    const { closeCause } = this.engine;
    if (closeCause === undefined) throw new TypeError("a closed connection without a cause");
    const { error, isAbrupt } = this.#state.outcomeOf(closeCause);
    this.#finish(error, isAbrupt);
  }

  #finish(error: SrudpError | undefined, isAbrupt: boolean): void {
    if (this.#state.isOver) return;
    this.#state.handleEnded(error);
    this.#reportEnd(isAbrupt);
    if (this.#isGone) this.#reportGone();
  }

  /** Reports the end to everything that belongs to the link. */
  #reportEnd(isAbrupt: boolean): void {
    const state = this.#state;
    const error = state.end.kind === "over" ? state.end.error : undefined;
    clearTimeout(this.#timer);
    this.keeper?.close();
    for (const stream of state.streams) stream.handleOver(error, isAbrupt);
    state.clearStreams();
    for (const { reject } of this.#requests) reject(error ?? new SrudpError("ERR_PEER_RESET"));
    this.#requests = [];
    const waiting = this.#whenOver;
    this.#whenOver = [];
    for (const whenOver of waiting) whenOver(error);
  }

  get #isGone(): boolean {
    const { end } = this.#state;
    return end.kind === "over" && (end.isDetached || this.engine.state !== "closing");
  }

  #reportGone(): void {
    const waiting = this.#whenGone;
    this.#whenGone = [];
    for (const whenGone of waiting) whenGone();
  }
}

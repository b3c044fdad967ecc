/**
 * The state of a link without I/O: the purpose of each stream, the control records that wait to be
 * sent, and the deadline of each step towards the end. `link-end.ts` has the state diagram of the
 * end; read it first.
 *
 * The caller (`link-core.ts`) reports events through the `handle…` methods and the commands. After
 * each of them it calls `poll` until no action is left, then sets a timer for `deadlineMs`. Times
 * are monotonic milliseconds.
 *
 * A link ends in order when the peer has acknowledged everything that was written. One CLOSE is
 * sent then. Its code tells the peer whether this side has read the pipe to its end, so that the
 * peer can distinguish a clean end from a truncation.
 */
import { concatBytes } from "../base/bytes.ts";
import { type ErrorCode, SrudpError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import type { CloseCause } from "../engine/connection/connection.ts";
import type { Role } from "../engine/handshake/handshake.ts";
import { STREAM_KIND } from "./control-records.ts";
import {
  type EndInput,
  type Ending,
  type LinkEnd,
  nextEnd,
  OPEN,
  type Outcome,
  outcomeOf,
  WIRE_NOT_READ,
} from "./link-end.ts";
import { wireOfCode } from "./stream-adapter.ts";

/** The progress of one stream, as reported by its adapter. */
export interface StreamProgress {
  /** −1 while it is not known. */
  readonly streamId: number;
  readonly writtenBytes: number;
  /** The local direction has ended. */
  readonly isFinished: boolean;
  /** The peer has acknowledged the local direction with its end, or the direction was reset. */
  readonly isDelivered: boolean;
  /** The local reader has received the end of the peer's direction. */
  readonly isReadEnded: boolean;
  /** Neither side uses the stream any more. */
  readonly isSettled: boolean;
}

/** The purpose of a stream other than the pipe: the library's user, a forwarded connection, or a measurement. */
export type StreamPurpose = "application" | "forward" | "bench";

/** A stream of the peer whose kind has arrived, and the bytes after the kind. */
export interface IdentifiedStream {
  /** "unknown" for a kind that this version does not define or this side does not accept. */
  readonly purpose: "pipe" | "control" | StreamPurpose | "unknown";
  readonly rest: Uint8Array;
}

/** The actions of the caller, in the order in which `poll` returns them. */
export type LinkAction =
  | { readonly kind: "sendRecord"; readonly record: Uint8Array }
  | { readonly kind: "finishControl" }
  | { readonly kind: "close"; readonly errorCode: number; readonly reason: string };

/** If an acknowledgement has not arrived after this time, the peer has gone. */
export const CONTROL_TIMEOUT_MS = 10_000;
const NO_BYTES: Uint8Array = new Uint8Array(0);
const FINISH_CONTROL: LinkAction = { kind: "finishControl" };
const PURPOSE_OF_KIND: ReadonlyMap<number, StreamPurpose> = new Map([
  [STREAM_KIND.application, "application"],
  [STREAM_KIND.forward, "forward"],
  [STREAM_KIND.bench, "bench"],
]);

export class LinkState<S extends StreamProgress> {
  readonly #role: Role;
  readonly #pipe: S;
  /** By ID, as long as either side uses them. The pipe stays. */
  readonly #streams: Map<number, S> = new Map();
  /** The peer's streams whose kind is incomplete, with the bytes so far. */
  readonly #unidentified: Map<number, Uint8Array> = new Map();
  #controlId = -1;
  /** Control records that wait for the control stream. */
  #records: Uint8Array[] = [];
  /** Streams that this side wants to open but the peer's stream limit does not allow yet. */
  #waitingOpens = 0;
  #holds = 0;
  #deferrals = 0;
  #end: LinkEnd = OPEN;

  /** @param pipe the adapter of the pipe, which may never get a stream */
  constructor(role: Role, pipe: S) {
    this.#role = role;
    this.#pipe = pipe;
  }

  get end(): LinkEnd {
    return this.#end;
  }

  get isOver(): boolean {
    return this.#end.kind === "over";
  }

  /** −1 while there is no control stream. */
  get controlId(): number {
    return this.#controlId;
  }

  /** The time at which `handleTimeout` is due; Infinity for never. */
  get deadlineMs(): number {
    return this.#end.kind === "ending" ? this.#end.deadlineMs : Infinity;
  }

  streamOf(streamId: number): S | undefined {
    return this.#streams.get(streamId);
  }

  /** The adapters of all streams, including the pipe. */
  get streams(): ReadonlySet<S> {
    return new Set([this.#pipe, ...this.#streams.values()]);
  }

  // ------------------------------------------------------------------ streams

  /** This side has opened the control stream. */
  handleControlOpened(streamId: number): void {
    this.#controlId = streamId;
  }

  /** A stream of this side was opened, or a stream of the peer was identified. */
  addStream(streamId: number, stream: S): void {
    this.#streams.set(streamId, stream);
  }

  /** A direction of `stream` has ended. */
  handleStreamChanged(stream: S): void {
    if (stream.isSettled && stream !== this.#pipe) this.#streams.delete(stream.streamId);
  }

  /** The peer has opened a stream. */
  handlePeerStream(streamId: number): void {
    this.#unidentified.set(streamId, NO_BYTES);
  }

  /** Whether the peer's stream still lacks its kind. */
  isUnidentified(streamId: number): boolean {
    return this.#unidentified.has(streamId);
  }

  /** The peer's stream has ended without a kind. Returns false if it was not waiting for one. */
  forgetPeerStream(streamId: number): boolean {
    return this.#unidentified.delete(streamId);
  }

  /**
   * Handles the first bytes of a stream of the peer. Returns undefined while its kind is
   * incomplete.
   */
  identify(streamId: number, bytes: Uint8Array): IdentifiedStream | undefined {
    const all = concatBytes(this.#unidentified.get(streamId) ?? NO_BYTES, bytes);
    const reader = new Reader(all);
    const kind = reader.varint();
    if (!reader.ok) {
      this.#unidentified.set(streamId, all);
      return undefined;
    }
    this.#unidentified.delete(streamId);
    return { purpose: this.#purposeOf(streamId, kind), rest: reader.rest() };
  }

  /** The initiator may open one pipe and one control stream. */
  #purposeOf(streamId: number, kind: number): IdentifiedStream["purpose"] {
    const isResponder = this.#role === "responder";
    if (kind === STREAM_KIND.pipe && isResponder && this.#pipe.streamId < 0) return "pipe";
    if (kind === STREAM_KIND.control && isResponder && this.#controlId < 0) {
      this.#controlId = streamId;
      return "control";
    }
    return PURPOSE_OF_KIND.get(kind) ?? "unknown";
  }

  // ------------------------------------------------------------------ commands

  /** Queues a control record. It is sent as soon as the control stream is open. */
  sendRecord(record: Uint8Array): void {
    this.#records.push(record);
  }

  /**
   * Registers a stream that waits to be opened. The link does not end by itself until
   * `handleOpened`.
   */
  waitForOpen(): void {
    this.#waitingOpens++;
  }

  /** A waiting stream was opened. */
  handleOpened(): void {
    this.#waitingOpens--;
  }

  /** Keeps the link from ending by itself, until `release`. */
  hold(): void {
    this.#holds++;
  }

  release(): void {
    this.#holds--;
  }

  /** Delays an orderly end, until `resumeEnd`. */
  deferEnd(): void {
    this.#deferrals++;
  }

  resumeEnd(): void {
    this.#deferrals--;
  }

  /**
   * Reports that the pipe has ended in both directions. The link ends as soon as nothing else uses
   * it.
   */
  endWhenIdle(): void {
    this.#enter({ kind: "pipeEnded" });
  }

  /**
   * Ends the link as soon as the peer has acknowledged everything, including the end of each
   * stream.
   */
  endInOrder(reason: string): void {
    this.#enter({ kind: "endRequested", reason });
  }

  /** Ends the link at once. The peer's link fails with `errorCode`. */
  abort(errorCode: number): void {
    this.#enter({ kind: "closeRequested", errorCode, reason: "", failure: undefined });
  }

  /** Ends the link at once with `failure`. The peer receives its wire code. */
  fail(failure: SrudpError): void {
    this.#enter({ kind: "closeRequested", errorCode: wireOfCode(failure.code), reason: "", failure });
  }

  /** The peer has violated the rules of streams and records, which the engine does not check. */
  handleViolation(code: ErrorCode): void {
    this.fail(new SrudpError(code));
  }

  // ------------------------------------------------------------------ the end

  /** The peer has acknowledged the end of the control stream. */
  handleControlDelivered(): void {
    this.#enter({ kind: "controlDelivered" });
  }

  /**
   * Ends the wait for the last acknowledgement. As long as the peer is present, unacknowledged data
   * is retransmitted until it arrives. A peer that has everything may have left, however, with its
   * last acknowledgement and its CLOSE lost. Then this side also has everything it needs.
   */
  handleTimeout(nowMs: number): void {
    if (nowMs >= this.deadlineMs) this.#enter({ kind: "controlDelivered" });
  }

  /** The outcome of a connection that closed with `cause`. `handleEnded` follows. */
  outcomeOf(cause: CloseCause): Outcome {
    return outcomeOf(this.#end, cause, this.#pipe.writtenBytes > 0);
  }

  /** The connection has ended, or a fault has ended the link. */
  handleEnded(error: SrudpError | undefined): void {
    this.#enter({ kind: "ended", error });
  }

  /** The endpoint no longer drives the connection. */
  handleDetached(): void {
    this.#enter({ kind: "detached" });
  }

  /** Removes all streams, after they were notified of the end. */
  clearStreams(): void {
    this.#streams.clear();
    this.#unidentified.clear();
    this.#waitingOpens = 0;
  }

  /** The next action that is due, or undefined. */
  poll(nowMs: number): LinkAction | undefined {
    if (this.#controlId >= 0 && !this.isOver) {
      const record = this.#records.shift();
      if (record !== undefined) return { kind: "sendRecord", record };
    }
    const end = this.#end;
    switch (end.kind) {
      case "open":
        if (!end.endsWhenIdle || !this.#isIdle()) return undefined;
        this.#enter({ kind: "endRequested", reason: "" });
        return this.poll(nowMs);
      case "ending":
        return this.#pollEnding(end, nowMs);
      case "closing": {
        if (end.isSent) return undefined;
        this.#enter({ kind: "closeSent" });
        return { kind: "close", errorCode: end.errorCode, reason: end.reason };
      }
      case "over":
        return undefined;
    }
  }

  #pollEnding({ reason, control }: Ending, nowMs: number): LinkAction | undefined {
    if (this.#deferrals > 0) return undefined;
    const hasControl = this.#controlId >= 0;
    if (hasControl && control === "open") {
      this.#enter({ kind: "controlFinished" });
      return FINISH_CONTROL;
    }
    for (const stream of this.#streams.values())
      if (stream.isFinished && !stream.isDelivered) return undefined;
    if (hasControl && control !== "delivered") {
      this.#enter({ kind: "deadlineSet", deadlineMs: nowMs + CONTROL_TIMEOUT_MS });
      return undefined;
    }
    // Tells the peer that this side has not read its direction to the end.
    const isPeerRead = this.#pipe.isReadEnded || this.#pipe.streamId < 0;
    const errorCode = isPeerRead ? 0 : WIRE_NOT_READ;
    this.#enter({ kind: "closeRequested", errorCode, reason, failure: undefined });
    return this.poll(nowMs);
  }

  #isIdle(): boolean {
    if (this.#holds > 0 || this.#waitingOpens > 0) return false;
    for (const stream of this.#streams.values()) if (stream !== this.#pipe && !stream.isSettled) return false;
    return true;
  }

  #enter(input: EndInput): void {
    this.#end = nextEnd(this.#end, input);
  }
}

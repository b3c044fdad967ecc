/**
 * How a link ends: a state machine without I/O or clock. `link-state.ts` decides when each input applies.
 *
 *            endRequested                     closeRequested
 *   open ─────────────────────▶ ending ─────────────────────▶ closing
 *    │                            │  controlFinished,            │
 *    │                            │  deadlineSet,                │
 *    │                            │  controlDelivered            │
 *    │      closeRequested        │                              │
 *    ├────────────────────────────┼─────────────────────────────▶│
 *    │                            │                              │ closeSent
 *    │      ended, detached       │      ended, detached         │
 *    └────────────────────────────┴─────────▶ over ◀─────────────┘
 *
 * - open: the link works. After `pipeEnded` it ends by itself as soon as nothing else uses it.
 * - ending: an orderly end was requested. The link waits until the peer has acknowledged everything.
 * - closing: this side has decided to close. The connection has not reported its end yet.
 * - over: the connection has ended, or a fault has. `detached` records that the endpoint no longer drives it.
 */
import { SrudpError } from "../base/errors.ts";
import type { CloseCause } from "../engine/connection/connection.ts";
import { wireOfCode } from "./stream-adapter.ts";

/** The wire code of a close by a side that has not read the pipe to its end. */
export const WIRE_NOT_READ: number = wireOfCode("ERR_PEER_OUTPUT_CLOSED");

/** An orderly end that waits for the peer's acknowledgements. */
export interface Ending {
  readonly kind: "ending";
  /** Sent to the peer. */
  readonly reason: string;
  /** The local half of the control stream. It is delivered once the peer has acknowledged its end. */
  readonly control: "open" | "finished" | "delivered";
  /**
   * When the link stops waiting for `control`, monotonic ms. Infinity while streams are
   * undelivered.
   */
  readonly deadlineMs: number;
}

/** This side closes the connection with `errorCode` and `reason`. */
export interface Closing {
  readonly kind: "closing";
  readonly errorCode: number;
  readonly reason: string;
  /** The error that the local user receives; undefined for a close that was requested. */
  readonly failure: SrudpError | undefined;
  /** The engine has received the close command. */
  readonly isSent: boolean;
}

export type LinkEnd =
  | { readonly kind: "open"; readonly endsWhenIdle: boolean }
  | Ending
  | Closing
  | { readonly kind: "over"; readonly error: SrudpError | undefined; readonly isDetached: boolean };

export type EndInput =
  | { readonly kind: "pipeEnded" }
  | { readonly kind: "endRequested"; readonly reason: string }
  | { readonly kind: "controlFinished" }
  | { readonly kind: "deadlineSet"; readonly deadlineMs: number }
  | { readonly kind: "controlDelivered" }
  | {
      readonly kind: "closeRequested";
      readonly errorCode: number;
      readonly reason: string;
      readonly failure: SrudpError | undefined;
    }
  | { readonly kind: "closeSent" }
  | { readonly kind: "ended"; readonly error: SrudpError | undefined }
  | { readonly kind: "detached" };

export const OPEN: LinkEnd = { kind: "open", endsWhenIdle: false };

/** The state after `input`, or `end` itself if the input changes nothing. */
export function nextEnd(end: LinkEnd, input: EndInput): LinkEnd {
  switch (input.kind) {
    case "pipeEnded":
      return end.kind === "open" ? { kind: "open", endsWhenIdle: true } : end;
    case "endRequested":
      if (end.kind !== "open") return end;
      return { kind: "ending", reason: input.reason, control: "open", deadlineMs: Infinity };
    case "controlFinished":
      return end.kind === "ending" && end.control === "open" ? { ...end, control: "finished" } : end;
    case "deadlineSet":
      if (end.kind !== "ending" || end.deadlineMs !== Infinity) return end;
      return { ...end, deadlineMs: input.deadlineMs };
    case "controlDelivered":
      return end.kind === "ending" ? { ...end, control: "delivered", deadlineMs: Infinity } : end;
    case "closeRequested": {
      if (end.kind === "over") return end;
      const { errorCode, reason, failure } = input;
      if (end.kind !== "closing") return { kind: "closing", errorCode, reason, failure, isSent: false };
      // The connection closes only once. A later failure still decides which error the user
      // receives.
      return failure === undefined ? end : { ...end, failure };
    }
    case "closeSent":
      return end.kind === "closing" ? { ...end, isSent: true } : end;
    case "ended":
      return end.kind === "over" ? end : { kind: "over", error: input.error, isDetached: false };
    case "detached": {
      if (end.kind === "over") return { ...end, isDetached: true };
      // A link that ended by itself is already `over` here, so the endpoint was closed.
      const error = new SrudpError("ERR_INTERRUPTED", "The endpoint was closed");
      return { kind: "over", error, isDetached: true };
    }
  }
}

/** The effect of a closed connection on the link and its streams. */
export interface Outcome {
  readonly error: SrudpError | undefined;
  /** This side ended the connection. Data that has arrived is no longer delivered. */
  readonly isAbrupt: boolean;
}

/**
 * The outcome of a connection that closed with `cause` while the link was in `end`.
 *
 * @param hasWritten whether this side has written to the pipe
 */
export function outcomeOf(end: LinkEnd, cause: CloseCause, hasWritten: boolean): Outcome {
  const { origin, code, errorCode, reason } = cause;
  const isLocal = origin === "local";
  if (end.kind === "closing" && end.failure !== undefined) return { error: end.failure, isAbrupt: false };
  if (isLocal && end.kind !== "closing" && code !== undefined) {
    return { error: new SrudpError(code, reason), isAbrupt: false };
  }
  if (isLocal || code === undefined) return { error: undefined, isAbrupt: isLocal };
  // A peer that did not read the pipe to its end has lost nothing if nothing was written.
  if (errorCode === WIRE_NOT_READ && !hasWritten) return { error: undefined, isAbrupt: false };
  return { error: new SrudpError(code), isAbrupt: false };
}

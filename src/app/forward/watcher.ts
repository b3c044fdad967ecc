/** The events that forwarding reports to its caller. */
import type { SrudpError } from "../../base/errors.ts";

/** A connection, a port or a measurement that failed. */
export interface ForwardFailure {
  /** The origin of the request: a client on this side, or the peer. */
  readonly by: "own" | "peer";
  readonly what: "connection" | "port" | "bench";
  readonly target: string;
  readonly error: SrudpError;
}

export interface ForwardWatcher {
  failed(failure: ForwardFailure): void;
}

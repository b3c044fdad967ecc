/** What forwarding tells whoever runs it. */
import type { SrudpError } from "../../base/errors.ts";

/** A connection, a port or a measurement that did not come about. */
export interface ForwardFailure {
  /** Who wanted it: a client on this side, or the peer. */
  readonly by: "own" | "peer";
  readonly what: "connection" | "port" | "bench";
  readonly target: string;
  readonly error: SrudpError;
}

export interface ForwardWatcher {
  failed(failure: ForwardFailure): void;
}

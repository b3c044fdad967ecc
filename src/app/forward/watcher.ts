/** What forwarding tells whoever runs it. */
import type { SrudpError } from "../../base/errors.ts";

/** A connection, or a port, that did not come about. */
export interface ForwardFailure {
  /** Who wanted it: a client on this side, or the peer. */
  readonly by: "own" | "peer";
  readonly what: "connection" | "port";
  readonly target: string;
  readonly error: SrudpError;
}

export interface ForwardWatcher {
  failed(failure: ForwardFailure): void;
}

/** Dials targets at the peer, over one link or over the current one. */
import type { SrudpError } from "../../base/errors.ts";
import type { Target } from "../../link/forward-records.ts";
import type { Stream } from "../../link/stream.ts";
import type { FlowOptions, UdpAssociation } from "./udp/udp-association.ts";

/** A stream that is being connected to a target. */
export interface DialResult {
  /**
   * Accepts the connection's bytes at once. The target's bytes follow once `answered` is fulfilled.
   */
  readonly stream: Stream;
  /** Rejects with an ERR_TARGET_…, or with the error of the stream. */
  readonly answered: Promise<void>;
}

export interface Dialer {
  /** @throws SrudpError when there is no link, or it is lost meanwhile */
  reach(target: Target): Promise<DialResult>;
  /**
   * Opens a UDP flow to `target`. The promise settles when the flow ends.
   *
   * @param onOpen receives the flow as soon as datagrams may be sent; may close the flow at once
   * @returns why the target refused the flow after the peer had set it up; undefined for every
   * other end
   * @throws SrudpError as `reach`, and ERR_TARGET_…
   */
  reachFlow(
    target: Target,
    flow: FlowOptions,
    onOpen: (channel: UdpAssociation) => void,
  ): Promise<SrudpError | undefined>;
}

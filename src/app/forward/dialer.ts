/** Dials targets at the peer: over one link, or over the current one. */
import type { SrudpError } from "../../base/errors.ts";
import type { Target } from "../../link/forward-records.ts";
import type { Stream } from "../../link/stream.ts";
import type { FlowOptions, UdpAssociation } from "./udp/udp-association.ts";

/** A stream that is being connected to a target. */
export interface DialResult {
  /** Takes the connection's bytes at once; gives those of the target once `answered` is fulfilled. */
  readonly stream: Stream;
  /** Rejects with an ERR_TARGET_…, or with what the stream broke off with. */
  readonly answered: Promise<void>;
}

export interface Dialer {
  /** @throws SrudpError when there is no link, or it is lost meanwhile */
  reach(target: Target): Promise<DialResult>;
  /**
   * A UDP flow to `target`, until it is over.
   *
   * @param onOpen is given the flow as soon as datagrams may be sent; it may close the flow at once
   * @returns why the target refused the flow after the peer had set it up; undefined for every other end
   * @throws SrudpError as `reach`, and ERR_TARGET_…
   */
  reachFlow(
    target: Target,
    flow: FlowOptions,
    onOpen: (channel: UdpAssociation) => void,
  ): Promise<SrudpError | undefined>;
}

/** Options for peers that know no address of each other: rendezvous, and which paths to use. */

import type { PathKind } from "../base/path.ts";
import type { PunchFailure } from "../punch/punch-events.ts";
import type { TicketAnswer, TicketOffer } from "../wire/ticket.ts";

export interface TraversalOptions {
  /** Users exchange the signals as tickets. No other signalling channel is used. */
  readonly ticket?: TicketExchange;
  /**
   * Custom rendezvous servers: `udp://host:port`, `ws://host:port`, `wss://host`. Their STUN
   * service is used too.
   */
  readonly rendezvous?: readonly string[];
  /** STUN servers as `host:port`. Default: public ones (none if there is a `rendezvous`). */
  readonly stun?: readonly string[];
  /** TURN relays as RFC 7065 URIs. */
  readonly turn?: readonly string[];
  /** False: do not use the Mainline DHT. */
  readonly dht?: boolean;
  /** Bootstrap nodes of the DHT, as `host:port`. Default: public ones. */
  readonly dhtBootstrap?: readonly string[];
  /** False: do not use multicast on the local network. */
  readonly lan?: boolean;
  /** False: do not request port mappings from routers. */
  readonly portMapping?: boolean;
  /** False: no birthday probing. */
  readonly spray?: boolean;
  /** Only paths of this kind. */
  readonly only?: "direct" | "relay";
  /** Called with the progress of traversal, for diagnostics. */
  readonly onNote?: (note: TraversalEvent) => void;
}

/** An event of traversal, before the link is open. */
export type TraversalEvent =
  | { readonly kind: "meeting"; readonly channel: string; readonly trouble?: string }
  /**
   * A server's clock is so far ahead of the local clock that peers that rely on their clocks may
   * not find each other.
   */
  | { readonly kind: "clock"; readonly aheadMs: number; readonly text: string }
  | { readonly kind: "candidate"; readonly text: string }
  | { readonly kind: "behaviour"; readonly mapping: string; readonly filtering: string }
  | { readonly kind: "signal"; readonly from: "peer" | "self"; readonly candidates: number }
  | {
      readonly kind: "pair";
      readonly path: PathKind;
      readonly remote: string;
      readonly rttMs: number;
    }
  | { readonly kind: "indirect"; readonly reason: PunchFailure }
  | { readonly kind: "missing"; readonly part: string };

/** The reason why there is no direct path, as text for users. */
export const NO_DIRECT_PATH: Readonly<Record<PunchFailure, string>> = {
  bothHard: "both NATs choose a random port for each peer",
  noCandidates: "the peer told no address that could be tried",
  noAnswer: "no packet gets through directly",
  sprayOff: "one NAT chooses random ports, and guessing them is switched off",
};

/** How a ticket is passed between the two users. */
export type TicketExchange = {
  /** Called once with the text that the user passes to the peer. */
  readonly onTicket: (text: string) => void;
} & (
  | { readonly side: "responder"; readonly terms: TicketTerms; readonly answer: Promise<TicketAnswer> }
  | { readonly side: "initiator"; readonly offer: TicketOffer }
);

/** The fields of an offer besides its signal. */
export type TicketTerms = Pick<TicketOffer, "psk" | "expiresAtS">;

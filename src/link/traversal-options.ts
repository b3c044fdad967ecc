/** How peers that know no address of each other may meet, and by which paths. */

import type { PathKind } from "../base/path.ts";
import type { PunchFailure } from "../punch/punch-events.ts";
import type { TicketAnswer, TicketOffer } from "../wire/ticket.ts";

export interface TraversalOptions {
  /** People carry the signals, and nothing else does. */
  readonly ticket?: TicketExchange;
  /** Meeting places of one's own: `udp://host:port`, `ws://host:port`, `wss://host`. Their STUN is used too. */
  readonly rendezvous?: readonly string[];
  /** STUN servers as `host:port`; left out, public ones (none where there is a `rendezvous`). */
  readonly stun?: readonly string[];
  /** TURN relays as RFC 7065 URIs. */
  readonly turn?: readonly string[];
  /** False: not by the Mainline DHT. */
  readonly dht?: boolean;
  /** Where to join the DHT, as `host:port`; left out, the public ones. */
  readonly dhtBootstrap?: readonly string[];
  /** False: not by multicast on the local network. */
  readonly lan?: boolean;
  /** False: routers are not asked for a port. */
  readonly portMapping?: boolean;
  /** False: no birthday probing. */
  readonly spray?: boolean;
  /** Only paths of this kind. */
  readonly only?: "direct" | "relay";
  /** Told what happens on the way, for whoever wants to know why. */
  readonly onNote?: (note: TraversalEvent) => void;
}

/** What there is to tell on the way to a link. */
export type TraversalEvent =
  | { readonly kind: "meeting"; readonly channel: string; readonly trouble?: string }
  /** A server's clock is so far ahead of this machine's that peers may not find each other by their own clocks. */
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

/** Why there is no direct path, as a person wants to hear it. */
export const NO_DIRECT_PATH: Readonly<Record<PunchFailure, string>> = {
  bothHard: "both NATs choose a random port for each peer",
  noCandidates: "the peer told no address that could be tried",
  noAnswer: "no packet gets through directly",
  sprayOff: "one NAT chooses random ports, and guessing them is switched off",
};

/** How a ticket gets from one person to the other. */
export type TicketExchange = {
  /** Told of the text to be carried to the other side, once. */
  readonly onTicket: (text: string) => void;
} & (
  | { readonly side: "responder"; readonly terms: TicketTerms; readonly answer: Promise<TicketAnswer> }
  | { readonly side: "initiator"; readonly offer: TicketOffer }
);

/** What an offer says beside its signal. */
export type TicketTerms = Pick<TicketOffer, "psk" | "expiresAtS">;

/** What goes into and comes out of the punching agent; `agent.ts` has the theory of operation. */
import type { PathKind } from "../base/path.ts";
import type { Candidate } from "../wire/candidate-codec.ts";
import type { PunchRole } from "../wire/check.ts";
import type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";

export interface PunchOptions {
  readonly role: PunchRole;
  /** 32 bytes that only the two sides have. */
  readonly checkKey: Uint8Array;
  /** Uniform random bytes. */
  readonly random: (byteLength: number) => Uint8Array;
  /** What is known of the own NAT by now; `setLocalBehaviour` tells more. */
  readonly local: NatBehaviour;
  /** Whether birthday probing is allowed: hundreds of sockets here, or up to 2048 small packets from here. */
  readonly allowSpray: boolean;
  /**
   * The remote candidates come from a ticket: nothing shows yet that anybody at them agrees, and the answer is
   * carried by a person. Far fewer packets go out until somebody answers, and none are sprayed.
   */
  readonly isTicket?: boolean;
  /**
   * The responder's: how long its answer may take to the initiator. Until then it keeps to low-TTL openings, so that
   * the initiator's own packet is the first that its NAT sees. 1000 where it is left out; more over slow carriers.
   */
  readonly answerDelayMs?: number;
}

/** What a socket is for: the ordinary ones, or one of the many of birthday probing. */
export type SocketPurpose = "main" | "birthday";

export interface LocalSocket {
  /** The endpoint's index of it. */
  readonly socket: number;
  readonly family: 4 | 6;
  /** A relay's socket sends from somewhere else and is tried at once. */
  readonly kind: "udp" | "relay";
  /** What is published of it; more may be added by calling again with the whole list. */
  readonly candidates: readonly Candidate[];
  /** The only address that it can send to: a relay which joins two sides without showing addresses. */
  readonly onlyPeer?: { readonly address: string; readonly port: number };
  readonly purpose?: SocketPurpose;
}

/** What the agent wants to know of the other side's signal. */
export interface RemoteSignal {
  readonly candidates: readonly Candidate[];
  readonly nat: NatBehaviour;
  readonly generation: number;
  readonly attempt: number;
  readonly hasOpened: boolean;
}

/** One datagram to be sent; filled by `pollTransmit`, the bytes are the caller's. */
export interface PunchTransmit {
  socket: number;
  address: string;
  port: number;
  /** 0: the system's own. */
  ttl: number;
  bytes: Uint8Array;
}

/** Two addresses that are proved to reach each other. */
export interface WorkingPair {
  readonly socket: number;
  readonly address: string;
  readonly port: number;
  /** Shortest round trip so far. */
  readonly rttMs: number;
  readonly path: PathKind;
  /** The own address as the other side saw it, where the path shows one. */
  readonly observed?: { readonly address: string; readonly port: number };
}

export type PunchFailure = "bothHard" | "noCandidates" | "noAnswer" | "sprayOff";

export type PunchEvent =
  /** A pair works for the first time. */
  | ({ readonly kind: "pair" } & WorkingPair)
  /** The race is over: this is the pair to be on. Comes again when a better one turns up later. */
  | ({ readonly kind: "best" } & WorkingPair)
  /**
   * The owner opens sockets and hands each over by `addLocal` with this purpose. Fresh main sockets come with a new
   * generation: the signal with it is published when their candidates are known.
   */
  | {
      readonly kind: "needSockets";
      readonly count: number;
      readonly family: 4 | 6;
      readonly purpose: SocketPurpose;
      readonly generation: number;
    }
  /** The agent has no more use for these; it has forgotten them already. */
  | { readonly kind: "dropSockets"; readonly sockets: readonly number[] }
  /** The responder's openings are on their way: publish the signal of this generation with `hasOpened`. */
  | { readonly kind: "answerReady"; readonly generation: number }
  /** Direct paths are given up, until `restart`; should one come about after all, `pair` says so. */
  | { readonly kind: "failed"; readonly reason: PunchFailure };

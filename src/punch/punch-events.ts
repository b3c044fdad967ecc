/** Inputs and outputs of the punching agent; `agent.ts` has the theory of operation. */
import type { PathKind } from "../base/path.ts";
import type { Candidate } from "../wire/candidate-codec.ts";
import type { PunchRole } from "../wire/check.ts";
import type { NatBehaviour } from "../wire/nat-behaviour-codec.ts";

export interface PunchOptions {
  readonly role: PunchRole;
  /** 32 bytes that only the two peers have. */
  readonly checkKey: Uint8Array;
  /** Uniform random bytes. */
  readonly random: (byteLength: number) => Uint8Array;
  /** The behaviour of the local NAT as detected so far; `setLocalBehaviour` updates it. */
  readonly local: NatBehaviour;
  /**
   * Whether birthday probing is allowed: hundreds of local sockets, or up to 2048 small packets
   * from this host.
   */
  readonly allowSpray: boolean;
  /**
   * The remote candidates come from a ticket. Nothing shows yet that a host at these addresses
   * agreed to receive packets, and a person transfers the answer. The agent sends far fewer packets
   * until one is answered, and does no birthday probing.
   */
  readonly isTicket?: boolean;
  /**
   * Responder: how long delivery of its answer to the initiator may take. Until then it sends
   * low-TTL openings only, so that the first packet that the initiator's NAT sees is the
   * initiator's own. 1000 by default; more over slow signalling channels.
   */
  readonly answerDelayMs?: number;
}

/** The purpose of a socket: ordinary checks, or birthday probing. */
export type SocketPurpose = "main" | "birthday";

export interface LocalSocket {
  /** The endpoint's index of the socket. */
  readonly socket: number;
  readonly family: 4 | 6;
  /** A relay's socket sends from another address and is tried at once. */
  readonly kind: "udp" | "relay";
  /** The published candidates of the socket. To add more, call again with the whole list. */
  readonly candidates: readonly Candidate[];
  /**
   * The only address that the socket can send to: a relay that joins two peers without revealing
   * addresses.
   */
  readonly onlyPeer?: { readonly address: string; readonly port: number };
  readonly purpose?: SocketPurpose;
}

/** The fields of the peer's signal that the agent uses. */
export interface RemoteSignal {
  readonly candidates: readonly Candidate[];
  readonly nat: NatBehaviour;
  readonly generation: number;
  readonly attempt: number;
  readonly hasOpened: boolean;
}

/** One datagram to send; filled by `pollTransmit`. The caller owns the bytes. */
export interface PunchTransmit {
  socket: number;
  address: string;
  port: number;
  /** 0: the system's default. */
  ttl: number;
  bytes: Uint8Array;
}

/** Two addresses between which a check has succeeded. */
export interface WorkingPair {
  readonly socket: number;
  readonly address: string;
  readonly port: number;
  /** Shortest round trip so far. */
  readonly rttMs: number;
  readonly path: PathKind;
  /** The local address as the peer saw it, if the path reveals one. */
  readonly observed?: { readonly address: string; readonly port: number };
}

export type PunchFailure = "bothHard" | "noCandidates" | "noAnswer" | "sprayOff";

export type PunchEvent =
  /** A pair works for the first time. */
  | ({ readonly kind: "pair" } & WorkingPair)
  /** The race is over: use this pair. Repeated when a better one is found later. */
  | ({ readonly kind: "best" } & WorkingPair)
  /**
   * Open sockets and pass each to `addLocal` with this purpose. Fresh main sockets belong to a new
   * generation: publish its signal when their candidates are known.
   */
  | {
      readonly kind: "needSockets";
      readonly count: number;
      readonly family: 4 | 6;
      readonly purpose: SocketPurpose;
      readonly generation: number;
    }
  /** These sockets are no longer needed; the agent has already removed them. */
  | { readonly kind: "dropSockets"; readonly sockets: readonly number[] }
  /** The responder's openings were sent: publish the signal of this generation with `hasOpened`. */
  | { readonly kind: "answerReady"; readonly generation: number }
  /**
   * No direct path was found; the agent stops until `restart`. If a pair works later after all,
   * `pair` reports it.
   */
  | { readonly kind: "failed"; readonly reason: PunchFailure };

/** What `connect` and `listen` are told: who may be at the other end, and how packets travel. */
import type { KeyPair } from "../crypto/primitives.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";
import type { Mode } from "../wire/handshake-packet.ts";
import type { FaultHandler } from "./fault.ts";
import type { TraversalOptions } from "./traversal-options.ts";

/** How the two ends proved themselves to each other. */
export type Auth = Mode;

/**
 * Who may be at the other end. There is no way without: at least one of `code`, `passphrase`, `secret`,
 * `ticket`, `peer`, `verifyPeer` has to be there. `connect` uses the first of secret, ticket, code, passphrase,
 * keys; `listen` accepts all that are given.
 */
export interface TrustOptions {
  /** A one-use code such as `42-ocean-lizard-maple`; throws ERR_CODE_FORMAT for what is none. */
  readonly code?: string;
  /** A passphrase that both have, reusable. At least 12 characters are the caller's duty. */
  readonly passphrase?: string;
  /** A secret of 32 random bytes that both have. */
  readonly secret?: Uint8Array;
  /** The 32 random bytes of a ticket, which both have and which serve one link. */
  readonly ticket?: Uint8Array;
  /** This side's long-lived key pair; left out, one is made for this link and thrown away. */
  readonly identity?: KeyPair;
  /** Public keys (32 bytes each): the peer has to have one of them, whatever else it proves. */
  readonly peer?: readonly Uint8Array[];
  /**
   * Asked about a peer that comes by its key alone and is not in `peer`. What it throws or rejects with is
   * what `connect` rejects with; a listener refuses the peer then.
   */
  readonly verifyPeer?: (publicKey: Uint8Array, remote: RemoteAddress) => boolean | Promise<boolean>;
}

export interface CommonOptions extends TrustOptions {
  /** Only this family; left out, both. */
  readonly family?: 4 | 6;
  /** Own address to bind; left out, all. */
  readonly localAddress?: string;
  /** Own port to bind; left out, see `connect` and `listen`. */
  readonly localPort?: number;
  /** Time to get a link, ms; Infinity for ever, which is the default. Then ERR_TIMEOUT. */
  readonly timeoutMs?: number;
  /**
   * Silence after which a link is lost (ERR_LINK_LOST), ms; Infinity for never. Default 60 s. The peer's is announced
   * too, and the shorter one holds for both sides.
   */
  readonly idleTimeoutMs?: number;
  /** Gives up getting a link, with the signal's reason; a link that is there is not touched by it. */
  readonly signal?: AbortSignal;
  /** Congestion controller. Default "bbr". */
  readonly congestion?: "cubic" | "bbr";
  /**
   * Folder for traces in qlog, a file for each connection (it is made where there is none). ERR_FILE_UNREADABLE
   * when nothing can be written there; left out, nothing is traced.
   */
  readonly qlogDirectory?: string;
  /**
   * Told of each fault, a bug on this side that has ended one link with ERR_INTERNAL. With it, an exception that
   * a listener of a link, of its streams or of the listener throws is such a fault too; without it, that is an
   * uncaught exception of the process, as it is with `node:net`.
   */
  readonly onFault?: FaultHandler;
  /** False: hosts are addresses, and no name is looked up. */
  readonly resolve?: boolean;
}

export interface ConnectOptions extends CommonOptions {
  /** Name or address; all addresses of a name are tried, 250 ms apart. */
  readonly host: string;
  readonly port: number;
  /** False: never bind the peer's port number here, see `connect`. */
  readonly cross?: boolean;
  /** False: the link has no pipe and only carries further streams. */
  readonly pipe?: boolean;
}

export interface MeetOptions extends CommonOptions {
  /** How to meet; `{}` for the usual ways. The place follows from `code`, or from `identity` and the one `peer`. */
  readonly meet: TraversalOptions;
  /** False: the link has no pipe and only carries further streams. */
  readonly pipe?: boolean;
}

export interface ListenOptions extends CommonOptions {
  /** Wait where peers look that know no address: those who have the `code`, and those of `peer`. */
  readonly meet?: TraversalOptions;
  /** Public keys of peers to wait for besides `peer`; needs `identity`, and those peers know it. */
  readonly meetPeers?: readonly Uint8Array[];
  /** UDP port; 0 or nothing takes a free one. */
  readonly port?: number;
  /** Answer by key only those who know this side's key beforehand (`peer` there); to others nobody is here. */
  readonly silent?: boolean;
  /** Links at the same time; others are told that this side is busy. Default 1. */
  readonly maxLinks?: number;
}

export const DEFAULT_IDLE_TIMEOUT_MS = 60_000;

/**
 * The options of `connect` and `listen`: how to authenticate the peer, and transport parameters.
 */
import type { KeyPair } from "../crypto/primitives.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";
import type { Mode } from "../wire/handshake-packet.ts";
import type { FaultHandler } from "./fault.ts";
import type { TraversalOptions } from "./traversal-options.ts";

/** How the two ends authenticated each other. */
export type Auth = Mode;

/**
 * How to authenticate the peer. Authentication is mandatory: at least one of `code`, `passphrase`,
 * `secret`, `ticket`, `peer`, `verifyPeer` must be present. `connect` uses the first of secret,
 * ticket, code, passphrase, keys. `listen` accepts all of the given ones.
 */
export interface TrustOptions {
  /** A one-use code such as `42-ocean-lizard-maple`. An invalid code throws ERR_CODE_FORMAT. */
  readonly code?: string;
  /** A reusable passphrase that both sides know. The caller must ensure at least 12 characters. */
  readonly passphrase?: string;
  /** A secret of 32 random bytes that both sides have. */
  readonly secret?: Uint8Array;
  /** The 32 random bytes of a ticket, which both sides have and which are valid for one link. */
  readonly ticket?: Uint8Array;
  /** This side's long-lived key pair. Default: a new key pair for this link only. */
  readonly identity?: KeyPair;
  /**
   * Public keys (32 bytes each). The peer must have one of them, regardless of its other
   * credentials.
   */
  readonly peer?: readonly Uint8Array[];
  /**
   * Decides about a peer that authenticates by its key alone and is not in `peer`. If it throws or
   * rejects, `connect` rejects with the same error and a listener refuses the peer.
   */
  readonly verifyPeer?: (publicKey: Uint8Array, remote: RemoteAddress) => boolean | Promise<boolean>;
}

export interface CommonOptions extends TrustOptions {
  /** The only address family to use. Default: both. */
  readonly family?: 4 | 6;
  /** Local address to bind. Default: all. */
  readonly localAddress?: string;
  /** Local port to bind. For the default see `connect` and `listen`. */
  readonly localPort?: number;
  /** Time to open a link, ms, after which opening fails with ERR_TIMEOUT. Default: Infinity. */
  readonly timeoutMs?: number;
  /**
   * Silence after which a link is lost (ERR_LINK_LOST), ms; Infinity for never. Default 60 s. Each
   * side announces its timeout, and the shorter one applies to both.
   */
  readonly idleTimeoutMs?: number;
  /** Cancels the opening of a link with the signal's reason. It does not affect an open link. */
  readonly signal?: AbortSignal;
  /** Congestion controller. Default "bbr". */
  readonly congestion?: "cubic" | "bbr";
  /**
   * Folder for qlog traces, one file for each connection. It is created if it does not exist.
   * ERR_FILE_UNWRITABLE when it is not writable. Default: no traces.
   */
  readonly qlogDirectory?: string;
  /**
   * Called for each fault, a bug on this side that has ended one link with ERR_INTERNAL. If
   * present, an exception that a listener of a link, of its streams or of the listener throws is
   * also a fault. Otherwise it is an uncaught exception of the process, as with `node:net`.
   */
  readonly onFault?: FaultHandler;
  /** False: hosts are addresses, and no name is looked up. */
  readonly resolve?: boolean;
}

export interface ConnectOptions extends CommonOptions {
  /** Name or address. All addresses of a name are tried, 250 ms apart. */
  readonly host: string;
  readonly port: number;
  /** False: never bind the peer's port number locally, see `connect`. */
  readonly cross?: boolean;
  /** False: the link has no pipe, only further streams. */
  readonly pipe?: boolean;
}

export interface MeetOptions extends CommonOptions {
  /**
   * The rendezvous options; `{}` for the defaults. The rendezvous point is derived from `code`, or
   * from `identity` and the one key in `peer`.
   */
  readonly meet: TraversalOptions;
  /** False: the link has no pipe, only further streams. */
  readonly pipe?: boolean;
}

export interface ListenOptions extends CommonOptions {
  /**
   * Waits at the rendezvous points of peers that know no address: those that have the `code`, and
   * those in `peer`.
   */
  readonly meet?: TraversalOptions;
  /**
   * Public keys of further peers to wait for, in addition to `peer`. Needs `identity`, whose public
   * key those peers must know.
   */
  readonly meetPeers?: readonly Uint8Array[];
  /** UDP port. Default, and 0: a free port. */
  readonly port?: number;
  /**
   * Answers only peers that authenticate by key and already know this side's key (as `peer`). Other
   * peers receive no reply.
   */
  readonly silent?: boolean;
  /** Maximum number of simultaneous links. Further peers are rejected as busy. Default 1. */
  readonly maxLinks?: number;
}

export const DEFAULT_IDLE_TIMEOUT_MS = 60_000;

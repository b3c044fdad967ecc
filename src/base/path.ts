/**
 * Network paths, as used by every layer from the engine upwards.
 *
 * The engine and punch both need these types and may not import each other, so they are declared
 * here.
 */

/**
 * Where datagrams to the peer are sent. The endpoint interns paths, so two paths are equal only if
 * identical.
 */
export interface Path {
  readonly address: string;
  readonly port: number;
  /** Index of the endpoint's socket. */
  readonly socket: number;
}

/** How a path reaches the peer: within one site, over the Internet, or through a relay. */
export type PathKind = "lan" | "direct" | "relay";

/** A link moved to a path of another kind, or its previous path recovered. */
export interface PathMove {
  readonly from: PathKind;
  readonly to: PathKind;
  /** How long the link had no working path, ms; 0 if the previous path still worked. */
  readonly outageMs: number;
}

/** Largest UDP payload that every path must carry.  // RFC 9000 §14 */
export const DATAGRAM_FLOOR_BYTES = 1200;

/**
 * A signalling channel carries the sealed signals of two peers before they have a path. Channels
 * are raced: local network, Mainline DHT, rendezvous server. None of them can read, forge or guess
 * a signal.
 */
import { SrudpError } from "../../base/errors.ts";

/** Where two peers look for each other. Both derive it from their shared secret (`rendezvous-point.ts`). */
export interface RendezvousPoint {
  /** Names the point to a channel, 32 bytes. */
  readonly id: Uint8Array;
  /** 32 bytes for what a channel derives itself and shows to no one: the DHT's key pair, a relay's room. */
  readonly seed: Uint8Array;
  /** Seals the blobs, 32 bytes; no channel sees it. */
  readonly sealKey: Uint8Array;
  /** Authenticates connectivity checks, 32 bytes. */
  readonly checkKey: Uint8Array;
  /** When the peers stop looking here, UTC in ms; Infinity for never. */
  readonly expiresAtMs: number;
}

/** The role at a rendezvous point: the side that connects, or the side that listens. */
export type SignallingRole = "initiator" | "responder";

/** One side's presence at a rendezvous point. */
export interface Subscription {
  /**
   * Publishes a blob for the peer, in place of the previous one.
   *
   * @param blob 1 to 990 bytes, kept by the subscription
   */
  publish(blob: Uint8Array): void;
  /**
   * Called with each new blob of the peer. Anyone who knows the point may have made it: open it
   * before trusting it.
   */
  onBlob: ((blob: Uint8Array) => void) | undefined;
  /** Called with the reason when the channel fails, once for each outage; it keeps retrying. */
  onTrouble: ((error: SrudpError) => void) | undefined;
  /** Called when the channel works: the first time and after each outage, possibly more often. */
  onContact: (() => void) | undefined;
  close(): Promise<void>;
}

export interface SignallingChannel {
  readonly name: "lan" | "dht" | "mailbox" | "ticket";
  meet(point: RendezvousPoint, side: SignallingRole): Subscription;
  /** Ends all subscriptions. */
  close(): Promise<void>;
}

/**
 * Largest blob that every channel takes: the DHT's limit, a bencoded string of less than 1000
 * bytes.  // BEP 44
 */
export const SIGNAL_BLOB_BYTES = 990;

/** Returns the blob if it fits. @throws SrudpError ERR_INTERNAL */
export function checkBlob(blob: Uint8Array): Uint8Array {
  if (blob.length > 0 && blob.length <= SIGNAL_BLOB_BYTES) return blob;
  throw new SrudpError("ERR_INTERNAL", `a blob of ${blob.length} bytes`);
}

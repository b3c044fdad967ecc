/**
 * What carries the sealed signals of two peers to each other before they have a path. Carriers are raced: a
 * LAN, the Mainline DHT, a rendezvous server. None of them can read, forge or guess anything.
 */
import { SrudpError } from "../../base/errors.ts";

/** Where two peers look for each other. Both derive the same from what they share (`meeting-place.ts`). */
export interface RendezvousPoint {
  /** Names the place to a carrier, 32 bytes. */
  readonly id: Uint8Array;
  /** 32 bytes for what a carrier derives by itself and shows to nobody: the DHT's key pair, a relay's room. */
  readonly seed: Uint8Array;
  /** Seals the blobs, 32 bytes; no carrier sees it. */
  readonly sealKey: Uint8Array;
  /** Authenticates connectivity checks, 32 bytes. */
  readonly checkKey: Uint8Array;
  /** When nobody looks here any more, UTC in ms; Infinity for never. */
  readonly expiresAtMs: number;
}

/** Which of the two that meet: the one that connects, or the one that listens. */
export type SignallingRole = "initiator" | "responder";

/** One side's presence at a place. */
export interface Subscription {
  /**
   * Leaves a blob for the peer, in place of the one before.
   *
   * @param blob 1 to 990 bytes, kept by the meeting
   */
  publish(blob: Uint8Array): void;
  /**
   * Told of each new blob of the peer. Anybody who knows of the place may have made it: it is to be opened
   * before it is believed.
   */
  onBlob: ((blob: Uint8Array) => void) | undefined;
  /** Told why the carrier fails, once for each outage; it keeps retrying. */
  onTrouble: ((error: SrudpError) => void) | undefined;
  /** Told when the carrier works: for the first time, and after each outage; maybe more often. */
  onContact: (() => void) | undefined;
  close(): Promise<void>;
}

export interface SignallingChannel {
  readonly name: "lan" | "dht" | "mailbox" | "ticket";
  meet(point: RendezvousPoint, side: SignallingRole): Subscription;
  /** Ends all meetings. */
  close(): Promise<void>;
}

/** Largest blob that every carrier takes; the DHT's limit, a bencoded string of less than 1000 bytes.  // BEP 44 */
export const SIGNAL_BLOB_BYTES = 990;

/** The blob, which fits. @throws SrudpError ERR_INTERNAL */
export function checkBlob(blob: Uint8Array): Uint8Array {
  if (blob.length > 0 && blob.length <= SIGNAL_BLOB_BYTES) return blob;
  throw new SrudpError("ERR_INTERNAL", `a blob of ${blob.length} bytes`);
}

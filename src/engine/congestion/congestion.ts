/**
 * What a congestion controller sees and says. One interface for loss-based and model-based controllers:
 * each acknowledgement brings one sample, each lost packet one call, and out come a window and a rate.
 */

/** What one ACK told. One object is made per connection and filled anew each time: keep no reference. */
export interface AckSample {
  nowMs: number;
  /** Bytes that this ACK acknowledged for the first time. */
  ackedBytes: number;
  /** Bytes in flight before the ACK, and after it and the losses that it proved. */
  priorInFlightBytes: number;
  inFlightBytes: number;
  /** Bytes declared lost since the previous sample. */
  newlyLostBytes: number;
  /** Packet number and time of sending of the newest packet acknowledged by this ACK. */
  largestAcked: number;
  largestAckedSentAtMs: number;
  /** Next packet number at the time of the ACK: what is sent from now on is at least this. */
  nextPacketNumber: number;
  /** Round trip measured by this ACK, −1 when it measured none; and the estimates after it. */
  rttMs: number;
  smoothedRttMs: number;
  minRttMs: number;
  /** Delivery rate over the flight of the newest packet, bytes per ms; 0 when there is no valid sample. */
  deliveryRate: number;
  /** Whether the sample's packet was sent while the application kept the link from being filled. */
  isAppLimited: boolean;
  /** Total bytes delivered, and the same when the sample's packet was sent. */
  deliveredBytes: number;
  priorDeliveredBytes: number;
  /** Bytes in flight when the sample's packet was sent, and bytes lost since. */
  txInFlightBytes: number;
  lostSinceBytes: number;
}

export interface LostPacket {
  nowMs: number;
  packetNumber: number;
  bytes: number;
  sentAtMs: number;
  /** Next packet number at the time of the loss. */
  nextPacketNumber: number;
  /** Bytes in flight when it was sent; bytes lost since then, itself included; bytes in flight now. */
  txInFlightBytes: number;
  lostSinceBytes: number;
  inFlightBytes: number;
  /** Whether the packet was sent while the application was the limit. */
  isAppLimited: boolean;
}

export interface CongestionController {
  readonly name: "cubic" | "bbr";
  /** Bytes that may be in flight. */
  readonly congestionWindowBytes: number;
  /** Slow-start threshold where there is one, else Infinity. */
  readonly ssthreshBytes: number;
  /** Rate of sending, bytes per ms; Infinity before anything is known. */
  readonly pacingRate: number;
  /** Name of the controller's phase, for statistics and traces. */
  readonly phase: string;

  /** A packet that counts as in flight was sent; `inFlightBytes` includes it. */
  onSent(
    nowMs: number,
    packetNumber: number,
    bytes: number,
    inFlightBytes: number,
    isAppLimited: boolean,
  ): void;
  onAcknowledged(sample: AckSample): void;
  onLost(lost: LostPacket): void;
  /** Everything sent over a long time was lost.  // RFC 9002 §7.6 */
  onPersistentCongestion(nowMs: number): void;
  /** All packets of the last loss event were acknowledged after all: nothing was wrong. */
  onSpuriousLoss(nowMs: number): void;
  /** The path now takes datagrams of this size. */
  onDatagramBytes(bytes: number): void;
}

/** Window before anything is known of the path.  // RFC 9002 §7.2 */
export function initialWindowBytes(datagramBytes: number): number {
  return Math.min(10 * datagramBytes, Math.max(14_720, 2 * datagramBytes));
}

/** Smallest window.  // RFC 9002 §7.2 */
export function minimumWindowBytes(datagramBytes: number): number {
  return 2 * datagramBytes;
}

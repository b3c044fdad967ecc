/**
 * The inputs and outputs of a congestion controller. One interface serves loss-based and
 * model-based controllers: each acknowledgement yields one sample, each lost packet one call, and
 * the controller provides a window and a rate.
 */

/**
 * The measurements from one ACK. Each connection reuses one object for all samples, so do not keep
 * a reference.
 */
export interface AckSample {
  nowMs: number;
  /** Bytes that this ACK acknowledged for the first time. */
  ackedBytes: number;
  /** Bytes in flight before the ACK, and after it and the losses that it revealed. */
  priorInFlightBytes: number;
  inFlightBytes: number;
  /** Bytes declared lost since the previous sample. */
  newlyLostBytes: number;
  /** Packet number and send time of the newest packet acknowledged by this ACK. */
  largestAcked: number;
  largestAckedSentAtMs: number;
  /**
   * Next packet number at the time of the ACK. Packets sent from now on have at least this number.
   */
  nextPacketNumber: number;
  /** Round trip measured by this ACK, −1 if it measured none; and the estimates after it. */
  rttMs: number;
  smoothedRttMs: number;
  minRttMs: number;
  /**
   * Delivery rate over the flight of the newest packet, bytes per ms; 0 if there is no valid
   * sample.
   */
  deliveryRate: number;
  /**
   * Whether the sample's packet was sent while the application did not supply enough data to fill
   * the link.
   */
  isAppLimited: boolean;
  /** Total bytes delivered, now and when the sample's packet was sent. */
  deliveredBytes: number;
  priorDeliveredBytes: number;
  /** Bytes in flight when the sample's packet was sent, and bytes lost since then. */
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
  /**
   * Bytes in flight when it was sent; bytes lost since then, this packet included; bytes in flight
   * now.
   */
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
  /** Slow-start threshold if the controller has one, otherwise Infinity. */
  readonly ssthreshBytes: number;
  /** Sending rate, bytes per ms; Infinity before the first measurement. */
  readonly pacingRate: number;
  /** Name of the controller's phase, for statistics and traces. */
  readonly phase: string;

  /** A packet that counts as in flight was sent. `inFlightBytes` includes it. */
  onSent(
    nowMs: number,
    packetNumber: number,
    bytes: number,
    inFlightBytes: number,
    isAppLimited: boolean,
  ): void;
  onAcknowledged(sample: AckSample): void;
  onLost(lost: LostPacket): void;
  /** Everything sent over a long period was lost.  // RFC 9002 §7.6 */
  onPersistentCongestion(nowMs: number): void;
  /** All packets of the last loss event were acknowledged after all: the losses were spurious. */
  onSpuriousLoss(nowMs: number): void;
  /** The path now carries datagrams of this size. */
  onDatagramBytes(bytes: number): void;
}

/** Window before the path has been measured.  // RFC 9002 §7.2 */
export function initialWindowBytes(datagramBytes: number): number {
  return Math.min(10 * datagramBytes, Math.max(14_720, 2 * datagramBytes));
}

/** Minimum window.  // RFC 9002 §7.2 */
export function minimumWindowBytes(datagramBytes: number): number {
  return 2 * datagramBytes;
}

/** A sample before the first acknowledgement; its owner fills it again for each one. */
export function emptySample(): AckSample {
  return {
    nowMs: 0,
    ackedBytes: 0,
    priorInFlightBytes: 0,
    inFlightBytes: 0,
    newlyLostBytes: 0,
    largestAcked: -1,
    largestAckedSentAtMs: 0,
    nextPacketNumber: 0,
    rttMs: -1,
    smoothedRttMs: 0,
    minRttMs: 0,
    deliveryRate: 0,
    isAppLimited: false,
    deliveredBytes: 0,
    priorDeliveredBytes: 0,
    txInFlightBytes: 0,
    lostSinceBytes: 0,
  };
}

/**
 * Loss detection: which packets arrived, which are lost, and when to probe; and the delivery-rate
 * samples for congestion controllers.
 *
 * Read first: RFC 9002 (whole), draft-ietf-ccwg-bbr §4.1 (delivery rate). This class knows packets
 * and their frame records, but not the meaning of frames: it reports the fate of each record to
 * their owner.
 *
 * Deviates from RFC 9002 after spurious losses: a lost packet is remembered for two probe timeouts.
 * Its late acknowledgement raises the thresholds that declared it lost (as in quiche). If the whole
 * loss event turns out spurious, the controller's window is restored.
 */
import { DATAGRAM_FLOOR_BYTES } from "../../base/path.ts";
import type { FrameCursor } from "../../wire/frames.ts";
import {
  type AckSample,
  type CongestionController,
  emptySample,
  type LostPacket,
} from "../congestion/congestion.ts";
import type { Tracer } from "../connection/tracer.ts";
import type { SendStream } from "../streams/send-stream.ts";
import { LOST_PACKETS_LIMIT, LostPackets } from "./lost-packets.ts";
import { RttEstimator, TIMER_GRANULARITY_MS } from "./rtt.ts";
import { PACKET, SENT, SentPackets } from "./sent-packets.ts";

/**
 * Number of later packets whose acknowledgement makes a packet count as lost.  // RFC 9002 §6.1.1
 */
const PACKET_THRESHOLD = 3;
/** Upper bound of the packet threshold after observed reordering (quiche's figure). */
const MAX_PACKET_THRESHOLD = 20;
/** Fraction of a round trip after which an overtaken packet counts as lost.  // RFC 9002 §6.1.2 */
const TIME_THRESHOLD = 9 / 8;
/** The same after observed reordering in time (quiche's figure). */
const MAX_TIME_THRESHOLD = 5 / 4;
/**
 * Number of probe timeouts after which uninterrupted loss is persistent congestion.
 * // RFC 9002 §7.6.1
 */
const PERSISTENT_CONGESTION_PTOS = 3;
/**
 * A lost packet is remembered until this many more are sent, because it occupies the slots after
 * it.
 */
const LOST_MEMORY_PACKETS = 32_768;
/** It is also remembered for at most this many probe timeouts. */
const LOST_MEMORY_PTOS = 2;
/** Number of skipped packet numbers that ACKs are checked for. */
const SKIPPED_REMEMBERED = 8;
/** Maximum of the probe timeout's backoff: a path that recovers must be detected. */
const MAX_PTO_MS = 1000;
const MAX_PTO_BACKOFF = 6;

/** Receives the fate of each frame of a sent packet. */
export interface FrameOwner {
  frameAcknowledged(kind: number, stream: SendStream | undefined, offset: number, value: number): void;
  frameLost(kind: number, stream: SendStream | undefined, offset: number, value: number): void;
}

export class Recovery {
  readonly rtt: RttEstimator = new RttEstimator();
  readonly sent: SentPackets;
  bytesInFlight = 0;
  /** Consecutive probe timeouts without an acknowledgement. */
  ptoCount = 0;
  /** Probe packets that may be sent regardless of the window. */
  probesWanted = 0;
  /** Maximum delay of the peer's ACKs. */
  peerMaxAckDelayMs = 25;
  packetThreshold: number = PACKET_THRESHOLD;
  timeThreshold: number = TIME_THRESHOLD;
  lostPackets = 0;
  spuriousLosses = 0;
  /** Largest packet number that the peer acknowledged, −1 before the first. */
  largestAcked = -1;
  /** Size of an MTU probe that was acknowledged or lost, to be taken by the owner; 0 for none. */
  ackedMtuProbeBytes = 0;
  lostMtuProbeBytes = 0;
  /**
   * Number of packets above the floor that were lost or arrived, to be taken by the owner:
   * black-hole detection.
   */
  largeLost = 0;
  largeAcked = 0;

  private readonly owner: FrameOwner;
  private readonly tracer: Tracer | undefined;
  private controllerInUse: CongestionController;
  private pathGeneration = 0;
  /** No packet below this number is in flight. */
  private oldestInFlight: number;
  /**
   * The packet numbers skipped most recently. A peer that acknowledges one acknowledges packets
   * before they arrive.
   */
  private readonly skipped: Float64Array = new Float64Array(SKIPPED_REMEMBERED).fill(-1);
  private skippedCount = 0;
  private ackElicitingInFlight = 0;
  private lastAckElicitingAtMs = 0;
  private lossAtMs = Number.POSITIVE_INFINITY;
  private firstRttSampleAtMs = Number.POSITIVE_INFINITY;
  /** Packets that were declared lost recently. */
  private readonly remembered: LostPackets = new LostPackets();
  /** Packets of the present path that the current ACK proves to have been late. */
  private latePackets = 0;
  private lossEventPackets = 0;
  private lossEventSpurious = 0;
  /** The current loss event: packets above the first number and up to the second belong to it. */
  private lossEventStartPacket = -1;
  private lossEventEndPacket = -1;
  // Delivery-rate estimation, draft-ietf-ccwg-bbr §4.1.2.
  private deliveredBytes = 0;
  private deliveredAtMs = 0;
  private firstSentAtMs = 0;
  private lostBytesTotal = 0;
  private appLimitedUntilBytes = 0;
  private newlyLostBytes = 0;
  private samplePacketSentAtMs = -1;
  private sampleDeliveredAtMs = 0;
  private sampleFirstSentAtMs = 0;

  private readonly sample: AckSample = emptySample();
  private readonly lost: LostPacket = {
    nowMs: 0,
    packetNumber: 0,
    bytes: 0,
    sentAtMs: 0,
    nextPacketNumber: 0,
    txInFlightBytes: 0,
    lostSinceBytes: 0,
    inFlightBytes: 0,
    isAppLimited: false,
  };

  constructor(
    owner: FrameOwner,
    controller: CongestionController,
    firstPacketNumber: number,
    tracer?: Tracer,
  ) {
    this.owner = owner;
    this.tracer = tracer;
    this.controllerInUse = controller;
    this.sent = new SentPackets(firstPacketNumber);
    this.oldestInFlight = firstPacketNumber;
  }

  get controller(): CongestionController {
    return this.controllerInUse;
  }

  get packetsInFlight(): number {
    return this.ackElicitingInFlight;
  }

  /** Probe timeout without its backoff, ms. */
  get basePtoMs(): number {
    return this.rtt.ptoMs(this.peerMaxAckDelayMs);
  }

  /** Probe timeout with its backoff, ms. */
  get ptoMs(): number {
    const base = this.basePtoMs;
    const backedOff = base * 2 ** Math.min(this.ptoCount, MAX_PTO_BACKOFF);
    // Deviates: RFC 9002 doubles without limit. A tunnel must detect within seconds that its path
    // works again.
    return Math.max(base, Math.min(backedOff, MAX_PTO_MS));
  }

  /** When to declare losses or send a probe; Infinity if nothing is in flight. */
  get timeoutAt(): number {
    if (this.lossAtMs !== Number.POSITIVE_INFINITY) return this.lossAtMs;
    return this.ackElicitingInFlight > 0 ? this.lastAckElicitingAtMs + this.ptoMs : Number.POSITIVE_INFINITY;
  }

  /**
   * Marks packets sent from now on as limited by the application, until everything in flight was
   * delivered.
   */
  markAppLimited(): void {
    this.appLimitedUntilBytes = Math.max(1, this.deliveredBytes + this.bytesInFlight);
  }

  get isAppLimited(): boolean {
    return this.appLimitedUntilBytes > 0;
  }

  /**
   * The packet pushed last to `sent` is sent now with `byteLength` bytes. `isInFlight` is false for
   * packets with only ACK, CLOSE or padding.
   */
  onSent(nowMs: number, byteLength: number, flags: number): void {
    const { sent } = this;
    const packetNumber = sent.next - 1;
    const slot = sent.slot(packetNumber);
    sent.bytes[slot] = byteLength;
    sent.sentAtMs[slot] = nowMs;
    sent.pathGeneration[slot] = this.pathGeneration;
    if ((flags & SENT.ackEliciting) === 0) {
      sent.flags[slot] = flags;
      sent.state[slot] = PACKET.unreliable;
      return;
    }
    // draft-ietf-ccwg-bbr §4.1.2.2: a flight begins when nothing was in flight.
    if (this.bytesInFlight === 0) {
      this.firstSentAtMs = nowMs;
      this.deliveredAtMs = nowMs;
    }
    const isAppLimited = this.appLimitedUntilBytes > 0;
    this.bytesInFlight += byteLength;
    this.ackElicitingInFlight++;
    this.lastAckElicitingAtMs = nowMs;
    sent.flags[slot] = isAppLimited ? flags | SENT.appLimited : flags;
    sent.state[slot] = PACKET.inFlight;
    sent.deliveredBytes[slot] = this.deliveredBytes;
    sent.deliveredAtMs[slot] = this.deliveredAtMs;
    sent.firstSentAtMs[slot] = this.firstSentAtMs;
    sent.inFlightBytes[slot] = this.bytesInFlight;
    sent.lostBytes[slot] = this.lostBytesTotal;
    this.controllerInUse.onSent(nowMs, packetNumber, byteLength, this.bytesInFlight, isAppLimited);
  }

  /** Skips the next packet number. */
  skipNumber(): void {
    this.skipped[this.skippedCount++ % SKIPPED_REMEMBERED] = this.sent.next;
    const slot = this.sent.push();
    this.sent.state[slot] = PACKET.skipped;
  }

  /**
   * Handles an ACK. Returns false if it acknowledges a packet that was never sent, which no honest
   * peer does.  // RFC 9000 §13.1
   */
  onAck(nowMs: number, ack: FrameCursor): boolean {
    const { sent, sample } = this;
    const largest = ack.ackEnds[0]!;
    if (largest >= sent.next) return false;
    for (let i = 0; i < SKIPPED_REMEMBERED; i++) if (acknowledges(ack, this.skipped[i]!)) return false;
    this.beginSample(nowMs);
    let ackElicitingAcked = false;
    let largestNewlyAcked = -1;
    // The slots of lower numbers may have been reused for newer packets.
    const floor = this.oldest;
    for (let range = 0; range < ack.ackRanges; range++) {
      const start = Math.max(ack.ackStarts[range]!, floor);
      for (let packetNumber = ack.ackEnds[range]!; packetNumber >= start; packetNumber--) {
        const slot = sent.slot(packetNumber);
        const state = sent.state[slot]!;
        if (state === PACKET.inFlight) {
          if (packetNumber > largestNewlyAcked) largestNewlyAcked = packetNumber;
          ackElicitingAcked = true;
          this.acknowledge(nowMs, packetNumber, slot);
        } else if (state === PACKET.unreliable) {
          if (packetNumber > largestNewlyAcked) largestNewlyAcked = packetNumber;
          this.reportFate(packetNumber, true);
          sent.state[slot] = PACKET.settled;
        } else if (state === PACKET.skipped) return false;
      }
    }
    if (this.remembered.count > 0) {
      this.noticeSpurious(nowMs, ack);
      // Also called here: while acknowledgements arrive without pause, no timer expires.
      this.forgetLost(nowMs);
    }
    if (largest > this.largestAcked) this.largestAcked = largest;
    if (largestNewlyAcked < 0) {
      sent.reclaim();
      return true;
    }
    // RFC 9002 §5.1: take a sample only if the largest acknowledged packet is newly acknowledged
    // and any newly acknowledged packet is ack-eliciting.
    if (largestNewlyAcked === largest && ackElicitingAcked) {
      const slot = sent.slot(largest);
      if (sent.pathGeneration[slot] === this.pathGeneration) {
        if (!this.rtt.hasSample) this.firstRttSampleAtMs = nowMs;
        sample.rttMs = nowMs - sent.sentAtMs[slot]!;
        this.rtt.update(sample.rttMs, Math.min(ack.ackDelayMs, this.peerMaxAckDelayMs));
      }
    }
    this.ptoCount = 0;
    this.probesWanted = 0;
    this.detectLosses(nowMs);
    if (sample.ackedBytes > 0) this.finishSample(largestNewlyAcked);
    this.settle();
    if (this.tracer !== undefined) this.tracer.metricsUpdated(nowMs, this);
    return true;
  }

  /** Handles the timer of `timeoutAt`. Returns true if probes are to be sent. */
  handleTimeout(nowMs: number): boolean {
    if (nowMs < this.timeoutAt) return false;
    if (this.lossAtMs !== Number.POSITIVE_INFINITY) {
      this.detectLosses(nowMs);
      this.settle();
      if (this.tracer !== undefined) this.tracer.metricsUpdated(nowMs, this);
      return false;
    }
    this.ptoCount++;
    // RFC 9002 §6.2.4: send two packets, so that the loss of one probe does not cost another
    // timeout.
    this.probesWanted = this.ptoCount > 1 ? 2 : 1;
    if (this.tracer !== undefined) this.tracer.metricsUpdated(nowMs, this);
    return true;
  }

  /**
   * For a probe without new data: queues the frames of the oldest packet in flight again, without
   * declaring the packet lost. False if no packet is in flight.
   */
  resendOldest(): boolean {
    const { sent } = this;
    for (let packetNumber = this.oldest; packetNumber < sent.next; packetNumber++) {
      const slot = sent.slot(packetNumber);
      if (sent.state[slot] !== PACKET.inFlight || (sent.flags[slot]! & SENT.mtuProbe) !== 0) continue;
      this.reportFate(packetNumber, false);
      return true;
    }
    return false;
  }

  /** The link uses a new path: measurements and losses of the old path no longer apply. */
  resetPath(controller: CongestionController): void {
    this.pathGeneration++;
    this.rtt.reset();
    this.controllerInUse = controller;
    this.firstRttSampleAtMs = Number.POSITIVE_INFINITY;
    this.ptoCount = 0;
    this.appLimitedUntilBytes = 0;
    this.lossEventEndPacket = this.sent.next - 1;
    this.lossEventPackets = 0;
    this.lossEventSpurious = 0;
  }

  /** Sends a probe at once, for example after a sleep. */
  wantProbe(): void {
    this.probesWanted = Math.max(this.probesWanted, 1);
    this.ptoCount = 0;
  }

  /** Drops lost packets whose acknowledgement would now be too late to be useful. */
  forgetLost(nowMs: number): void {
    const { sent, remembered } = this;
    const limitMs = nowMs - LOST_MEMORY_PTOS * this.rtt.ptoMs(this.peerMaxAckDelayMs);
    const limit = sent.next - LOST_MEMORY_PACKETS;
    const before = remembered.count;
    while (remembered.count > 0 && (remembered.oldestLostAtMs < limitMs || remembered.oldest < limit))
      this.forgetOldestLost();
    if (remembered.count < before) sent.reclaim();
  }

  private forgetOldestLost(): void {
    const { sent, remembered } = this;
    sent.state[sent.slot(remembered.oldest)] = PACKET.settled;
    remembered.removeOldest();
  }

  /** Packets below this number are not in flight and have no slot. */
  private get oldest(): number {
    return Math.max(this.oldestInFlight, this.sent.first);
  }

  private beginSample(nowMs: number): void {
    const { sample } = this;
    sample.nowMs = nowMs;
    sample.ackedBytes = 0;
    sample.priorInFlightBytes = this.bytesInFlight;
    sample.rttMs = -1;
    sample.deliveryRate = 0;
    sample.priorDeliveredBytes = -1;
    this.samplePacketSentAtMs = -1;
  }

  private acknowledge(nowMs: number, packetNumber: number, slot: number): void {
    const { sent, sample } = this;
    const bytes = sent.bytes[slot]!;
    const flags = sent.flags[slot]!;
    sent.state[slot] = PACKET.settled;
    this.bytesInFlight -= bytes;
    this.ackElicitingInFlight--;
    if (sent.pathGeneration[slot] === this.pathGeneration) {
      if (flags & SENT.mtuProbe) this.ackedMtuProbeBytes = bytes;
      else if (bytes > DATAGRAM_FLOOR_BYTES) this.largeAcked++;
    }
    sample.ackedBytes += bytes;
    this.deliveredBytes += bytes;
    this.deliveredAtMs = nowMs;
    // draft-ietf-ccwg-bbr §4.1.2.3: the sample is taken from the packet that was sent last.
    const sentAtMs = sent.sentAtMs[slot]!;
    if (sentAtMs >= this.samplePacketSentAtMs && sent.deliveredBytes[slot]! >= sample.priorDeliveredBytes) {
      this.samplePacketSentAtMs = sentAtMs;
      this.sampleDeliveredAtMs = sent.deliveredAtMs[slot]!;
      this.sampleFirstSentAtMs = sent.firstSentAtMs[slot]!;
      this.firstSentAtMs = sentAtMs;
      sample.priorDeliveredBytes = sent.deliveredBytes[slot]!;
      sample.isAppLimited = (flags & SENT.appLimited) !== 0;
      sample.txInFlightBytes = sent.inFlightBytes[slot]!;
      sample.lostSinceBytes = this.lostBytesTotal - sent.lostBytes[slot]!;
    }
    this.reportFate(packetNumber, true);
  }

  private finishSample(largestNewlyAcked: number): void {
    const { sample, sent } = this;
    if (this.appLimitedUntilBytes > 0 && this.deliveredBytes > this.appLimitedUntilBytes)
      this.appLimitedUntilBytes = 0;
    sample.largestAcked = largestNewlyAcked;
    sample.largestAckedSentAtMs = sent.sentAtMs[sent.slot(largestNewlyAcked)]!;
    sample.nextPacketNumber = sent.next;
    sample.inFlightBytes = this.bytesInFlight;
    sample.newlyLostBytes = this.newlyLostBytes;
    this.newlyLostBytes = 0;
    sample.smoothedRttMs = this.rtt.smoothedMs;
    sample.minRttMs = this.rtt.minMs;
    sample.deliveredBytes = this.deliveredBytes;
    // §4.1.2.3: use the slower of the two rates, so that compressed ACKs do not inflate it.
    const sendElapsedMs = this.samplePacketSentAtMs - this.sampleFirstSentAtMs;
    const ackElapsedMs = this.deliveredAtMs - this.sampleDeliveredAtMs;
    const intervalMs = Math.max(sendElapsedMs, ackElapsedMs);
    const delivered = this.deliveredBytes - sample.priorDeliveredBytes;
    sample.deliveryRate =
      sample.priorDeliveredBytes >= 0 && intervalMs > 0 && intervalMs >= this.rtt.minMs
        ? delivered / intervalMs
        : 0;
    this.controllerInUse.onAcknowledged(sample);
  }

  /** RFC 9002 §6.1 and Appendix A.10. */
  private detectLosses(nowMs: number): void {
    const { sent, largestAcked } = this;
    this.lossAtMs = Number.POSITIVE_INFINITY;
    const rttMs = Math.max(this.rtt.smoothedMs, this.rtt.latestMs);
    const lossDelayMs = Math.max(this.timeThreshold * rttMs, TIMER_GRANULARITY_MS);
    let firstLostAtMs = -1;
    let lastLostAtMs = -1;
    let unbroken = true;
    for (let packetNumber = this.oldest; packetNumber < largestAcked; packetNumber++) {
      const slot = sent.slot(packetNumber);
      const state = sent.state[slot]!;
      if (state !== PACKET.inFlight) {
        // An acknowledged packet interrupts the run of losses.
        if (state === PACKET.settled && lastLostAtMs >= 0) unbroken = false;
        continue;
      }
      const sentAtMs = sent.sentAtMs[slot]!;
      // Same expression as in the timer: rounding must not make the timer fire just before the
      // deadline.
      if (sentAtMs + lossDelayMs > nowMs && largestAcked - packetNumber < this.packetThreshold) {
        this.lossAtMs = Math.min(this.lossAtMs, sentAtMs + lossDelayMs);
        continue;
      }
      if (sentAtMs > this.firstRttSampleAtMs && (sent.flags[slot]! & SENT.mtuProbe) === 0) {
        if (firstLostAtMs < 0) firstLostAtMs = sentAtMs;
        lastLostAtMs = sentAtMs;
      }
      this.lose(nowMs, packetNumber, slot);
    }
    const persistentMs = PERSISTENT_CONGESTION_PTOS * this.rtt.ptoMs(this.peerMaxAckDelayMs);
    if (unbroken && firstLostAtMs >= 0 && lastLostAtMs - firstLostAtMs > persistentMs) {
      this.controllerInUse.onPersistentCongestion(nowMs);
      // RFC 9002 §5.2: the smallest round trip may have been measured on a route that no longer
      // exists.
      this.rtt.minMs = this.rtt.latestMs;
    }
  }

  private lose(nowMs: number, packetNumber: number, slot: number): void {
    const { sent, lost } = this;
    const bytes = sent.bytes[slot]!;
    const flags = sent.flags[slot]!;
    sent.state[slot] = PACKET.lost;
    this.bytesInFlight -= bytes;
    this.ackElicitingInFlight--;
    if (this.remembered.count === LOST_PACKETS_LIMIT) this.forgetOldestLost();
    this.remembered.add(packetNumber, nowMs);
    if (this.tracer !== undefined) {
      const isOvertaken = this.largestAcked - packetNumber >= this.packetThreshold;
      this.tracer.packetLost(nowMs, packetNumber, isOvertaken, (flags & SENT.mtuProbe) !== 0);
    }
    // Packets sent over an abandoned path say nothing about the present one.
    const isOfThisPath = sent.pathGeneration[slot] === this.pathGeneration;
    if (flags & SENT.mtuProbe) {
      // The loss of an MTU probe indicates that its size is too large, not that the path is
      // congested.  // RFC 8899 §3
      if (isOfThisPath) this.lostMtuProbeBytes = bytes;
      return;
    }
    this.lostPackets++;
    this.lostBytesTotal += bytes;
    this.newlyLostBytes += bytes;
    this.reportFate(packetNumber, false);
    if (!isOfThisPath) return;
    if (bytes > DATAGRAM_FLOOR_BYTES) this.largeLost++;
    if (packetNumber > this.lossEventEndPacket) {
      this.lossEventStartPacket = this.lossEventEndPacket;
      this.lossEventEndPacket = sent.next - 1;
      this.lossEventPackets = 0;
      this.lossEventSpurious = 0;
    }
    this.lossEventPackets++;
    lost.nowMs = nowMs;
    lost.packetNumber = packetNumber;
    lost.bytes = bytes;
    lost.sentAtMs = sent.sentAtMs[slot]!;
    lost.nextPacketNumber = sent.next;
    lost.txInFlightBytes = sent.inFlightBytes[slot]!;
    lost.lostSinceBytes = this.lostBytesTotal - sent.lostBytes[slot]!;
    lost.inFlightBytes = this.bytesInFlight;
    lost.isAppLimited = (flags & SENT.appLimited) !== 0;
    this.controllerInUse.onLost(lost);
  }

  /** Finds remembered packets in `ack`: they were late, not lost. */
  private noticeSpurious(nowMs: number, ack: FrameCursor): void {
    this.latePackets = 0;
    this.remembered.removeAcknowledged(ack, this.onLate);
    if (
      this.latePackets > 0 &&
      this.lossEventSpurious >= this.lossEventPackets &&
      this.lossEventPackets > 0
    ) {
      this.lossEventPackets = 0;
      this.lossEventSpurious = 0;
      this.controllerInUse.onSpuriousLoss(nowMs);
    }
  }

  private readonly onLate = (packetNumber: number): void => {
    const { sent } = this;
    const slot = sent.slot(packetNumber);
    sent.state[slot] = PACKET.settled;
    this.reportFate(packetNumber, true);
    const isOfThisPath = sent.pathGeneration[slot] === this.pathGeneration;
    if (sent.flags[slot]! & SENT.mtuProbe) {
      if (isOfThisPath) this.ackedMtuProbeBytes = sent.bytes[slot]!;
      return;
    }
    this.spuriousLosses++;
    this.deliveredBytes += sent.bytes[slot]!;
    if (!isOfThisPath) return;
    this.latePackets++;
    // docs/protocol.md, "Loss detection": both thresholds grow after a spurious loss, up to a
    // bound.
    const distance = this.largestAcked - packetNumber + 1;
    this.packetThreshold = Math.min(MAX_PACKET_THRESHOLD, Math.max(this.packetThreshold, distance));
    this.timeThreshold = MAX_TIME_THRESHOLD;
    if (packetNumber > this.lossEventStartPacket) this.lossEventSpurious++;
  };

  private reportFate(packetNumber: number, acknowledged: boolean): void {
    const { sent, owner } = this;
    const to = sent.recordsTo(packetNumber);
    for (let record = sent.recordsFrom(packetNumber); record < to; record++) {
      const at = sent.recordSlot(record);
      const kind = sent.recordKind[at]!;
      const offset = sent.recordOffset[at]!;
      const value = sent.recordValue[at]!;
      if (acknowledged) owner.frameAcknowledged(kind, sent.recordStream[at], offset, value);
      else owner.frameLost(kind, sent.recordStream[at], offset, value);
    }
  }

  private settle(): void {
    const { sent } = this;
    let { oldest } = this;
    while (oldest < sent.next && sent.state[sent.slot(oldest)] !== PACKET.inFlight) oldest++;
    this.oldestInFlight = oldest;
    sent.reclaim();
  }
}

function acknowledges(ack: FrameCursor, packetNumber: number): boolean {
  if (packetNumber < ack.ackStarts[ack.ackRanges - 1]!) return false;
  for (let range = 0; range < ack.ackRanges; range++) {
    if (packetNumber > ack.ackEnds[range]!) return false;
    if (packetNumber >= ack.ackStarts[range]!) return true;
  }
  return false;
}

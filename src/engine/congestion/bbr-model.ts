/**
 * BBR's model of the path: its bandwidth, round trip, capacity and loss.
 * // draft-ietf-ccwg-bbr; section numbers below are the draft's
 *
 * The long-term part (`maxBw`, `inflightLongTerm`) is the result of probing. The short-term part
 * (`bwShortTerm`, `inflightShortTerm`) is reduced by loss since the last probe. Names follow the
 * draft; bandwidths are bytes per ms, times are ms. The model only measures: `bbr.ts` has the
 * phases, `bbr-probing.ts` the probe for bandwidth.
 */
import { type AckSample, initialWindowBytes, type LostPacket } from "./congestion.ts";
import { LossFloor } from "./loss-floor.ts";
import { WindowedMax } from "./windowed-max.ts";

/**
 * §2.7: the share of a flight whose loss is too much; the factor for an estimate after it; the
 * headroom left free.
 */
const LOSS_THRESHOLD = 0.02;
export const BETA = 0.7;
const HEADROOM = 0.15;
const MIN_PIPE_PACKETS = 4;
/** §2.9: windows of the filters. */
const MIN_RTT_WINDOW_MS = 10_000;
const PROBE_RTT_INTERVAL_MS = 5000;
const MAX_BW_CYCLES = 2;
const EXTRA_ACKED_ROUNDS = 10;
/**
 * More than a receiver on a real path collects before it acknowledges. A larger aggregate comes
 * from a receiver whose process was suspended; a window that compensates for it would exceed the
 * receiver's socket buffer (4 MiB, where we request it).
 */
const MAX_EXTRA_ACKED_BYTES: number = 3 * 1024 * 1024;
/**
 * Round trips that differ by less are treated as equal: timers and clocks are not more accurate.
 */
const RTT_NOISE = 0.01;
const RTT_NOISE_MS = 0.5;
/**
 * §5.3.1.2: the growth that startup expects, and the number of rounds without it that end startup.
 */
const FULL_BW_GROWTH = 1.25;
const FULL_BW_ROUNDS = 3;
/** §5.3.1.3: separate losses in one round that end startup. */
const STARTUP_LOSSES = 6;

interface ShortTermBounds {
  readonly inflightLongTerm: number;
  readonly inflightShortTerm: number;
  readonly bwShortTerm: number;
}

export class BbrModel {
  datagramBytes: number;

  // Rounds, §5.5.1
  delivered = 0;
  isRoundStart = false;
  roundCount = 0;
  private nextRoundDelivered = 0;
  /** The next packet number to be sent. */
  nextPacketNumber = 0;

  // Bandwidth, §5.5
  bw = 0;
  bwShortTerm: number = Number.POSITIVE_INFINITY;
  private readonly maxBwFilter: WindowedMax = new WindowedMax(MAX_BW_CYCLES - 1);
  private cycleCount = 0;
  private bwLatest = 0;

  // Whether the pipe is full, §5.3.1.2
  isFullBwReached = false;
  isFullBwNow = false;
  private fullBw = 0;
  private fullBwCount = 0;

  // Round trip, §5.5.7
  minRttMs: number = Number.POSITIVE_INFINITY;
  isProbeRttDue = false;
  private minRttAtMs = 0;
  private probeRttMinMs: number = Number.POSITIVE_INFINITY;
  private probeRttMinAtMs = 0;

  // Volume, §5.5.9 and §5.5.10
  inflightShortTerm: number = Number.POSITIVE_INFINITY;
  inflightLongTerm: number = Number.POSITIVE_INFINITY;
  extraAcked = 0;
  private inflightLatest = 0;
  private readonly extraAckedFilter: WindowedMax = new WindowedMax(EXTRA_ACKED_ROUNDS);
  private extraAckedStartMs = 0;
  private extraAckedDelivered = 0;

  // Loss, §5.5.10
  isLossRoundStart = false;
  readonly lossFloor: LossFloor = new LossFloor();
  private lossRoundDelivered = 0;
  private hasLossInRound = false;
  private lossEventsInRound = 0;
  private lostInRound = 0;
  private ackedInRound = 0;
  private lastLostPacket = -2;
  private undo: ShortTermBounds | undefined;

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes;
  }

  get maxBw(): number {
    return this.maxBwFilter.value;
  }

  get minPipeBytes(): number {
    return MIN_PIPE_PACKETS * this.datagramBytes;
  }

  get inflightWithHeadroom(): number {
    if (this.inflightLongTerm === Number.POSITIVE_INFINITY) return this.inflightLongTerm;
    const headroom = Math.max(this.datagramBytes, HEADROOM * this.inflightLongTerm);
    return Math.max(this.inflightLongTerm - headroom, this.minPipeBytes);
  }

  bdp(gain: number, bw: number = this.bw): number {
    if (this.minRttMs === Number.POSITIVE_INFINITY) return initialWindowBytes(this.datagramBytes);
    return gain * bw * this.minRttMs;
  }

  // ------------------------------------------------------------------ one acknowledgement, in this order

  /** Updates the measurements from the sample before anything is derived from them. */
  handleAck(sample: AckSample): void {
    this.delivered = sample.deliveredBytes;
    this.nextPacketNumber = sample.nextPacketNumber;
    this.ackedInRound += sample.ackedBytes;
    this.lossFloor.onAcked(sample.largestAcked, sample.ackedBytes);
  }

  updateDeliverySignals(sample: AckSample): void {
    this.isLossRoundStart = false;
    this.bwLatest = Math.max(this.bwLatest, sample.deliveryRate);
    this.inflightLatest = Math.max(this.inflightLatest, deliveredSince(sample));
    if (sample.priorDeliveredBytes >= this.lossRoundDelivered) {
      this.lossRoundDelivered = this.delivered;
      this.isLossRoundStart = true;
    }
  }

  updateRound(sample: AckSample): void {
    this.isRoundStart = sample.priorDeliveredBytes >= this.nextRoundDelivered;
    if (!this.isRoundStart) return;
    this.startRound();
    this.roundCount++;
  }

  updateMaxBw(sample: AckSample): void {
    const { deliveryRate } = sample;
    if (deliveryRate > 0 && (deliveryRate >= this.maxBw || !sample.isAppLimited)) {
      this.maxBwFilter.update(this.cycleCount, deliveryRate);
    }
  }

  /** §5.5.10.3: reduces the short-term bounds after a round with too much loss. */
  adaptShortTermBounds(congestionWindowBytes: number): void {
    if (!this.hasLossInRound || !this.hasLostTooMuchInRound) return;
    if (this.bwShortTerm === Number.POSITIVE_INFINITY) this.bwShortTerm = this.maxBw;
    if (this.inflightShortTerm === Number.POSITIVE_INFINITY) this.inflightShortTerm = congestionWindowBytes;
    this.bwShortTerm = Math.max(this.bwLatest, BETA * this.bwShortTerm);
    this.inflightShortTerm = Math.max(this.inflightLatest, BETA * this.inflightShortTerm);
  }

  resetLossRound(): void {
    this.hasLossInRound = false;
    this.lossEventsInRound = 0;
    this.lostInRound = 0;
    this.ackedInRound = 0;
  }

  /** §5.5.9: measures how much more is acknowledged at once than the bandwidth explains. */
  updateAckAggregation(sample: AckSample, congestionWindowBytes: number): void {
    const elapsedMs = sample.nowMs - this.extraAckedStartMs;
    let expected = this.bw * elapsedMs;
    if (this.extraAckedDelivered <= expected) {
      this.restartAckAggregation(sample.nowMs);
      expected = 0;
    }
    this.extraAckedDelivered += sample.ackedBytes;
    const extra = Math.min(this.extraAckedDelivered - expected, congestionWindowBytes, MAX_EXTRA_ACKED_BYTES);
    this.extraAckedFilter.update(this.roundCount, Math.max(0, extra));
    this.extraAcked = this.extraAckedFilter.value;
  }

  /** §5.3.1.2: the pipe is full when three consecutive rounds bring no growth. */
  updateFullBw(sample: AckSample, isStartup: boolean): void {
    if (this.isFullBwNow || !this.isRoundStart || sample.isAppLimited) return;
    if (sample.deliveryRate >= this.fullBw * FULL_BW_GROWTH) {
      // A path whose delivery rate still grows is not full, so its losses are not caused by its
      // load.
      if (isStartup) this.lossFloor.add(this.lostInRound, this.ackedInRound);
      this.resetFullBw(sample.deliveryRate);
      return;
    }
    this.fullBwCount++;
    this.isFullBwNow = this.fullBwCount >= FULL_BW_ROUNDS;
    if (this.isFullBwNow) this.isFullBwReached = true;
  }

  updateMinRtt(sample: AckSample): void {
    const { nowMs, rttMs } = sample;
    this.isProbeRttDue = nowMs > this.probeRttMinAtMs + PROBE_RTT_INTERVAL_MS && this.probeRttMinAtMs > 0;
    if (rttMs >= 0 && (rttMs < this.probeRttMinMs || this.isProbeRttDue)) {
      this.probeRttMinMs = rttMs;
      this.probeRttMinAtMs = nowMs;
    } else if (rttMs >= 0 && rttMs <= this.probeRttMinMs + this.rttNoiseMs) {
      // Deviates: a round trip equal to the shortest, except for noise, shows an empty queue.
      // Halving the rate to drain the queue is then unnecessary; it costs 4 % on paths with long
      // round trips.
      this.probeRttMinAtMs = nowMs;
    }
    if (this.probeRttMinMs < this.minRttMs || nowMs > this.minRttAtMs + MIN_RTT_WINDOW_MS) {
      this.minRttMs = this.probeRttMinMs;
      this.minRttAtMs = this.probeRttMinAtMs;
    }
  }

  /** Runs after all phases: each loss round restarts the latest signals, and `bw` is bounded. */
  finishAck(sample: AckSample): void {
    if (this.isLossRoundStart) {
      this.bwLatest = sample.deliveryRate;
      this.inflightLatest = deliveredSince(sample);
    }
    this.bw = Math.min(this.maxBw, this.bwShortTerm);
  }

  // ------------------------------------------------------------------ losses

  /** @param isAnswered whether the end of a probe has already reacted to this loss */
  handleLoss(lost: LostPacket, isAnswered: boolean): void {
    this.nextPacketNumber = lost.nextPacketNumber;
    this.lossFloor.onLost(lost.packetNumber, lost.bytes);
    if (!isAnswered) this.lostInRound += lost.bytes;
    if (lost.packetNumber !== this.lastLostPacket + 1) this.lossEventsInRound++;
    this.lastLostPacket = lost.packetNumber;
    if (this.hasLossInRound) return;
    const { inflightLongTerm, inflightShortTerm, bwShortTerm } = this;
    this.undo = { inflightLongTerm, inflightShortTerm, bwShortTerm };
    // §5.6.4.4: the loss round ends when the packets sent from now on are acknowledged.
    this.lossRoundDelivered = this.delivered;
    this.hasLossInRound = true;
  }

  /** §5.5.10.3: restores the bounds from before the loss. */
  undoLoss(): void {
    const { undo } = this;
    if (undo === undefined) return;
    this.hasLossInRound = false;
    this.inflightLongTerm = Math.max(this.inflightLongTerm, undo.inflightLongTerm);
    this.inflightShortTerm = Math.max(this.inflightShortTerm, undo.inflightShortTerm);
    this.bwShortTerm = Math.max(this.bwShortTerm, undo.bwShortTerm);
    this.undo = undefined;
  }

  forgetUndo(): void {
    this.undo = undefined;
  }

  isTooMuch(lostBytes: number, flightBytes: number): boolean {
    return lostBytes > flightBytes * this.lossThreshold(flightBytes);
  }

  /**
   * §5.3.1.3: startup ends at the end of a round with enough separate losses and too much loss in
   * total.
   */
  get hasStartupHighLoss(): boolean {
    return this.hasLossInRound && this.lossEventsInRound >= STARTUP_LOSSES && this.hasLostTooMuchInRound;
  }

  /** Whether the round has already lost more than a whole flight of `flightBytes` may lose. */
  hasStartupOverflow(flightBytes: number): boolean {
    const bytes = Math.max(flightBytes, this.lostInRound + this.ackedInRound);
    return this.lossEventsInRound >= STARTUP_LOSSES && this.isTooMuch(this.lostInRound, bytes);
  }

  /**
   * §5.5.10.2: the largest amount that may have been in flight when the loss of `lost` became too
   * much.
   */
  inflightBeforeLoss(lost: LostPacket): number {
    const inFlightBefore = lost.txInFlightBytes - lost.bytes;
    const lostBefore = lost.lostSinceBytes - lost.bytes;
    const threshold = this.lossThreshold(lost.txInFlightBytes);
    return inFlightBefore + (threshold * inFlightBefore - lostBefore) / (1 - threshold);
  }

  // ------------------------------------------------------------------ updates by the phases

  startRound(): void {
    this.nextRoundDelivered = this.delivered;
  }

  /** The maximum filter drops the bandwidths of all probes before the last. */
  startBwCycle(): void {
    this.cycleCount++;
  }

  resetFullBw(deliveryRate: number): void {
    this.fullBw = deliveryRate;
    this.fullBwCount = 0;
    this.isFullBwNow = false;
  }

  resetDeliverySignals(): void {
    this.hasLossInRound = false;
    this.bwLatest = 0;
    this.inflightLatest = 0;
  }

  resetShortTermBounds(): void {
    this.bwShortTerm = Number.POSITIVE_INFINITY;
    this.inflightShortTerm = Number.POSITIVE_INFINITY;
  }

  /** Bounds the volume by what the path held in the round whose losses ended startup. */
  boundInflightByStartup(): void {
    this.inflightLongTerm = Math.max(this.bdp(1), this.inflightLatest);
  }

  restartAckAggregation(nowMs: number): void {
    this.extraAckedStartMs = nowMs;
    this.extraAckedDelivered = 0;
  }

  /** The queue was drained on purpose, so the shortest round trip is current. */
  confirmMinRtt(nowMs: number): void {
    this.probeRttMinAtMs = nowMs;
  }

  private get hasLostTooMuchInRound(): boolean {
    return this.isTooMuch(this.lostInRound, this.lostInRound + this.ackedInRound);
  }

  private get rttNoiseMs(): number {
    return Math.max(RTT_NOISE_MS, RTT_NOISE * this.probeRttMinMs);
  }

  /** The share of a flight of `flightBytes` that may be lost before the load counts as too high. */
  private lossThreshold(flightBytes: number): number {
    return LOSS_THRESHOLD + this.lossFloor.share(flightBytes / this.datagramBytes);
  }
}

function deliveredSince(sample: AckSample): number {
  return sample.deliveredBytes - sample.priorDeliveredBytes;
}

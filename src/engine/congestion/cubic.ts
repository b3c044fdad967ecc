/**
 * CUBIC with HyStart++.  // RFC 9438, RFC 9406
 *
 * Windows are bytes in the interface and segments (of the datagram size) in the cubic function, as
 * in the RFC.
 */
import {
  type AckSample,
  type CongestionController,
  initialWindowBytes,
  type LostPacket,
  minimumWindowBytes,
} from "./congestion.ts";
import { HyStart } from "./hystart.ts";

/** Steepness of the cubic function, segments per s³.  // RFC 9438 §5 */
const C = 0.4;
/** Factor applied to the window after a loss.  // RFC 9438 §4.6 */
const BETA = 0.7;
/** Growth per round trip with which a Reno flow is as aggressive as CUBIC.  // RFC 9438 §4.3 */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
/**
 * The pacing rate exceeds the window's rate by this factor, so that the window is the limit.
 * // RFC 9002 §7.7
 */
const PACING_GAIN = 1.25;
const PACING_GAIN_SLOW_START = 2;

interface Snapshot {
  windowBytes: number;
  ssthreshBytes: number;
  maxSegments: number;
  priorMaxSegments: number;
  epochStartMs: number;
  originMs: number;
  renoSegments: number;
}

export class Cubic implements CongestionController {
  readonly name = "cubic";
  congestionWindowBytes: number;
  ssthreshBytes: number = Number.POSITIVE_INFINITY;
  pacingRate: number = Number.POSITIVE_INFINITY;

  private datagramBytes: number;
  private hystart: HyStart = new HyStart();
  /** Losses of packets sent before this time belong to a loss event that was already handled. */
  private recoveryStartMs = Number.NEGATIVE_INFINITY;
  /** W_max, and its value before the last loss, segments. */
  private maxSegments = 0;
  private priorMaxSegments = 0;
  /** Start of the current congestion-avoidance stage; −1 before its first acknowledgement. */
  private epochStartMs = -1;
  /** K: time from the start until the function reaches W_max, ms. */
  private originMs = 0;
  /** W_est: the window that Reno would have by now, segments. */
  private renoSegments = 0;
  private before: Snapshot | undefined;

  constructor(datagramBytes: number) {
    this.datagramBytes = datagramBytes;
    this.congestionWindowBytes = initialWindowBytes(datagramBytes);
  }

  get phase(): string {
    if (this.congestionWindowBytes >= this.ssthreshBytes) return "congestionAvoidance";
    return this.hystart.isConservative ? "conservativeSlowStart" : "slowStart";
  }

  onSent(): void {}

  onAcknowledged(sample: AckSample): void {
    this.updatePacing(sample.smoothedRttMs);
    if (sample.largestAckedSentAtMs <= this.recoveryStartMs || sample.isAppLimited) return;
    if (this.congestionWindowBytes < this.ssthreshBytes) this.slowStart(sample);
    else this.avoidCongestion(sample);
  }

  onLost(lost: LostPacket): void {
    if (lost.sentAtMs <= this.recoveryStartMs) return;
    this.before = this.snapshot();
    this.recoveryStartMs = lost.nowMs;
    const segments = this.congestionWindowBytes / this.datagramBytes;
    this.priorMaxSegments = this.maxSegments;
    // RFC 9438 §4.7, fast convergence: a flow with a loss before it regained W_max releases
    // bandwidth for others.
    this.maxSegments = segments < this.priorMaxSegments ? (segments * (1 + BETA)) / 2 : segments;
    this.congestionWindowBytes = Math.max(
      this.congestionWindowBytes * BETA,
      minimumWindowBytes(this.datagramBytes),
    );
    this.ssthreshBytes = this.congestionWindowBytes;
    this.epochStartMs = -1;
  }

  onPersistentCongestion(): void {
    this.congestionWindowBytes = minimumWindowBytes(this.datagramBytes);
    this.epochStartMs = -1;
    this.recoveryStartMs = Number.NEGATIVE_INFINITY;
    this.before = undefined;
  }

  onSpuriousLoss(): void {
    const { before } = this;
    // RFC 9438 §4.9.2: restore the window after a spurious loss, unless it has grown larger since.
    if (before === undefined || before.windowBytes <= this.congestionWindowBytes) return;
    this.congestionWindowBytes = before.windowBytes;
    this.ssthreshBytes = before.ssthreshBytes;
    this.maxSegments = before.maxSegments;
    this.priorMaxSegments = before.priorMaxSegments;
    this.epochStartMs = before.epochStartMs;
    this.originMs = before.originMs;
    this.renoSegments = before.renoSegments;
    this.recoveryStartMs = Number.NEGATIVE_INFINITY;
    this.before = undefined;
  }

  onDatagramBytes(bytes: number): void {
    const ratio = bytes / this.datagramBytes;
    this.datagramBytes = bytes;
    // W_max and W_est are in segments, so scale them to keep their size in bytes.
    this.maxSegments /= ratio;
    this.priorMaxSegments /= ratio;
    this.renoSegments /= ratio;
    this.congestionWindowBytes = Math.max(this.congestionWindowBytes, minimumWindowBytes(bytes));
  }

  private slowStart(sample: AckSample): void {
    const ended = this.hystart.onAcknowledged(sample.largestAcked, sample.nextPacketNumber, sample.rttMs);
    this.congestionWindowBytes += sample.ackedBytes / this.hystart.growthDivisor;
    if (ended) this.ssthreshBytes = this.congestionWindowBytes;
  }

  private avoidCongestion(sample: AckSample): void {
    const segments = this.congestionWindowBytes / this.datagramBytes;
    if (this.epochStartMs < 0) {
      this.epochStartMs = sample.nowMs;
      this.renoSegments = segments;
      if (this.maxSegments <= segments) {
        this.maxSegments = segments;
        this.originMs = 0;
      } else this.originMs = 1000 * Math.cbrt((this.maxSegments - segments) / C);
    }
    const elapsedMs = sample.nowMs - this.epochStartMs;
    const ackedSegments = sample.ackedBytes / this.datagramBytes;
    // RFC 9438 §4.3: Reno's growth, faster once the window exceeds W_max.
    const alpha = this.renoSegments >= this.maxSegments ? 1 : ALPHA;
    this.renoSegments += (alpha * ackedSegments) / segments;
    if (this.cubicSegments(elapsedMs) < this.renoSegments) {
      this.congestionWindowBytes = Math.max(
        this.congestionWindowBytes,
        this.renoSegments * this.datagramBytes,
      );
      return;
    }
    // RFC 9438 §4.2, §4.4: the target is the function one round trip from now, at most 1.5 times
    // the window.
    const aim = Math.min(
      Math.max(this.cubicSegments(elapsedMs + sample.smoothedRttMs), segments),
      1.5 * segments,
    );
    this.congestionWindowBytes += ((aim - segments) / segments) * sample.ackedBytes;
  }

  /** W_cubic(t), segments.  // RFC 9438 §4.2 */
  private cubicSegments(elapsedMs: number): number {
    return C * ((elapsedMs - this.originMs) / 1000) ** 3 + this.maxSegments;
  }

  private updatePacing(smoothedRttMs: number): void {
    const gain = this.congestionWindowBytes < this.ssthreshBytes ? PACING_GAIN_SLOW_START : PACING_GAIN;
    this.pacingRate = (gain * this.congestionWindowBytes) / Math.max(smoothedRttMs, 0.05);
  }

  private snapshot(): Snapshot {
    return {
      windowBytes: this.congestionWindowBytes,
      ssthreshBytes: this.ssthreshBytes,
      maxSegments: this.maxSegments,
      priorMaxSegments: this.priorMaxSegments,
      epochStartMs: this.epochStartMs,
      originMs: this.originMs,
      renoSegments: this.renoSegments,
    };
  }
}

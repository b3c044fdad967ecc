/**
 * BBRv3: uses a model of the path (bandwidth, round trip, capacity) instead of loss as the only
 * signal.  // draft-ietf-ccwg-bbr; section numbers below are the draft's
 *
 * This file is the controller: its phases, and the window and rate that follow from phase and
 * model. `bbr-model.ts` has the measurements, `bbr-probing.ts` the probe for bandwidth.
 *
 * Deviates from the draft in its reaction to loss, because a path may lose packets independently of
 * its load (radio, 1–5 %). The share that is lost while the connection sends less than the path
 * delivers is measured (`loss-floor.ts`) and treated as independent of load. A round reduces the
 * short-term model only if it loses more than that share and the draft's threshold; the draft
 * reacts to any loss. Without a measurement the draft's 2 % apply unchanged. docs/decisions.md has
 * the figures.
 */
import { BbrModel, BETA } from "./bbr-model.ts";
import { BandwidthProbe } from "./bbr-probing.ts";
import {
  type AckSample,
  type CongestionController,
  initialWindowBytes,
  type LostPacket,
} from "./congestion.ts";

/** §2.5, §5.6: gains by phase. */
const STARTUP_PACING_GAIN = 2.77;
const DRAIN_PACING_GAIN = 0.5;
const DOWN_PACING_GAIN = 0.9;
const UP_PACING_GAIN = 1.25;
const CWND_GAIN = 2;
const UP_CWND_GAIN = 2.25;
const PROBE_RTT_CWND_GAIN = 0.5;
/**
 * §2.4: the pacing rate stays this far below the estimate, so that queues drain instead of growing.
 */
const PACING_MARGIN = 0.01;
const PROBE_RTT_DURATION_MS = 200;

type Phase = "startup" | "drain" | "probeDown" | "cruise" | "refill" | "probeUp" | "probeRtt";

export class Bbr implements CongestionController {
  readonly name = "bbr";
  readonly ssthreshBytes: number = Number.POSITIVE_INFINITY;
  congestionWindowBytes: number;
  pacingRate: number = Number.POSITIVE_INFINITY;
  phase: Phase = "startup";

  private readonly model: BbrModel;
  private readonly probe: BandwidthProbe;
  private pacingGain = STARTUP_PACING_GAIN;
  private cwndGain = CWND_GAIN;
  private inFlightBytes = 0;
  /** The last round in which the window, not the application, was the limit. */
  private cwndLimitedRound = -1;
  /**
   * Packets below this number were sent by the last probe for bandwidth or earlier, startup
   * included.
   */
  private probeEndPacket = 0;
  /** Sending resumed after an idle period. */
  private isRestarting = false;

  // The probe for the round trip, §5.3.4
  private probeRttDoneAtMs = 0;
  private isProbeRttRoundDone = false;
  private priorCwndBytes = 0;

  /** @param random a number in [0, 1), to spread the probes */
  constructor(datagramBytes: number, random: () => number) {
    this.model = new BbrModel(datagramBytes);
    this.probe = new BandwidthProbe(this.model, random);
    this.congestionWindowBytes = initialWindowBytes(datagramBytes);
  }

  onSent(
    nowMs: number,
    _packetNumber: number,
    bytes: number,
    inFlightBytes: number,
    isAppLimited: boolean,
  ): void {
    const { model } = this;
    // §5.4.1: after an idle period the pipe is empty, so there is no reason to probe.
    if (inFlightBytes === bytes && isAppLimited && model.delivered > 0) {
      this.isRestarting = true;
      model.restartAckAggregation(nowMs);
      if (this.isInProbeBw) this.setPacingRate(1);
      else if (this.phase === "probeRtt") this.checkProbeRttDone(nowMs);
    }
    this.inFlightBytes = inFlightBytes;
    if (inFlightBytes + model.datagramBytes > this.congestionWindowBytes)
      this.cwndLimitedRound = model.roundCount;
  }

  onAcknowledged(sample: AckSample): void {
    const { model } = this;
    this.inFlightBytes = sample.inFlightBytes;
    model.handleAck(sample);
    model.updateDeliverySignals(sample);
    model.updateRound(sample);
    model.updateMaxBw(sample);
    if (model.isLossRoundStart) {
      if (!this.isProbing) model.adaptShortTermBounds(this.congestionWindowBytes);
      this.checkStartupHighLoss(sample);
      model.resetLossRound();
    }
    model.updateAckAggregation(sample, this.congestionWindowBytes);
    model.updateFullBw(sample, this.phase === "startup");
    this.checkStartupDone();
    this.checkDrainDone(sample);
    this.updateProbeBwCycle(sample);
    model.updateMinRtt(sample);
    this.checkProbeRtt(sample);
    model.finishAck(sample);
    this.setPacingRate(this.pacingGain);
    this.setCwnd(sample);
  }

  onLost(lost: LostPacket): void {
    const { model, probe } = this;
    this.inFlightBytes = lost.inFlightBytes;
    // Deviates: the end of a probe has already reacted to the excess that the probe sent. If this
    // loss were attributed to the slower sending after the probe, it would reduce the bandwidth to
    // what drain delivers, until the next probe seconds later.
    model.handleLoss(lost, lost.packetNumber < this.probeEndPacket && !this.isProbing);
    this.checkStartupOverflow(lost);
    // §5.5.10.2
    if (!probe.areSamplesOfProbe || !model.isTooMuch(lost.lostSinceBytes, lost.txInFlightBytes)) return;
    this.onInflightTooHigh(lost.nowMs, model.inflightBeforeLoss(lost), lost.isAppLimited);
  }

  onPersistentCongestion(): void {
    this.congestionWindowBytes = this.model.minPipeBytes;
    this.model.forgetUndo();
  }

  onSpuriousLoss(): void {
    this.model.undoLoss();
  }

  onDatagramBytes(bytes: number): void {
    this.model.datagramBytes = bytes;
    this.congestionWindowBytes = Math.max(this.congestionWindowBytes, this.model.minPipeBytes);
  }

  private get isInProbeBw(): boolean {
    const { phase } = this;
    return phase === "probeDown" || phase === "cruise" || phase === "refill" || phase === "probeUp";
  }

  private get isProbing(): boolean {
    return this.phase === "startup" || this.phase === "refill" || this.phase === "probeUp";
  }

  private enter(phase: Phase, pacingGain: number, cwndGain: number): void {
    const { lossFloor, nextPacketNumber } = this.model;
    if (this.isProbing) this.probeEndPacket = nextPacketNumber;
    this.phase = phase;
    this.pacingGain = pacingGain;
    this.cwndGain = cwndGain;
    // Sending less than the path delivers fills no queue, so losses meanwhile are not due to load.
    if (phase === "drain" || phase === "probeDown" || phase === "probeRtt") lossFloor.begin(nextPacketNumber);
    else lossFloor.end(nextPacketNumber);
  }

  // ------------------------------------------------------------------ startup and drain, §5.3.1, §5.3.2

  private checkStartupHighLoss(sample: AckSample): void {
    const { model } = this;
    if (this.phase !== "startup" || model.isFullBwReached || sample.isAppLimited) return;
    if (!model.hasStartupHighLoss) return;
    model.isFullBwReached = true;
    model.boundInflightByStartup();
  }

  /**
   * Deviates: the draft checks at the end of the round. Once more is lost than a whole flight may
   * lose, the result is certain, and startup would keep sending 1.8 times what the path carries
   * until the round ends. The probes determine how much the path holds, because the round that
   * would measure it is not over.
   */
  private checkStartupOverflow(lost: LostPacket): void {
    const { model } = this;
    if (this.phase !== "startup" || model.isFullBwReached || lost.isAppLimited) return;
    if (model.hasStartupOverflow(lost.txInFlightBytes)) model.isFullBwReached = true;
  }

  private checkStartupDone(): void {
    if (this.phase !== "startup" || !this.model.isFullBwReached) return;
    this.enter("drain", DRAIN_PACING_GAIN, CWND_GAIN);
  }

  private checkDrainDone(sample: AckSample): void {
    if (this.phase !== "drain" || this.inFlightBytes > this.quantized(this.model.bdp(1))) return;
    this.startDown(sample.nowMs);
  }

  // ------------------------------------------------------------------ probing for bandwidth, §5.3.3

  private startDown(nowMs: number): void {
    this.probe.startDown(nowMs);
    this.enter("probeDown", DOWN_PACING_GAIN, CWND_GAIN);
  }

  private startCruise(): void {
    this.enter("cruise", 1, CWND_GAIN);
  }

  private startRefill(): void {
    this.probe.startRefill();
    this.enter("refill", 1, CWND_GAIN);
  }

  private startUp(sample: AckSample): void {
    this.probe.startUp(sample, this.congestionWindowBytes);
    this.enter("probeUp", UP_PACING_GAIN, UP_CWND_GAIN);
  }

  private updateProbeBwCycle(sample: AckSample): void {
    if (!this.model.isFullBwReached) return;
    this.adaptLongTermBound(sample);
    switch (this.phase) {
      case "probeDown":
        if (this.isTimeToProbe(sample.nowMs)) this.startRefill();
        else if (this.isTimeToCruise()) this.startCruise();
        return;
      case "cruise":
        if (this.isTimeToProbe(sample.nowMs)) this.startRefill();
        return;
      case "refill":
        // After one round the pipe is full: samples from now on belong to the probe.
        if (this.model.isRoundStart) this.startUp(sample);
        return;
      case "probeUp":
        if (this.isTimeToGoDown(sample)) this.startDown(sample.nowMs);
    }
  }

  private isTimeToProbe(nowMs: number): boolean {
    return this.probe.isDue(nowMs, this.targetInflightBytes);
  }

  private isTimeToCruise(): boolean {
    const { model, inFlightBytes } = this;
    return (
      inFlightBytes <= model.inflightWithHeadroom &&
      inFlightBytes <= this.quantized(model.bdp(1, model.maxBw))
    );
  }

  private isTimeToGoDown(sample: AckSample): boolean {
    const { model } = this;
    if (this.isCwndLimited && this.congestionWindowBytes >= model.inflightLongTerm) {
      model.resetFullBw(sample.deliveryRate);
      return false;
    }
    return model.isFullBwNow;
  }

  private get isCwndLimited(): boolean {
    return this.cwndLimitedRound >= this.model.roundCount - 1;
  }

  private get targetInflightBytes(): number {
    return Math.min(this.model.bdp(1), this.congestionWindowBytes);
  }

  private adaptLongTermBound(sample: AckSample): void {
    const { model, probe } = this;
    const { lostSinceBytes, txInFlightBytes } = sample;
    probe.updateAckPhase(sample, this.isInProbeBw);
    if (model.isTooMuch(lostSinceBytes, txInFlightBytes)) {
      if (probe.areSamplesOfProbe) this.onInflightTooHigh(sample.nowMs, txInFlightBytes, sample.isAppLimited);
      return;
    }
    if (model.inflightLongTerm === Number.POSITIVE_INFINITY) return;
    if (txInFlightBytes > model.inflightLongTerm) model.inflightLongTerm = txInFlightBytes;
    const isAtBound = this.isCwndLimited && this.congestionWindowBytes >= model.inflightLongTerm;
    if (this.phase === "probeUp" && isAtBound) probe.growInflight(sample, this.congestionWindowBytes);
  }

  private onInflightTooHigh(nowMs: number, inFlightBytes: number, isAppLimited: boolean): void {
    this.probe.areSamplesOfProbe = false;
    if (!isAppLimited) this.model.inflightLongTerm = Math.max(inFlightBytes, this.targetInflightBytes * BETA);
    if (this.phase === "probeUp") this.startDown(nowMs);
  }

  // ------------------------------------------------------------------ probing for the round trip, §5.3.4

  private checkProbeRtt(sample: AckSample): void {
    const { model, probe } = this;
    const { nowMs } = sample;
    if (this.phase !== "probeRtt" && model.isProbeRttDue && !this.isRestarting) {
      this.priorCwndBytes = this.congestionWindowBytes;
      this.enter("probeRtt", 1, PROBE_RTT_CWND_GAIN);
      this.probeRttDoneAtMs = 0;
      probe.stop();
    }
    if (this.phase === "probeRtt") {
      if (this.probeRttDoneAtMs === 0 && this.inFlightBytes <= this.probeRttCwndBytes) {
        this.probeRttDoneAtMs = nowMs + PROBE_RTT_DURATION_MS;
        this.isProbeRttRoundDone = false;
        model.startRound();
      } else if (this.probeRttDoneAtMs !== 0) {
        if (model.isRoundStart) this.isProbeRttRoundDone = true;
        if (this.isProbeRttRoundDone) this.checkProbeRttDone(nowMs);
      }
    }
    this.isRestarting = false;
  }

  private checkProbeRttDone(nowMs: number): void {
    const { model } = this;
    if (this.probeRttDoneAtMs === 0 || nowMs <= this.probeRttDoneAtMs) return;
    model.confirmMinRtt(nowMs);
    this.congestionWindowBytes = Math.max(this.congestionWindowBytes, this.priorCwndBytes);
    model.resetShortTermBounds();
    if (model.isFullBwReached) {
      this.startDown(nowMs);
      this.startCruise();
    } else this.enter("startup", STARTUP_PACING_GAIN, CWND_GAIN);
  }

  private get probeRttCwndBytes(): number {
    return Math.max(this.model.bdp(PROBE_RTT_CWND_GAIN), this.model.minPipeBytes);
  }

  // ------------------------------------------------------------------ control parameters, §5.6

  /** §5.6.4.2: adds room for what timers and batches send at once. */
  private quantized(inflightBytes: number): number {
    const { datagramBytes, minPipeBytes } = this.model;
    const quantum = Math.max(2 * datagramBytes, Math.min(this.pacingRate, 65_536));
    const floor = Math.max(inflightBytes, 3 * quantum, minPipeBytes);
    return this.phase === "probeUp" ? floor + 2 * datagramBytes : floor;
  }

  private setPacingRate(gain: number): void {
    const { model, pacingRate } = this;
    const rate = gain * model.bw * (1 - PACING_MARGIN);
    if (rate <= 0) return;
    if (model.isFullBwReached || rate > pacingRate || pacingRate === Number.POSITIVE_INFINITY)
      this.pacingRate = rate;
  }

  private setCwnd(sample: AckSample): void {
    const { model, phase } = this;
    const maxInflightBytes = this.quantized(model.bdp(this.cwndGain) + model.extraAcked);
    let cwnd = this.congestionWindowBytes;
    if (model.isFullBwReached) cwnd = Math.min(cwnd + sample.ackedBytes, maxInflightBytes);
    else if (cwnd < maxInflightBytes || model.delivered < initialWindowBytes(model.datagramBytes))
      cwnd += sample.ackedBytes;
    cwnd = Math.max(cwnd, model.minPipeBytes);
    if (phase === "probeRtt") cwnd = Math.min(cwnd, this.probeRttCwndBytes);
    this.congestionWindowBytes = Math.min(cwnd, this.cwndBoundBytes);
  }

  /** The model's upper bound on the window, by phase. */
  private get cwndBoundBytes(): number {
    const { model, phase } = this;
    let bound = Number.POSITIVE_INFINITY;
    if (phase === "cruise" || phase === "probeRtt") bound = model.inflightWithHeadroom;
    else if (this.isInProbeBw) bound = model.inflightLongTerm;
    return Math.max(Math.min(bound, model.inflightShortTerm), model.minPipeBytes);
  }
}

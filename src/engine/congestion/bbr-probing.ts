/**
 * BBR's probe for bandwidth: when a probe is due, which samples belong to it, and how fast the
 * volume in flight may grow during it.  // draft-ietf-ccwg-bbr §5.3.3
 *
 * `bbr.ts` moves through the phases; this class keeps the state of a cycle between phases.
 */
import type { BbrModel } from "./bbr-model.ts";
import type { AckSample } from "./congestion.ts";

/**
 * Time between probes, and the maximum number of rounds between them: Reno would have recovered by
 * then.
 */
const PROBE_WAIT_MS = 2000;
const PROBE_WAIT_SPREAD_MS = 1000;
const MAX_RENO_ROUNDS = 63;
/**
 * Maximum number of doublings of the slope. At the maximum, the volume grows by a datagram for each
 * one acknowledged.
 */
const MAX_UP_ROUNDS = 30;

/** The phase in which the packets were sent that are acknowledged now. */
type AckPhase = "init" | "refilling" | "starting" | "feedback" | "stopping";

export class BandwidthProbe {
  /** The acknowledged packets were sent by the probe. */
  areSamplesOfProbe = false;
  private readonly model: BbrModel;
  private readonly random: () => number;
  private ackPhase: AckPhase = "init";
  private startedAtMs = 0;
  private waitMs = 0;
  /** The round from which the wait for the next probe is counted. */
  private startedAtRound = 0;
  private upRounds = 0;
  private upAckedBytes = 0;
  /** Bytes that must be acknowledged before the volume may grow by one datagram. */
  private upStepBytes: number = Number.POSITIVE_INFINITY;

  /** @param random a number in [0, 1), to spread the probes */
  constructor(model: BbrModel, random: () => number) {
    this.model = model;
    this.random = random;
  }

  startDown(nowMs: number): void {
    const { model } = this;
    model.resetDeliverySignals();
    this.upStepBytes = Number.POSITIVE_INFINITY;
    this.startedAtRound = model.roundCount - (this.random() < 0.5 ? 0 : 1);
    this.waitMs = PROBE_WAIT_MS + this.random() * PROBE_WAIT_SPREAD_MS;
    this.startedAtMs = nowMs;
    this.stop();
  }

  startRefill(): void {
    this.model.resetShortTermBounds();
    this.upRounds = 0;
    this.upAckedBytes = 0;
    this.ackPhase = "refilling";
    this.model.startRound();
  }

  startUp(sample: AckSample, congestionWindowBytes: number): void {
    this.areSamplesOfProbe = true;
    this.ackPhase = "starting";
    this.model.startRound();
    this.model.resetFullBw(sample.deliveryRate);
    this.raiseSlope(congestionWindowBytes);
  }

  /** The probe ends. Samples of its packets continue to arrive for a round. */
  stop(): void {
    this.ackPhase = "stopping";
    this.model.startRound();
  }

  /**
   * @param targetInflightBytes the amount that Reno would have in flight, which determines how soon
   * it would recover
   */
  isDue(nowMs: number, targetInflightBytes: number): boolean {
    if (nowMs > this.startedAtMs + this.waitMs) return true;
    const renoRounds = Math.min(targetInflightBytes / this.model.datagramBytes, MAX_RENO_ROUNDS);
    return this.model.roundCount - this.startedAtRound >= renoRounds;
  }

  /** Called once per acknowledgement: determines in which phase its packets were sent. */
  updateAckPhase(sample: AckSample, isInProbeBw: boolean): void {
    const { model } = this;
    if (!model.isRoundStart) return;
    if (this.ackPhase === "starting") this.ackPhase = "feedback";
    else if (this.ackPhase === "stopping") {
      this.areSamplesOfProbe = false;
      this.ackPhase = "init";
      if (isInProbeBw && !sample.isAppLimited) model.startBwCycle();
    }
  }

  /** Raises the long-term bound while the window limits the probe. */
  growInflight(sample: AckSample, congestionWindowBytes: number): void {
    const { model } = this;
    this.upAckedBytes += sample.ackedBytes;
    if (this.upAckedBytes >= this.upStepBytes) {
      const steps = Math.floor(this.upAckedBytes / this.upStepBytes);
      this.upAckedBytes -= steps * this.upStepBytes;
      model.inflightLongTerm += steps * model.datagramBytes;
    }
    if (model.isRoundStart) this.raiseSlope(congestionWindowBytes);
  }

  private raiseSlope(congestionWindowBytes: number): void {
    const growthPackets = 2 ** this.upRounds;
    this.upRounds = Math.min(this.upRounds + 1, MAX_UP_ROUNDS);
    this.upStepBytes = Math.max(congestionWindowBytes / growthPackets, this.model.datagramBytes);
  }
}

/**
 * BBR's probe for bandwidth: when one is due, which samples are of it, and how fast the volume in flight may grow
 * while it lasts.  // draft-ietf-ccwg-bbr §5.3.3
 *
 * `bbr.ts` moves through the phases; this keeps what a cycle remembers from one phase to the next.
 */
import type { BbrModel } from "./bbr-model.ts";
import type { AckSample } from "./congestion.ts";

/** Time between probes, and the round count at which Reno would be back. */
const PROBE_WAIT_MS = 2000;
const PROBE_WAIT_SPREAD_MS = 1000;
const MAX_RENO_ROUNDS = 63;
/** Beyond this many doublings the slope is a datagram for each one acknowledged. */
const MAX_UP_ROUNDS = 30;

/** What the acknowledgements that arrive now were sent in. */
type AckPhase = "init" | "refilling" | "starting" | "feedback" | "stopping";

export class BandwidthProbe {
  /** Samples are of packets that the probe sent. */
  areSamplesOfProbe = false;
  private readonly model: BbrModel;
  private readonly random: () => number;
  private ackPhase: AckPhase = "init";
  private startedAtMs = 0;
  private waitMs = 0;
  /** Round from which the wait for the next probe counts. */
  private startedAtRound = 0;
  private upRounds = 0;
  private upAckedBytes = 0;
  /** Bytes to acknowledge for each datagram that the volume may grow by. */
  private upStepBytes: number = Number.POSITIVE_INFINITY;

  /** @param random a number in [0, 1), for the spread of probes */
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

  /** The probe is over; samples of it go on arriving for a round. */
  stop(): void {
    this.ackPhase = "stopping";
    this.model.startRound();
  }

  /** @param targetInflightBytes what Reno would hold in flight, which says how soon it would be back */
  isDue(nowMs: number, targetInflightBytes: number): boolean {
    if (nowMs > this.startedAtMs + this.waitMs) return true;
    const renoRounds = Math.min(targetInflightBytes / this.model.datagramBytes, MAX_RENO_ROUNDS);
    return this.model.roundCount - this.startedAtRound >= renoRounds;
  }

  /** Once for each acknowledgement: which phase its packets were sent in. */
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

  /** Raises the long-term bound while the window is what limits the probe. */
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

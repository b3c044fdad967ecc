/**
 * The congestion controllers under any sequence of calls that an engine could make, sensible or not: zero and
 * endless round trips, standing and leaping clocks, losses without end, datagram sizes that change.
 */
import { type AckSample, emptySample, type LostPacket } from "../../src/engine/congestion/congestion.ts";
import { CheckedController } from "./checked-controller.ts";
import type { FuzzTarget } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const SIZES = [1200, 1280, 1452, 1472, 8948, 65_507] as const;
const STEPS_MS = [0, 0.001, 0.3, 5, 40, 1000, 3_600_000] as const;

class Calls {
  private readonly random: Xorshift;
  private readonly controller: CheckedController;
  private readonly sample: AckSample;
  private readonly lost: LostPacket;
  private nowMs = 0;
  private packetNumber = 0;
  private inFlight = 0;
  private delivered = 0;
  private lostTotal = 0;
  private datagramBytes = 1200;
  private readonly stepMs: number;
  private readonly rttMs: number;
  private minRttMs = Number.POSITIVE_INFINITY;

  constructor(random: Xorshift) {
    this.random = random;
    this.controller = new CheckedController(random);
    this.stepMs = random.pick(STEPS_MS);
    this.rttMs = random.pick([0, 0.01, 1, 20, 300, 5000]);
    this.sample = emptySample();
    this.lost = {
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
  }

  step(): void {
    const { random, controller } = this;
    if (random.oneIn(2)) this.nowMs += this.stepMs * random.unit();
    switch (random.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        this.send();
        return;
      case 5:
      case 6:
      case 7:
      case 8:
      case 9:
        if (this.inFlight > 0) this.acknowledge();
        return;
      case 10:
      case 11:
        if (this.inFlight > 0) this.lose();
        return;
      case 12:
        if (controller.losses > 0 && random.oneIn(2)) controller.onSpuriousLoss(this.nowMs);
        return;
      case 13:
        if (random.oneIn(4)) controller.onPersistentCongestion(this.nowMs);
        return;
      case 14:
        if (!random.oneIn(4)) return;
        this.datagramBytes = random.pick(SIZES);
        controller.onDatagramBytes(this.datagramBytes);
        return;
      default:
        if (random.oneIn(4)) this.nowMs += random.pick(STEPS_MS);
    }
  }

  private send(): void {
    const { random } = this;
    for (let packets = 1 + random.below(20); packets > 0; packets--) {
      const bytes = random.oneIn(4) ? 40 + random.below(1000) : this.datagramBytes;
      this.inFlight += bytes;
      this.controller.onSent(this.nowMs, this.packetNumber++, bytes, this.inFlight, random.oneIn(6));
    }
  }

  private acknowledge(): void {
    const { random, sample } = this;
    const acked = random.oneIn(3) ? this.inFlight : 1 + random.below(this.inFlight);
    const rttMs = this.rttMs * (random.oneIn(8) ? random.unit() * 10 : 1 + random.unit() / 10);
    this.minRttMs = Math.min(this.minRttMs, rttMs);
    const flightMs = random.oneIn(5) ? random.unit() : rttMs + this.stepMs * random.unit();
    sample.nowMs = this.nowMs;
    sample.ackedBytes = acked;
    sample.priorInFlightBytes = this.inFlight;
    this.inFlight -= acked;
    this.delivered += acked;
    sample.inFlightBytes = this.inFlight;
    sample.newlyLostBytes = random.oneIn(4) ? random.below(20_000) : 0;
    sample.largestAcked = random.below(this.packetNumber);
    sample.nextPacketNumber = this.packetNumber;
    sample.largestAckedSentAtMs = Math.max(0, this.nowMs - flightMs);
    sample.rttMs = random.oneIn(8) ? -1 : rttMs;
    sample.smoothedRttMs = Math.max(rttMs, this.minRttMs);
    sample.minRttMs = this.minRttMs;
    sample.isAppLimited = random.oneIn(6);
    sample.deliveredBytes = this.delivered;
    sample.priorDeliveredBytes = random.oneIn(4) ? this.delivered - acked : random.below(this.delivered);
    sample.txInFlightBytes = acked + random.below(1_000_000);
    sample.lostSinceBytes = random.oneIn(3) ? random.below(this.lostTotal + 1) : 0;
    const bytes = this.delivered - sample.priorDeliveredBytes;
    sample.deliveryRate = random.oneIn(8) || flightMs <= 0 ? 0 : bytes / flightMs;
    this.controller.onAcknowledged(sample);
  }

  private lose(): void {
    const { random, lost } = this;
    let first = random.below(this.packetNumber);
    for (
      let packets = random.oneIn(6) ? 200 : 1 + random.below(3);
      packets > 0 && this.inFlight > 0;
      packets--
    ) {
      const bytes = Math.min(this.inFlight, this.datagramBytes);
      this.inFlight -= bytes;
      this.lostTotal += bytes;
      lost.nowMs = this.nowMs;
      lost.packetNumber = first++;
      lost.bytes = bytes;
      lost.sentAtMs = Math.max(0, this.nowMs - this.rttMs * random.unit() * 2);
      lost.nextPacketNumber = this.packetNumber;
      lost.txInFlightBytes = bytes + random.below(1_000_000);
      lost.lostSinceBytes = bytes + random.below(this.lostTotal + 1);
      lost.inFlightBytes = this.inFlight;
      lost.isAppLimited = random.oneIn(6);
      this.controller.onLost(lost);
    }
  }
}

export const controllers: FuzzTarget = {
  name: "controllers",
  inputsPerRun: 1000,
  weight: 10,
  run(random) {
    const calls = new Calls(random);
    for (let input = 0; input < this.inputsPerRun; input++) calls.step();
  },
};

/**
 * BBRv3: a model of the path (its bandwidth, its round trip, how much it holds) instead of loss as the only
 * signal.  // draft-ietf-ccwg-bbr; section numbers below are the draft's
 *
 * The model is long-term (maxBw, inflightLongterm: what probing found) and short-term (bwShortterm,
 * inflightShortterm: what loss since the last probe takes away). Names follow the draft; bandwidths are
 * bytes per ms, times ms.
 *
 * Deviates from the draft where loss is concerned, because a path may lose packets that have nothing to do
 * with its load (radio, 1–5 %): the share that is lost even while we send less than the path delivers is
 * measured (loss-floor.ts) and taken as given, and a round takes the short-term model down only when more is lost than
 * that and the draft's threshold, where the draft reacts to any loss. With nothing measured the
 * draft's 2 % stand as they are. docs/decisions.md has the figures.
 */
import {
  type AckSample,
  type CongestionController,
  initialWindowBytes,
  type LostPacket,
} from "./congestion.ts";
import { LossFloor } from "./loss-floor.ts";
import { WindowedMax } from "./windowed-max.ts";

/** §2.5, §5.6: gains by phase. */
const STARTUP_PACING_GAIN = 2.77;
const DRAIN_PACING_GAIN = 0.5;
const DOWN_PACING_GAIN = 0.9;
const UP_PACING_GAIN = 1.25;
const CWND_GAIN = 2;
const UP_CWND_GAIN = 2.25;
const PROBE_RTT_CWND_GAIN = 0.5;
/** §2.4: pace this far below the estimate, so that queues drain rather than grow. */
const PACING_MARGIN = 0.01;
/** §2.7: loss of this share of a flight is too much; what is left of an estimate then; what is left free. */
const LOSS_THRESHOLD = 0.02;
const BETA = 0.7;
const HEADROOM = 0.15;
const MIN_PIPE_PACKETS = 4;
/** §2.9: windows of the filters. */
const MIN_RTT_WINDOW_MS = 10_000;
const PROBE_RTT_INTERVAL_MS = 5000;
const PROBE_RTT_DURATION_MS = 200;
const MAX_BW_CYCLES = 2;
const EXTRA_ACKED_ROUNDS = 10;
/**
 * More than links collect before they acknowledge. What comes at once beyond that is a receiver's process that stood
 * still, and a window that makes up for it would be more than its socket holds (4 MiB, where we ask for it).
 */
const EXTRA_ACKED_MOST_BYTES: number = 3 * 1024 * 1024;
/** Round trips that differ by less are the same: timers and clocks are no better. */
const RTT_NOISE = 0.01;
const RTT_NOISE_MS = 0.5;
/** §5.3.1.2: growth that startup expects, and rounds without it that end it. */
const FULL_BW_GROWTH = 1.25;
const FULL_BW_ROUNDS = 3;
/** §5.3.1.3: separate losses in one round that end startup. */
const STARTUP_LOSSES = 6;
/** §5.3.3.3: time between probes for bandwidth, and the round count at which Reno would be back. */
const PROBE_WAIT_MS = 2000;
const PROBE_WAIT_SPREAD_MS = 1000;
const RENO_ROUNDS_MOST = 63;

const STATE = { startup: 0, drain: 1, down: 2, cruise: 3, refill: 4, up: 5, probeRtt: 6 } as const;
const PHASES = ["startup", "drain", "probeDown", "cruise", "refill", "probeUp", "probeRtt"] as const;
const ACKS = { init: 0, refilling: 1, starting: 2, feedback: 3, stopping: 4 } as const;

export class Bbr implements CongestionController {
  readonly name = "bbr";
  readonly ssthreshBytes: number = Number.POSITIVE_INFINITY;
  congestionWindowBytes: number;
  pacingRate: number = Number.POSITIVE_INFINITY;

  private readonly random: () => number;
  private datagramBytes: number;
  private state: number = STATE.startup;
  private pacingGain = STARTUP_PACING_GAIN;
  private cwndGain = CWND_GAIN;

  // Rounds, §5.5.1
  private nextRoundDelivered = 0;
  private roundStart = false;
  private roundCount = 0;
  private roundsSinceProbe = 0;
  private delivered = 0;

  // Bandwidth, §5.5
  private readonly maxBwFilter: WindowedMax = new WindowedMax(MAX_BW_CYCLES - 1);
  private cycleCount = 0;
  private bw = 0;
  private bwLatest = 0;
  private bwShortterm: number = Number.POSITIVE_INFINITY;
  private fullBw = 0;
  private fullBwCount = 0;
  private fullBwNow = false;
  private fullBwReached = false;

  // Round trip, §5.5.7
  private minRttMs: number = Number.POSITIVE_INFINITY;
  private minRttAtMs = 0;
  private probeRttMinMs: number = Number.POSITIVE_INFINITY;
  private probeRttMinAtMs = 0;
  private probeRttExpired = false;
  private probeRttDoneAtMs = 0;
  private probeRttRoundDone = false;
  private priorCwnd = 0;
  private idleRestart = false;

  // Volume, §5.5.9 and §5.5.10
  private inflightLatest = 0;
  private inflightShortterm: number = Number.POSITIVE_INFINITY;
  private inflightLongterm: number = Number.POSITIVE_INFINITY;
  private inFlight = 0;
  private cwndLimitedRound = -1;
  private readonly extraAckedFilter: WindowedMax = new WindowedMax(EXTRA_ACKED_ROUNDS);
  private extraAckedStartMs = 0;
  private extraAckedDelivered = 0;
  private extraAcked = 0;
  private maxInflight = 0;

  // Loss, §5.5.10
  private lossRoundDelivered = 0;
  private lossRoundStart = false;
  private lossInRound = false;
  private lossEventsInRound = 0;
  private lostInRound = 0;
  private lastLostPacket = -2;
  private ackedInRound = 0;
  private nextPacketNumber = 0;
  /** Packets below were sent by the last probe for bandwidth or before, startup included. */
  private probeEndPacket = 0;
  private readonly lossFloor: LossFloor = new LossFloor();

  // Probing, §5.3.3
  private cycleStampMs = 0;
  private probeWaitMs = 0;
  private probeUpRounds = 0;
  private probeUpAcked = 0;
  private probeUpCount: number = Number.POSITIVE_INFINITY;
  private probeSamples = false;
  private ackPhase: number = ACKS.init;
  private undo: { inflightLongterm: number; inflightShortterm: number; bwShortterm: number } | undefined;

  /** @param random a number in [0, 1), for the spread of probes */
  constructor(datagramBytes: number, random: () => number) {
    this.datagramBytes = datagramBytes;
    this.random = random;
    this.congestionWindowBytes = initialWindowBytes(datagramBytes);
  }

  get phase(): string {
    return PHASES[this.state]!;
  }

  onSent(
    nowMs: number,
    _packetNumber: number,
    bytes: number,
    inFlightBytes: number,
    isAppLimited: boolean,
  ): void {
    // §5.4.1: back from idle, the pipe is empty and there is no reason to probe.
    if (inFlightBytes === bytes && isAppLimited && this.delivered > 0) {
      this.idleRestart = true;
      this.extraAckedStartMs = nowMs;
      this.extraAckedDelivered = 0;
      if (this.isInProbeBw) this.setPacingRate(1);
      else if (this.state === STATE.probeRtt) this.checkProbeRttDone(nowMs);
    }
    this.inFlight = inFlightBytes;
    if (inFlightBytes + this.datagramBytes > this.congestionWindowBytes)
      this.cwndLimitedRound = this.roundCount;
  }

  onAcknowledged(sample: AckSample): void {
    this.delivered = sample.deliveredBytes;
    this.inFlight = sample.inFlightBytes;
    this.nextPacketNumber = sample.nextPacketNumber;
    this.ackedInRound += sample.ackedBytes;
    this.lossFloor.onAcked(sample.largestAcked, sample.ackedBytes);
    this.updateLatestDeliverySignals(sample);
    this.updateCongestionSignals(sample);
    this.updateAckAggregation(sample);
    this.checkFullBwReached(sample);
    this.checkStartupDone(sample);
    if (this.state === STATE.drain && this.inFlight <= this.inflight(1)) this.startDown(sample.nowMs);
    this.updateProbeBwCycle(sample);
    this.updateMinRtt(sample);
    this.checkProbeRtt(sample);
    if (this.lossRoundStart) {
      this.bwLatest = sample.deliveryRate;
      this.inflightLatest = sample.deliveredBytes - sample.priorDeliveredBytes;
    }
    this.bw = Math.min(this.maxBw, this.bwShortterm);
    this.setPacingRate(this.pacingGain);
    this.setCwnd(sample);
  }

  onLost(lost: LostPacket): void {
    this.inFlight = lost.inFlightBytes;
    this.nextPacketNumber = lost.nextPacketNumber;
    this.lossFloor.onLost(lost.packetNumber, lost.bytes);
    // Deviates: what a probe sent too much is answered by its end. Taken for a sign of the slower sending after it,
    // it would cut the bandwidth to what drain delivers, until the next probe seconds later.
    const isAnswered = lost.packetNumber < this.probeEndPacket && !this.isProbing;
    if (!isAnswered) this.lostInRound += lost.bytes;
    if (lost.packetNumber !== this.lastLostPacket + 1) this.lossEventsInRound++;
    this.lastLostPacket = lost.packetNumber;
    if (!this.lossInRound) {
      this.undo = {
        inflightLongterm: this.inflightLongterm,
        inflightShortterm: this.inflightShortterm,
        bwShortterm: this.bwShortterm,
      };
      // §5.6.4.4: the loss round ends when what is sent now is acknowledged.
      this.lossRoundDelivered = this.delivered;
      this.lossInRound = true;
    }
    this.checkStartupOverflow(lost);
    // §5.5.10.2
    if (!this.probeSamples || !this.isTooMuch(lost.lostSinceBytes, lost.txInFlightBytes)) return;
    const inFlightBefore = lost.txInFlightBytes - lost.bytes;
    const lostBefore = lost.lostSinceBytes - lost.bytes;
    const threshold = this.lossThreshold(lost.txInFlightBytes);
    const prefix = (threshold * inFlightBefore - lostBefore) / (1 - threshold);
    this.onInflightTooHigh(lost.nowMs, inFlightBefore + prefix, lost.isAppLimited);
  }

  onPersistentCongestion(): void {
    this.congestionWindowBytes = this.minPipeBytes;
    this.undo = undefined;
  }

  onSpuriousLoss(): void {
    const { undo } = this;
    if (undo === undefined) return;
    this.lossInRound = false;
    // §5.5.10.3: as if the loss had never been seen.
    this.inflightLongterm = Math.max(this.inflightLongterm, undo.inflightLongterm);
    this.inflightShortterm = Math.max(this.inflightShortterm, undo.inflightShortterm);
    this.bwShortterm = Math.max(this.bwShortterm, undo.bwShortterm);
    this.undo = undefined;
  }

  onDatagramBytes(bytes: number): void {
    this.datagramBytes = bytes;
    this.congestionWindowBytes = Math.max(this.congestionWindowBytes, this.minPipeBytes);
  }

  // ------------------------------------------------------------------ model

  private get maxBw(): number {
    return this.maxBwFilter.value;
  }

  private get minPipeBytes(): number {
    return MIN_PIPE_PACKETS * this.datagramBytes;
  }

  private get isInProbeBw(): boolean {
    return this.state >= STATE.down && this.state <= STATE.up;
  }

  private get isProbing(): boolean {
    return this.state === STATE.startup || this.state === STATE.refill || this.state === STATE.up;
  }

  private updateLatestDeliverySignals(sample: AckSample): void {
    const delivered = sample.deliveredBytes - sample.priorDeliveredBytes;
    this.lossRoundStart = false;
    this.bwLatest = Math.max(this.bwLatest, sample.deliveryRate);
    this.inflightLatest = Math.max(this.inflightLatest, delivered);
    if (sample.priorDeliveredBytes >= this.lossRoundDelivered) {
      this.lossRoundDelivered = this.delivered;
      this.lossRoundStart = true;
    }
  }

  private updateCongestionSignals(sample: AckSample): void {
    this.updateRound(sample);
    const { deliveryRate } = sample;
    if (deliveryRate > 0 && (deliveryRate >= this.maxBw || !sample.isAppLimited)) {
      this.maxBwFilter.update(this.cycleCount, deliveryRate);
    }
    if (!this.lossRoundStart) return;
    const isCongested =
      this.lossInRound && this.isTooMuch(this.lostInRound, this.lostInRound + this.ackedInRound);
    if (isCongested && !this.isProbing) {
      if (this.bwShortterm === Number.POSITIVE_INFINITY) this.bwShortterm = this.maxBw;
      if (this.inflightShortterm === Number.POSITIVE_INFINITY)
        this.inflightShortterm = this.congestionWindowBytes;
      this.bwShortterm = Math.max(this.bwLatest, BETA * this.bwShortterm);
      this.inflightShortterm = Math.max(this.inflightLatest, BETA * this.inflightShortterm);
    }
    this.checkStartupHighLoss(sample);
    this.lossInRound = false;
    this.lossEventsInRound = 0;
    this.lostInRound = 0;
    this.ackedInRound = 0;
  }

  /** Share of a flight of `flightBytes` that may be lost before it means too much load. */
  private lossThreshold(flightBytes: number): number {
    return LOSS_THRESHOLD + this.lossFloor.share(flightBytes / this.datagramBytes);
  }

  private isTooMuch(lostBytes: number, flightBytes: number): boolean {
    return lostBytes > flightBytes * this.lossThreshold(flightBytes);
  }

  private updateRound(sample: AckSample): void {
    this.roundStart = sample.priorDeliveredBytes >= this.nextRoundDelivered;
    if (!this.roundStart) return;
    this.startRound();
    this.roundCount++;
    this.roundsSinceProbe++;
  }

  private startRound(): void {
    this.nextRoundDelivered = this.delivered;
  }

  /** §5.5.9: how much more than the bandwidth explains is acknowledged at once. */
  private updateAckAggregation(sample: AckSample): void {
    const elapsedMs = sample.nowMs - this.extraAckedStartMs;
    let expected = this.bw * elapsedMs;
    if (this.extraAckedDelivered <= expected) {
      this.extraAckedDelivered = 0;
      this.extraAckedStartMs = sample.nowMs;
      expected = 0;
    }
    this.extraAckedDelivered += sample.ackedBytes;
    const extra = Math.min(
      this.extraAckedDelivered - expected,
      this.congestionWindowBytes,
      EXTRA_ACKED_MOST_BYTES,
    );
    this.extraAckedFilter.update(this.roundCount, Math.max(0, extra));
    this.extraAcked = this.extraAckedFilter.value;
  }

  private updateMinRtt(sample: AckSample): void {
    const { nowMs, rttMs } = sample;
    this.probeRttExpired = nowMs > this.probeRttMinAtMs + PROBE_RTT_INTERVAL_MS && this.probeRttMinAtMs > 0;
    if (rttMs >= 0 && (rttMs < this.probeRttMinMs || this.probeRttExpired)) {
      this.probeRttMinMs = rttMs;
      this.probeRttMinAtMs = nowMs;
    } else if (
      rttMs >= 0 &&
      rttMs <= this.probeRttMinMs + Math.max(RTT_NOISE_MS, RTT_NOISE * this.probeRttMinMs)
    ) {
      // Deviates: a round trip as short as the shortest, but for noise, shows an empty queue. There is no need to
      // make one by halving the rate, which costs 4 % where round trips are long.
      this.probeRttMinAtMs = nowMs;
    }
    if (this.probeRttMinMs < this.minRttMs || nowMs > this.minRttAtMs + MIN_RTT_WINDOW_MS) {
      this.minRttMs = this.probeRttMinMs;
      this.minRttAtMs = this.probeRttMinAtMs;
    }
  }

  // ------------------------------------------------------------------ startup and drain, §5.3.1, §5.3.2

  private resetFullBw(): void {
    this.fullBw = 0;
    this.fullBwCount = 0;
    this.fullBwNow = false;
  }

  private checkFullBwReached(sample: AckSample): void {
    if (this.fullBwNow || !this.roundStart || sample.isAppLimited) return;
    if (sample.deliveryRate >= this.fullBw * FULL_BW_GROWTH) {
      // A path that still gives more is not full: what it loses, it loses anyway.
      if (this.state === STATE.startup) this.lossFloor.add(this.lostInRound, this.ackedInRound);
      this.resetFullBw();
      this.fullBw = sample.deliveryRate;
      return;
    }
    this.fullBwCount++;
    this.fullBwNow = this.fullBwCount >= FULL_BW_ROUNDS;
    if (this.fullBwNow) this.fullBwReached = true;
  }

  private checkStartupHighLoss(sample: AckSample): void {
    if (this.state !== STATE.startup || this.fullBwReached || sample.isAppLimited) return;
    const tooMuch = this.isTooMuch(this.lostInRound, this.lostInRound + this.ackedInRound);
    if (!this.lossInRound || this.lossEventsInRound < STARTUP_LOSSES || !tooMuch) return;
    this.fullBwReached = true;
    this.inflightLongterm = Math.max(this.bdp(1), this.inflightLatest);
  }

  /**
   * Deviates: the draft looks at the end of the round. Once more is lost than a whole flight may lose, that can
   * only come out as it stands, and until then startup throws 1.8 times what the path carries away. How much the
   * path holds is left to the probes to find: the round that would tell is not over.
   */
  private checkStartupOverflow(lost: LostPacket): void {
    if (this.state !== STATE.startup || this.fullBwReached || lost.isAppLimited) return;
    const flightBytes = Math.max(lost.txInFlightBytes, this.lostInRound + this.ackedInRound);
    if (this.lossEventsInRound < STARTUP_LOSSES || !this.isTooMuch(this.lostInRound, flightBytes)) return;
    this.fullBwReached = true;
  }

  private checkStartupDone(_sample: AckSample): void {
    if (this.state !== STATE.startup || !this.fullBwReached) return;
    this.enter(STATE.drain, DRAIN_PACING_GAIN, CWND_GAIN);
  }

  // ------------------------------------------------------------------ probing for bandwidth, §5.3.3

  private startDown(nowMs: number): void {
    this.resetCongestionSignals();
    this.probeUpCount = Number.POSITIVE_INFINITY;
    this.roundsSinceProbe = this.random() < 0.5 ? 0 : 1;
    this.probeWaitMs = PROBE_WAIT_MS + this.random() * PROBE_WAIT_SPREAD_MS;
    this.cycleStampMs = nowMs;
    this.ackPhase = ACKS.stopping;
    this.startRound();
    this.enter(STATE.down, DOWN_PACING_GAIN, CWND_GAIN);
  }

  private startCruise(): void {
    this.enter(STATE.cruise, 1, CWND_GAIN);
  }

  private startRefill(): void {
    this.resetShorttermModel();
    this.probeUpRounds = 0;
    this.probeUpAcked = 0;
    this.ackPhase = ACKS.refilling;
    this.startRound();
    this.enter(STATE.refill, 1, CWND_GAIN);
  }

  private startUp(sample: AckSample): void {
    this.ackPhase = ACKS.starting;
    this.startRound();
    this.resetFullBw();
    this.fullBw = sample.deliveryRate;
    this.enter(STATE.up, UP_PACING_GAIN, UP_CWND_GAIN);
    this.raiseInflightSlope();
  }

  private enter(state: number, pacingGain: number, cwndGain: number): void {
    if (this.isProbing) this.probeEndPacket = this.nextPacketNumber;
    this.state = state;
    this.pacingGain = pacingGain;
    this.cwndGain = cwndGain;
    // Whoever sends less than is delivered fills no queue: what is lost then is the path's own.
    if (state === STATE.drain || state === STATE.down || state === STATE.probeRtt) {
      this.lossFloor.begin(this.nextPacketNumber);
    } else this.lossFloor.end(this.nextPacketNumber);
  }

  private updateProbeBwCycle(sample: AckSample): void {
    if (!this.fullBwReached) return;
    this.adaptLongtermModel(sample);
    switch (this.state) {
      case STATE.down:
        if (this.isTimeToProbe(sample.nowMs)) this.startRefill();
        else if (this.isTimeToCruise()) this.startCruise();
        return;
      case STATE.cruise:
        if (this.isTimeToProbe(sample.nowMs)) this.startRefill();
        return;
      case STATE.refill:
        // After one round the pipe is full: from now on samples tell of the probe.
        if (!this.roundStart) return;
        this.probeSamples = true;
        this.startUp(sample);
        return;
      case STATE.up:
        if (this.isTimeToGoDown(sample)) this.startDown(sample.nowMs);
    }
  }

  private isTimeToProbe(nowMs: number): boolean {
    if (nowMs > this.cycleStampMs + this.probeWaitMs) return true;
    const renoRounds = Math.min(this.targetInflight / this.datagramBytes, RENO_ROUNDS_MOST);
    return this.roundsSinceProbe >= renoRounds;
  }

  private isTimeToCruise(): boolean {
    return this.inFlight <= this.inflightWithHeadroom && this.inFlight <= this.inflight(1, this.maxBw);
  }

  private isTimeToGoDown(sample: AckSample): boolean {
    if (this.isCwndLimited && this.congestionWindowBytes >= this.inflightLongterm) {
      this.resetFullBw();
      this.fullBw = sample.deliveryRate;
      return false;
    }
    return this.fullBwNow;
  }

  private get isCwndLimited(): boolean {
    return this.cwndLimitedRound >= this.roundCount - 1;
  }

  private get targetInflight(): number {
    return Math.min(this.bdp(1), this.congestionWindowBytes);
  }

  private get inflightWithHeadroom(): number {
    if (this.inflightLongterm === Number.POSITIVE_INFINITY) return this.inflightLongterm;
    const headroom = Math.max(this.datagramBytes, HEADROOM * this.inflightLongterm);
    return Math.max(this.inflightLongterm - headroom, this.minPipeBytes);
  }

  private adaptLongtermModel(sample: AckSample): void {
    if (this.ackPhase === ACKS.starting && this.roundStart) this.ackPhase = ACKS.feedback;
    if (this.ackPhase === ACKS.stopping && this.roundStart) {
      this.probeSamples = false;
      this.ackPhase = ACKS.init;
      if (this.isInProbeBw && !sample.isAppLimited) this.cycleCount++;
    }
    const { lostSinceBytes, txInFlightBytes } = sample;
    if (this.isTooMuch(lostSinceBytes, txInFlightBytes)) {
      if (this.probeSamples) this.onInflightTooHigh(sample.nowMs, txInFlightBytes, sample.isAppLimited);
      return;
    }
    if (this.inflightLongterm === Number.POSITIVE_INFINITY) return;
    if (txInFlightBytes > this.inflightLongterm) this.inflightLongterm = txInFlightBytes;
    if (this.state === STATE.up) this.probeInflightUpward(sample);
  }

  private onInflightTooHigh(nowMs: number, inFlightBytes: number, isAppLimited: boolean): void {
    this.probeSamples = false;
    if (!isAppLimited) this.inflightLongterm = Math.max(inFlightBytes, this.targetInflight * BETA);
    if (this.state === STATE.up) this.startDown(nowMs);
  }

  private probeInflightUpward(sample: AckSample): void {
    if (!this.isCwndLimited || this.congestionWindowBytes < this.inflightLongterm) return;
    this.probeUpAcked += sample.ackedBytes;
    if (this.probeUpAcked >= this.probeUpCount) {
      const steps = Math.floor(this.probeUpAcked / this.probeUpCount);
      this.probeUpAcked -= steps * this.probeUpCount;
      this.inflightLongterm += steps * this.datagramBytes;
    }
    if (this.roundStart) this.raiseInflightSlope();
  }

  private raiseInflightSlope(): void {
    const growthPackets = 2 ** this.probeUpRounds;
    this.probeUpRounds = Math.min(this.probeUpRounds + 1, 30);
    this.probeUpCount = Math.max(this.congestionWindowBytes / growthPackets, this.datagramBytes);
  }

  private resetCongestionSignals(): void {
    this.lossInRound = false;
    this.bwLatest = 0;
    this.inflightLatest = 0;
  }

  private resetShorttermModel(): void {
    this.bwShortterm = Number.POSITIVE_INFINITY;
    this.inflightShortterm = Number.POSITIVE_INFINITY;
  }

  // ------------------------------------------------------------------ probing for the round trip, §5.3.4

  private checkProbeRtt(sample: AckSample): void {
    const { nowMs } = sample;
    if (this.state !== STATE.probeRtt && this.probeRttExpired && !this.idleRestart) {
      this.priorCwnd = this.savedCwnd;
      this.enter(STATE.probeRtt, 1, PROBE_RTT_CWND_GAIN);
      this.probeRttDoneAtMs = 0;
      this.ackPhase = ACKS.stopping;
      this.startRound();
    }
    if (this.state === STATE.probeRtt) {
      if (this.probeRttDoneAtMs === 0 && this.inFlight <= this.probeRttCwnd) {
        this.probeRttDoneAtMs = nowMs + PROBE_RTT_DURATION_MS;
        this.probeRttRoundDone = false;
        this.startRound();
      } else if (this.probeRttDoneAtMs !== 0) {
        if (this.roundStart) this.probeRttRoundDone = true;
        if (this.probeRttRoundDone) this.checkProbeRttDone(nowMs);
      }
    }
    this.idleRestart = false;
  }

  private checkProbeRttDone(nowMs: number): void {
    if (this.probeRttDoneAtMs === 0 || nowMs <= this.probeRttDoneAtMs) return;
    this.probeRttMinAtMs = nowMs;
    this.congestionWindowBytes = Math.max(this.congestionWindowBytes, this.priorCwnd);
    this.resetShorttermModel();
    if (this.fullBwReached) {
      this.startDown(nowMs);
      this.startCruise();
    } else this.enter(STATE.startup, STARTUP_PACING_GAIN, CWND_GAIN);
  }

  private get probeRttCwnd(): number {
    return Math.max(this.bdp(PROBE_RTT_CWND_GAIN), this.minPipeBytes);
  }

  private get savedCwnd(): number {
    return this.state === STATE.probeRtt
      ? Math.max(this.priorCwnd, this.congestionWindowBytes)
      : this.congestionWindowBytes;
  }

  // ------------------------------------------------------------------ control parameters, §5.6

  private bdp(gain: number, bw: number = this.bw): number {
    if (this.minRttMs === Number.POSITIVE_INFINITY) return initialWindowBytes(this.datagramBytes);
    return gain * bw * this.minRttMs;
  }

  private inflight(gain: number, bw: number = this.bw): number {
    return this.quantized(this.bdp(gain, bw));
  }

  /** §5.6.4.2: room for what timers and batches send at once. */
  private quantized(inflight: number): number {
    const quantum = Math.max(2 * this.datagramBytes, Math.min(this.pacingRate, 65_536));
    const floor = Math.max(inflight, 3 * quantum, this.minPipeBytes);
    return this.state === STATE.up ? floor + 2 * this.datagramBytes : floor;
  }

  private setPacingRate(gain: number): void {
    const rate = gain * this.bw * (1 - PACING_MARGIN);
    if (rate <= 0) return;
    if (this.fullBwReached || rate > this.pacingRate || this.pacingRate === Number.POSITIVE_INFINITY) {
      this.pacingRate = rate;
    }
  }

  private setCwnd(sample: AckSample): void {
    this.maxInflight = this.quantized(this.bdp(this.cwndGain) + this.extraAcked);
    let cwnd = this.congestionWindowBytes;
    if (this.fullBwReached) cwnd = Math.min(cwnd + sample.ackedBytes, this.maxInflight);
    else if (cwnd < this.maxInflight || this.delivered < initialWindowBytes(this.datagramBytes)) {
      cwnd += sample.ackedBytes;
    }
    cwnd = Math.max(cwnd, this.minPipeBytes);
    if (this.state === STATE.probeRtt) cwnd = Math.min(cwnd, this.probeRttCwnd);
    let cap = Number.POSITIVE_INFINITY;
    if (this.isInProbeBw && this.state !== STATE.cruise) cap = this.inflightLongterm;
    else if (this.state === STATE.probeRtt || this.state === STATE.cruise) cap = this.inflightWithHeadroom;
    cap = Math.max(Math.min(cap, this.inflightShortterm), this.minPipeBytes);
    this.congestionWindowBytes = Math.min(cwnd, cap);
  }
}

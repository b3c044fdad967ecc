/**
 * A congestion controller alone with a path: one queue, one line, one way back. Packets leave as window and
 * pacing rate allow, each is acknowledged on its own, and one is lost when the queue is full or the test says
 * so. Samples are taken as the engine's recovery takes them.  // draft-ietf-ccwg-bbr §4.1
 */
import type { AckSample, CongestionController } from "../../../src/engine/congestion/congestion.ts";

export const PACKET_BYTES = 1200;
const REORDERING_PACKETS = 3;

export interface PathOptions {
  /** Bytes per ms of the line. */
  readonly rate: number;
  readonly rttMs: number;
  readonly queueBytes: number;
}

interface Packet {
  readonly number: number;
  readonly sentAtMs: number;
  readonly deliveredBytes: number;
  readonly deliveredAtMs: number;
  readonly firstSentAtMs: number;
  readonly inFlightBytes: number;
  readonly lostBytes: number;
}

export interface Moment {
  readonly atMs: number;
  readonly phase: string;
  readonly windowBytes: number;
  readonly pacingRate: number;
  readonly inFlightBytes: number;
}

export class ControllerPath {
  readonly controller: CongestionController;
  rate: number;
  rttMs: number;
  queueBytes: number;
  /** Packets that are lost whatever the queue, by number. */
  isLost: (packetNumber: number) => boolean = () => false;
  /** When the peer acknowledges packets that arrived at a time: at once, unless it is stalled. */
  toldAt: (atMs: number) => number = (atMs) => atMs;
  nowMs = 0;
  deliveredBytes = 0;
  sentPackets = 0;
  lostPackets = 0;
  inFlightBytes = 0;
  /** One for each change of the phase, with what it was at that time. */
  readonly phases: Moment[] = [];
  /** One for each acknowledgement, on request. */
  watch: ((moment: Moment) => void) | undefined;
  private readonly outstanding: Packet[] = [];
  private readonly arrivals: { atMs: number; packet: Packet }[] = [];
  private lineFreeAtMs = 0;
  private maySendAtMs = 0;
  private deliveredAtMs = 0;
  private firstSentAtMs = 0;
  private lostBytes = 0;
  private smoothedRttMs = 0;
  private minRttMs = Number.POSITIVE_INFINITY;

  constructor(controller: CongestionController, { rate, rttMs, queueBytes }: PathOptions) {
    this.controller = controller;
    this.rate = rate;
    this.rttMs = rttMs;
    this.queueBytes = queueBytes;
  }

  /** Bytes that the path holds without a queue. */
  get bdpBytes(): number {
    return this.rate * this.rttMs;
  }

  /** Names of the phases so far, each once in a row. */
  get story(): string[] {
    return this.phases.map(({ phase }) => phase);
  }

  run(untilMs: number): void {
    for (;;) {
      const sendAtMs = this.hasRoom ? Math.max(this.nowMs, this.maySendAtMs) : Number.POSITIVE_INFINITY;
      const ackAtMs = this.arrivals[0]?.atMs ?? Number.POSITIVE_INFINITY;
      const atMs = Math.min(sendAtMs, ackAtMs);
      if (atMs > untilMs) break;
      this.nowMs = atMs;
      if (ackAtMs <= sendAtMs) this.acknowledge(this.arrivals.shift()!.packet);
      else this.send();
    }
    this.nowMs = untilMs;
  }

  /** Runs until the controller is in `phase`; throws when it has not come to that by `limitMs`. */
  runUntil(phase: string, limitMs: number): void {
    while (this.controller.phase !== phase) {
      if (this.nowMs >= limitMs)
        throw new Error(`${this.story.join(", ")}, but no ${phase} by ${limitMs} ms`);
      this.run(this.nowMs + 1);
    }
  }

  get moment(): Moment {
    const { controller, nowMs, inFlightBytes } = this;
    return {
      atMs: nowMs,
      phase: controller.phase,
      windowBytes: controller.congestionWindowBytes,
      pacingRate: controller.pacingRate,
      inFlightBytes,
    };
  }

  private get hasRoom(): boolean {
    return this.inFlightBytes + PACKET_BYTES <= this.controller.congestionWindowBytes;
  }

  private send(): void {
    const { controller, nowMs } = this;
    if (this.inFlightBytes === 0) {
      this.firstSentAtMs = nowMs;
      this.deliveredAtMs = nowMs;
    }
    this.inFlightBytes += PACKET_BYTES;
    const packet: Packet = {
      number: this.sentPackets++,
      sentAtMs: nowMs,
      deliveredBytes: this.deliveredBytes,
      deliveredAtMs: this.deliveredAtMs,
      firstSentAtMs: this.firstSentAtMs,
      inFlightBytes: this.inFlightBytes,
      lostBytes: this.lostBytes,
    };
    this.outstanding.push(packet);
    controller.onSent(nowMs, packet.number, PACKET_BYTES, this.inFlightBytes, false);
    this.maySendAtMs = Math.max(nowMs, this.maySendAtMs) + PACKET_BYTES / controller.pacingRate;
    const waitingBytes = (this.lineFreeAtMs - nowMs) * this.rate;
    if (waitingBytes > this.queueBytes || this.isLost(packet.number)) return;
    this.lineFreeAtMs = Math.max(nowMs, this.lineFreeAtMs) + PACKET_BYTES / this.rate;
    this.arrivals.push({ atMs: this.toldAt(this.lineFreeAtMs + this.rttMs), packet });
  }

  private acknowledge(packet: Packet): void {
    const { controller, nowMs } = this;
    const priorInFlightBytes = this.inFlightBytes;
    this.outstanding.splice(this.outstanding.indexOf(packet), 1);
    this.inFlightBytes -= PACKET_BYTES;
    this.deliveredBytes += PACKET_BYTES;
    this.deliveredAtMs = nowMs;
    this.firstSentAtMs = packet.sentAtMs;
    const rttMs = nowMs - packet.sentAtMs;
    this.smoothedRttMs = this.smoothedRttMs === 0 ? rttMs : 0.875 * this.smoothedRttMs + 0.125 * rttMs;
    this.minRttMs = Math.min(this.minRttMs, rttMs);
    const newlyLostBytes = this.detectLosses(packet.number);
    const intervalMs = Math.max(packet.sentAtMs - packet.firstSentAtMs, nowMs - packet.deliveredAtMs);
    const delivered = this.deliveredBytes - packet.deliveredBytes;
    const sample: AckSample = {
      nowMs,
      ackedBytes: PACKET_BYTES,
      priorInFlightBytes,
      inFlightBytes: this.inFlightBytes,
      newlyLostBytes,
      largestAcked: packet.number,
      largestAckedSentAtMs: packet.sentAtMs,
      nextPacketNumber: this.sentPackets,
      rttMs,
      smoothedRttMs: this.smoothedRttMs,
      minRttMs: this.minRttMs,
      deliveryRate: intervalMs >= this.minRttMs ? delivered / intervalMs : 0,
      isAppLimited: false,
      deliveredBytes: this.deliveredBytes,
      priorDeliveredBytes: packet.deliveredBytes,
      txInFlightBytes: packet.inFlightBytes,
      lostSinceBytes: this.lostBytes - packet.lostBytes,
    };
    controller.onAcknowledged(sample);
    const { moment } = this;
    if (this.phases.at(-1)?.phase !== moment.phase) this.phases.push(moment);
    this.watch?.(moment);
  }

  private detectLosses(largestAcked: number): number {
    let newlyLostBytes = 0;
    while (this.outstanding.length > 0) {
      const oldest = this.outstanding[0]!;
      if (largestAcked - oldest.number < REORDERING_PACKETS) break;
      this.outstanding.shift();
      this.inFlightBytes -= PACKET_BYTES;
      this.lostPackets++;
      this.lostBytes += PACKET_BYTES;
      newlyLostBytes += PACKET_BYTES;
      this.controller.onLost({
        nowMs: this.nowMs,
        packetNumber: oldest.number,
        bytes: PACKET_BYTES,
        sentAtMs: oldest.sentAtMs,
        nextPacketNumber: this.sentPackets,
        txInFlightBytes: oldest.inFlightBytes,
        lostSinceBytes: this.lostBytes - oldest.lostBytes,
        inFlightBytes: this.inFlightBytes,
        isAppLimited: false,
      });
    }
    return newlyLostBytes;
  }
}

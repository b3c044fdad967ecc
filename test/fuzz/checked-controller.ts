/**
 * A congestion controller that is watched: what it is told makes sense, and after every call its window is at
 * least the minimum and finite, and its rate a positive number.
 */
import { Bbr } from "../../src/engine/congestion/bbr.ts";
import {
  type AckSample,
  type CongestionController,
  type LostPacket,
  minimumWindowBytes,
} from "../../src/engine/congestion/congestion.ts";
import { Cubic } from "../../src/engine/congestion/cubic.ts";
import { broken } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

/** Far beyond what any path holds: a window above this has run away. */
const MAX_WINDOW_BYTES: number = 2 ** 45;
/** Fields in which the controllers are told that there is nothing to tell. */
const NOTHING = -1;

export class CheckedController implements CongestionController {
  readonly name: "cubic" | "bbr";
  readonly inner: CongestionController;
  /** Calls of onLost() so far. */
  losses = 0;
  private readonly whenSpurious: (() => void) | undefined;
  private datagramBytes = 1200;
  private highestDelivered = 0;
  /** The path's rate was measured: from here on there is one to send at. */
  private isMeasured = false;

  /** @param whenSpurious called before the controller is told that its last loss event was for nothing */
  constructor(random: Xorshift, whenSpurious?: () => void) {
    this.whenSpurious = whenSpurious;
    this.inner = random.oneIn(2)
      ? new Cubic(this.datagramBytes)
      : new Bbr(this.datagramBytes, () => random.unit());
    this.name = this.inner.name;
  }

  get congestionWindowBytes(): number {
    return this.inner.congestionWindowBytes;
  }

  get ssthreshBytes(): number {
    return this.inner.ssthreshBytes;
  }

  get pacingRate(): number {
    return this.inner.pacingRate;
  }

  get phase(): string {
    return this.inner.phase;
  }

  onSent(
    nowMs: number,
    packetNumber: number,
    bytes: number,
    inFlightBytes: number,
    isAppLimited: boolean,
  ): void {
    if (!(inFlightBytes >= bytes && bytes > 0)) broken(`${bytes} bytes sent, ${inFlightBytes} in flight`);
    this.inner.onSent(nowMs, packetNumber, bytes, inFlightBytes, isAppLimited);
    this.check("a packet");
  }

  onAcknowledged(sample: AckSample): void {
    for (const [name, value] of Object.entries(sample) as [string, number | boolean][]) {
      if (typeof value === "boolean") continue;
      if (!Number.isFinite(value) || (value < 0 && value !== NOTHING))
        broken(`the sample's ${name} is ${value}`);
    }
    if (!(sample.ackedBytes > 0)) broken("a sample of nothing");
    if (sample.inFlightBytes > sample.priorInFlightBytes) broken("more in flight after an ACK");
    if (sample.deliveredBytes < this.highestDelivered + sample.ackedBytes)
      broken("what was delivered shrank");
    if (sample.priorDeliveredBytes >= sample.deliveredBytes) broken("nothing was delivered since");
    this.highestDelivered = sample.deliveredBytes;
    this.isMeasured ||= sample.deliveryRate > 0;
    this.inner.onAcknowledged(sample);
    this.check("a sample");
  }

  onLost(lost: LostPacket): void {
    if (!(lost.bytes > 0 && lost.lostSinceBytes >= lost.bytes)) broken(`${lost.bytes} bytes lost`);
    if (!(lost.txInFlightBytes >= lost.bytes && lost.inFlightBytes >= 0))
      broken("a loss of what was not in flight");
    this.losses++;
    this.inner.onLost(lost);
    this.check("a loss");
  }

  onPersistentCongestion(nowMs: number): void {
    this.inner.onPersistentCongestion(nowMs);
    this.check("persistent congestion");
  }

  onSpuriousLoss(nowMs: number): void {
    if (this.losses === 0) broken("no loss, but a spurious one");
    this.whenSpurious?.();
    this.inner.onSpuriousLoss(nowMs);
    this.check("a spurious loss");
  }

  onDatagramBytes(bytes: number): void {
    this.datagramBytes = bytes;
    this.inner.onDatagramBytes(bytes);
    this.check("a new datagram size");
  }

  private check(after: string): void {
    const { congestionWindowBytes: window, pacingRate, ssthreshBytes } = this.inner;
    if (!(window >= minimumWindowBytes(this.datagramBytes) && window < MAX_WINDOW_BYTES)) {
      broken(`${this.name}: a window of ${window} bytes after ${after}`);
    }
    const rateMost = this.isMeasured ? Number.MAX_VALUE : Number.POSITIVE_INFINITY;
    if (!(pacingRate > 0 && pacingRate <= rateMost))
      broken(`${this.name}: a rate of ${pacingRate} after ${after}`);
    if (!(ssthreshBytes > 0)) broken(`${this.name}: a threshold of ${ssthreshBytes} after ${after}`);
    if (!this.inner.phase) broken(`${this.name}: no phase after ${after}`);
  }
}

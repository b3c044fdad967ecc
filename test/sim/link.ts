/**
 * One direction of a link: a policer, a drop-tail queue in front of a line of some rate, then a path that
 * delays, jitters, loses, corrupts, duplicates and reorders.
 *
 * Losses happen behind the queue, as on the receiving device of quic-interop-runner's simulator: a lost
 * packet has used the line. Every knob can be turned while packets are under way.
 */

import type { Random } from "./random.ts";
import type { Waker, World } from "./world.ts";

/** What travels on a link. `bytes` belongs to the receiver once it is delivered. */
export interface Datagram {
  bytes: Uint8Array;
  /** Size that the line sees, without `overheadBytes`; differs from `bytes` only for modelled flows. */
  lengthBytes: number;
  fromAddress: string;
  fromPort: number;
  toAddress: string;
  toPort: number;
}

/** Two-state burst loss: per packet a chance to enter the bad state and one to leave it. */
interface GilbertOptions {
  enterRate: number;
  leaveRate: number;
  lossRate: number;
}

export interface LinkOptions {
  /** Infinity: no line and no queue. */
  rateMbit: number;
  /** Per datagram on the line: IPv4 and UDP headers. */
  overheadBytes: number;
  /** Limits of what waits, the packet on the line not counted. */
  queueBytes: number;
  queuePackets: number;
  delayMs: number;
  /** Up to this much more, uniform. */
  jitterMs: number;
  /** Whether a datagram may overtake by jitter; else it waits for the one before. */
  jitterReorders: boolean;
  lossRate: number;
  gilbert: GilbertOptions | undefined;
  /** After so many losses (or corruptions) in a row one datagram passes; 0: no cap. */
  burstCapPackets: number;
  duplicateRate: number;
  /** A datagram that is held back by `reorderDelayMs`, so that later ones pass it. */
  reorderRate: number;
  reorderDelayMs: number;
  /** One byte changed. */
  corruptRate: number;
  /** Largest datagram with overhead; a larger one vanishes. */
  mtuBytes: number;
  policer: { rateMbit: number; burstBytes: number } | undefined;
  /** A black hole: nothing arrives while it is set. */
  isDown: boolean;
  /** Drops what it says true to; `index` counts from 1 at this link. */
  drop: ((index: number, datagram: Datagram) => boolean) | undefined;
}

/** A link without faults, with IPv4 overhead. */
const PERFECT: LinkOptions = {
  rateMbit: Number.POSITIVE_INFINITY,
  overheadBytes: 28,
  queueBytes: Number.POSITIVE_INFINITY,
  queuePackets: Number.POSITIVE_INFINITY,
  delayMs: 0,
  jitterMs: 0,
  jitterReorders: false,
  lossRate: 0,
  gilbert: undefined,
  burstCapPackets: 0,
  duplicateRate: 0,
  reorderRate: 0,
  reorderDelayMs: 0,
  corruptRate: 0,
  mtuBytes: Number.POSITIVE_INFINITY,
  policer: undefined,
  isDown: false,
  drop: undefined,
};

const BYTES_PER_MS_OF_MBIT = 125;

export class Link implements Waker {
  options: LinkOptions;
  /** What became of what was sent. */
  readonly counts = {
    sent: 0,
    delivered: 0,
    deliveredBytes: 0,
    queueFull: 0,
    policed: 0,
    lost: 0,
    tooLarge: 0,
    blackHoled: 0,
    corrupted: 0,
    duplicated: 0,
    reordered: 0,
  };
  /** Sees each datagram that is sent, whatever becomes of it. */
  watch: ((datagram: Datagram) => void) | undefined;
  /** How long each datagram waited before the line took it, ms (modelled flows included). */
  readonly waitsMs: number[] = [];
  readonly #world: World;
  readonly #random: Random;
  readonly #receive: (now: number, datagram: Datagram) => void;
  /** Datagrams whose turn on the line has not come: when it comes, and their sizes. */
  readonly #turnsMs: number[] = [];
  readonly #turnBytes: number[] = [];
  #firstTurn = 0;
  #queuedBytes = 0;
  #lineFreeAt = Number.NEGATIVE_INFINITY;
  #lastArrivalMs = Number.NEGATIVE_INFINITY;
  #isBad = false;
  #lostInARow = 0;
  #corruptedInARow = 0;
  #tokensBytes = 0;
  #tokensAt = Number.NEGATIVE_INFINITY;

  constructor(
    world: World,
    random: Random,
    options: Partial<LinkOptions>,
    receive: (now: number, datagram: Datagram) => void,
  ) {
    this.#world = world;
    this.#random = random;
    this.options = { ...PERFECT, ...options };
    this.#receive = receive;
  }

  /** Turns knobs from now on; what is queued keeps its times. */
  set(change: Partial<LinkOptions>): void {
    this.options = { ...this.options, ...change };
  }

  /** Takes one datagram; whether and when it arrives is drawn now. */
  send(datagram: Datagram): void {
    const { options, counts } = this;
    const now = this.#world.now;
    counts.sent++;
    this.watch?.(datagram);
    const wireBytes = datagram.lengthBytes + options.overheadBytes;
    if (wireBytes > options.mtuBytes) {
      counts.tooLarge++;
      return;
    }
    if (!this.#passesPolicer(now, wireBytes)) {
      counts.policed++;
      return;
    }
    const departsAt = this.#enqueue(now, wireBytes);
    if (departsAt === undefined) {
      counts.queueFull++;
      return;
    }
    if (options.drop?.(counts.sent, datagram) === true || this.#isLost()) {
      counts.lost++;
      return;
    }
    const arrivesAt = this.#arrival(departsAt);
    if (this.#random.chance(options.duplicateRate)) {
      counts.duplicated++;
      this.#world.schedule(this.#arrival(departsAt), this, { ...datagram, bytes: datagram.bytes.slice() });
    }
    this.#world.schedule(arrivesAt, this, datagram);
  }

  wake(now: number, subject: unknown): void {
    const datagram = subject as Datagram;
    if (this.options.isDown) {
      this.counts.blackHoled++;
      return;
    }
    this.counts.delivered++;
    this.counts.deliveredBytes += datagram.lengthBytes;
    if (this.#isCorrupted()) {
      this.counts.corrupted++;
      const { bytes } = datagram;
      if (bytes.length > 0) bytes[this.#random.below(bytes.length)]! ^= this.#random.integer(1, 255);
    }
    this.#receive(now, datagram);
  }

  /** When the last byte has left the line; undefined when the queue has no room. */
  #enqueue(now: number, wireBytes: number): number | undefined {
    const { rateMbit, queueBytes, queuePackets } = this.options;
    if (rateMbit === Number.POSITIVE_INFINITY) return now;
    while (this.#firstTurn < this.#turnsMs.length && this.#turnsMs[this.#firstTurn]! <= now) {
      this.#queuedBytes -= this.#turnBytes[this.#firstTurn++]!;
    }
    if (this.#firstTurn > 1024) {
      this.#turnsMs.splice(0, this.#firstTurn);
      this.#turnBytes.splice(0, this.#firstTurn);
      this.#firstTurn = 0;
    }
    const turnAt = Math.max(now, this.#lineFreeAt);
    if (turnAt > now) {
      if (this.#queuedBytes + wireBytes > queueBytes) return undefined;
      if (this.#turnsMs.length - this.#firstTurn >= queuePackets) return undefined;
      this.#turnsMs.push(turnAt);
      this.#turnBytes.push(wireBytes);
      this.#queuedBytes += wireBytes;
    }
    this.waitsMs.push(turnAt - now);
    this.#lineFreeAt = turnAt + wireBytes / (rateMbit * BYTES_PER_MS_OF_MBIT);
    return this.#lineFreeAt;
  }

  #passesPolicer(now: number, wireBytes: number): boolean {
    const { policer } = this.options;
    if (policer === undefined) return true;
    const elapsedMs = now - this.#tokensAt;
    const earnedBytes = elapsedMs * policer.rateMbit * BYTES_PER_MS_OF_MBIT;
    this.#tokensBytes = Math.min(policer.burstBytes, this.#tokensBytes + earnedBytes);
    this.#tokensAt = now;
    if (this.#tokensBytes < wireBytes) return false;
    this.#tokensBytes -= wireBytes;
    return true;
  }

  #isLost(): boolean {
    const { lossRate, gilbert, burstCapPackets } = this.options;
    let rate = lossRate;
    if (gilbert !== undefined) {
      if (this.#random.chance(this.#isBad ? gilbert.leaveRate : gilbert.enterRate))
        this.#isBad = !this.#isBad;
      if (this.#isBad) rate = Math.max(rate, gilbert.lossRate);
    }
    const isLost = this.#random.chance(rate) && (burstCapPackets === 0 || this.#lostInARow < burstCapPackets);
    this.#lostInARow = isLost ? this.#lostInARow + 1 : 0;
    return isLost;
  }

  #isCorrupted(): boolean {
    const { corruptRate, burstCapPackets } = this.options;
    const mayBe = burstCapPackets === 0 || this.#corruptedInARow < burstCapPackets;
    const isCorrupted = this.#random.chance(corruptRate) && mayBe;
    this.#corruptedInARow = isCorrupted ? this.#corruptedInARow + 1 : 0;
    return isCorrupted;
  }

  #arrival(departsAt: number): number {
    const { delayMs, jitterMs, jitterReorders, reorderRate, reorderDelayMs } = this.options;
    let arrivesAt = departsAt + delayMs;
    if (jitterMs > 0) arrivesAt += this.#random.unit() * jitterMs;
    if (this.#random.chance(reorderRate)) {
      this.counts.reordered++;
      return arrivesAt + reorderDelayMs;
    }
    if (!jitterReorders) arrivesAt = Math.max(arrivesAt, this.#lastArrivalMs);
    this.#lastArrivalMs = Math.max(arrivesAt, this.#lastArrivalMs);
    return arrivesAt;
  }
}

/** The middle of `values` (0 when empty); sorts a copy. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which the fraction `q` of `values` lies (nearest rank; 0 when empty). */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return 0;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/**
 * A bulk TCP flow in model form, to share a bottleneck with: packets without content, selective
 * acknowledgements, delayed ACKs, and Reno or CUBIC with HyStart as Linux runs them.
 * // RFC 5681, RFC 9438, RFC 6675 (in packets), RFC 6298
 */

import type { Path } from "../../src/base/path.ts";
import type { Datagram } from "./link.ts";
import { Host, type Network, type Receiver, type Side } from "./network.ts";
import type { Waker, World } from "./world.ts";

export interface CompetitorOptions {
  algorithm: "reno" | "cubic";
  startMs: number;
  /** Sends without end by default. */
  packets?: number;
}

/** Bytes of a full segment behind IP and UDP-sized headers: 1500 on the line with 28 of overhead. */
const SEGMENT_BYTES = 1472;
const PAYLOAD_BYTES = 1448;
const ACK_BYTES = 40;
const INITIAL_WINDOW = 10;
const DUPLICATE_THRESHOLD = 3;
const DELAYED_ACK_MS = 40;
const MIN_RTO_MS = 200;
const MAX_RTO_MS = 60_000;
const CUBIC_C = 0.4;
const CUBIC_BETA = 0.7;

interface Segment extends Datagram {
  /** Packet index, or of an ACK: the lowest index missing, the index that caused it, and the highest seen. */
  index: number;
  cumulative: number;
  sentAt: number;
}

export class Competitor implements Waker {
  /** Payload bytes that arrived in order at the receiver. */
  deliveredBytes = 0;
  /** Congestion window in packets, and what happened to the flow. */
  window = INITIAL_WINDOW;
  readonly counts = { sent: 0, lost: 0, timeouts: 0 };
  /** Round trips as the sender saw them, ms. */
  smoothedRttMs = 0;
  readonly #world: World;
  readonly #options: CompetitorOptions;
  readonly #sender: Host;
  readonly #toReceiver: Path;
  readonly #sink: Sink;
  /** 0 in flight, 1 acknowledged, 2 lost and to be sent again. */
  readonly #state: number[] = [];
  readonly #sentAt: number[] = [];
  readonly #lost: number[] = [];
  #firstUnacked = 0;
  #highestAcked = -1;
  #inFlight = 0;
  #lossScan = 0;
  #recoverUntil = -1;
  #ssthresh = Number.POSITIVE_INFINITY;
  #rttVarMs = 0;
  #minRttMs = Number.POSITIVE_INFINITY;
  #backoff = 1;
  #timerAt = Number.POSITIVE_INFINITY;
  #timerPending = false;
  #roundEnd = 0;
  #roundMinMs = Number.POSITIVE_INFINITY;
  #windowMax = 0;
  #epochAt = -1;
  #epochWindow = 0;
  #estimate = 0;

  /** Sends from `left` to `right`; `number` tells apart competitors of one network. */
  constructor(network: Network, options: CompetitorOptions, number = 0) {
    this.#world = network.world;
    this.#options = options;
    this.#sender = new Host(network.left, `198.51.100.${number + 1}`, 80);
    this.#sink = new Sink(network.right, `203.0.113.${number + 101}`, this);
    this.#toReceiver = this.#sender.path(this.#sink.host.address, this.#sink.host.port);
    this.#sender.receiver = {
      receive: (now, _path, _bytes, datagram) => this.#onAck(now, datagram as Segment),
    };
    this.#world.schedule(options.startMs, this, "start");
  }

  wake(now: number, subject: unknown): void {
    if (subject === "timer") {
      this.#timerPending = false;
      if (now >= this.#timerAt) this.#onTimeout();
      else this.#scheduleTimer();
    }
    this.#fill(now);
  }

  #fill(now: number): void {
    while (this.#inFlight < Math.floor(this.window)) {
      const again = this.#lost.shift();
      if (again !== undefined) {
        if (this.#state[again] !== 2) continue;
        this.#transmit(now, again);
      } else if (this.#state.length < (this.#options.packets ?? Number.POSITIVE_INFINITY)) {
        this.#transmit(now, this.#state.length);
      } else break;
    }
  }

  #transmit(now: number, index: number): void {
    this.counts.sent++;
    this.#inFlight++;
    this.#state[index] = 0;
    this.#sentAt[index] = now;
    if (this.#timerAt === Number.POSITIVE_INFINITY) this.#armTimer(now);
    sendSegment(this.#sender, this.#toReceiver, SEGMENT_BYTES, index, 0, now);
  }

  #armTimer(now: number): void {
    const rto = Math.max(MIN_RTO_MS, this.smoothedRttMs + 4 * this.#rttVarMs || 1000) * this.#backoff;
    this.#timerAt = this.#inFlight > 0 ? now + Math.min(MAX_RTO_MS, rto) : Number.POSITIVE_INFINITY;
    this.#scheduleTimer();
  }

  /** One event waits at most: when it finds the timer moved, it goes on to the new time. */
  #scheduleTimer(): void {
    if (this.#timerPending || this.#timerAt === Number.POSITIVE_INFINITY) return;
    this.#timerPending = true;
    this.#world.schedule(this.#timerAt, this, "timer");
  }

  #onAck(now: number, ack: Segment): void {
    const rttMs = now - ack.sentAt;
    this.#updateRtt(rttMs);
    this.#backoff = 1;
    let newly = this.#acknowledge(ack.index);
    while (this.#firstUnacked < ack.cumulative) newly += this.#acknowledge(this.#firstUnacked++);
    this.#highestAcked = Math.max(this.#highestAcked, ack.index, ack.cumulative - 1);
    this.#findLost(now);
    if (newly > 0) this.#grow(now, newly, rttMs);
    this.#armTimer(now);
    this.#fill(now);
  }

  #acknowledge(index: number): number {
    if (this.#state[index] === 1) return 0;
    if (this.#state[index] === 0) this.#inFlight--;
    this.#state[index] = 1;
    return 1;
  }

  #findLost(now: number): void {
    const limit = this.#highestAcked - DUPLICATE_THRESHOLD;
    for (
      this.#lossScan = Math.max(this.#lossScan, this.#firstUnacked);
      this.#lossScan <= limit;
      this.#lossScan++
    ) {
      if (this.#state[this.#lossScan] === 0) this.#declareLost(this.#lossScan);
    }
    // A retransmission that is lost again is found by time (RACK), as nothing overtakes it in numbers.
    const staleAt = now - 1.25 * Math.max(this.smoothedRttMs, this.#minRttMs) - 4 * this.#rttVarMs;
    for (let index = this.#firstUnacked; index < this.#lossScan; index++) {
      if (this.#state[index] === 0 && this.#sentAt[index]! < staleAt) this.#declareLost(index);
    }
  }

  #declareLost(index: number): void {
    this.#state[index] = 2;
    this.#inFlight--;
    this.counts.lost++;
    this.#lost.push(index);
    if (index > this.#recoverUntil) this.#reduce();
  }

  #reduce(): void {
    this.#recoverUntil = this.#state.length - 1;
    if (this.#options.algorithm === "reno") this.window = Math.max(2, this.window / 2);
    else {
      // RFC 9438 §4.7: fast convergence.
      this.#windowMax = this.window < this.#windowMax ? (this.window * (1 + CUBIC_BETA)) / 2 : this.window;
      this.window = Math.max(2, this.window * CUBIC_BETA);
      this.#epochAt = -1;
    }
    this.#ssthresh = this.window;
  }

  #onTimeout(): void {
    this.counts.timeouts++;
    this.#ssthresh = Math.max(2, this.window / 2);
    this.#windowMax = this.window;
    this.#epochAt = -1;
    this.window = 1;
    this.#backoff *= 2;
    this.#recoverUntil = this.#state.length - 1;
    for (let index = this.#firstUnacked; index < this.#state.length; index++) {
      if (this.#state[index] !== 0) continue;
      this.#state[index] = 2;
      this.#lost.push(index);
    }
    this.#inFlight = 0;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #grow(now: number, newly: number, rttMs: number): void {
    if (this.window < this.#ssthresh) {
      this.window += newly;
      this.#slowStartExit(rttMs);
    } else if (this.#options.algorithm === "reno") this.window += newly / this.window;
    else this.#growCubic(now, newly);
  }

  /** HyStart by delay: leaves slow start when a round is slower than the best by an eighth (4–16 ms). */
  #slowStartExit(rttMs: number): void {
    if (this.#firstUnacked > this.#roundEnd) {
      this.#roundEnd = this.#state.length;
      this.#roundMinMs = Number.POSITIVE_INFINITY;
    }
    this.#roundMinMs = Math.min(this.#roundMinMs, rttMs);
    const slack = Math.min(16, Math.max(4, this.#minRttMs / 8));
    if (this.window >= 16 && this.#roundMinMs > this.#minRttMs + slack) this.#ssthresh = this.window;
  }

  /** RFC 9438 §4.2–4.4, in packets and seconds. */
  #growCubic(now: number, newly: number): void {
    if (this.#epochAt < 0) {
      this.#epochAt = now;
      this.#epochWindow = this.window;
      this.#windowMax = Math.max(this.#windowMax, this.window);
      this.#estimate = this.window;
    }
    const kSeconds = Math.cbrt((this.#windowMax - this.#epochWindow) / CUBIC_C);
    const atSeconds = (now - this.#epochAt + this.smoothedRttMs) / 1000;
    const target = CUBIC_C * (atSeconds - kSeconds) ** 3 + this.#windowMax;
    const alpha = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA);
    this.#estimate += (alpha * newly) / this.window;
    const bounded = Math.min(1.5 * this.window, target);
    if (bounded > this.window) this.window += ((bounded - this.window) / this.window) * newly;
    this.window = Math.max(this.window, this.#estimate);
  }

  #updateRtt(rttMs: number): void {
    this.#minRttMs = Math.min(this.#minRttMs, rttMs);
    if (this.smoothedRttMs === 0) {
      this.smoothedRttMs = rttMs;
      this.#rttVarMs = rttMs / 2;
      return;
    }
    this.#rttVarMs += (Math.abs(this.smoothedRttMs - rttMs) - this.#rttVarMs) / 4;
    this.smoothedRttMs += (rttMs - this.smoothedRttMs) / 8;
  }
}

/** The receiver: acknowledges every second packet in order, all others at once. */
class Sink implements Receiver, Waker {
  readonly host: Host;
  readonly #flow: Competitor;
  readonly #beyond = new Set<number>();
  #next = 0;
  #owed: Segment | undefined;
  #peer: Path | undefined;

  constructor(side: Side, address: string, flow: Competitor) {
    this.host = new Host(side, address, 80);
    this.host.receiver = this;
    this.#flow = flow;
  }

  receive(now: number, path: Path, _bytes: Uint8Array, datagram: Datagram): void {
    this.#peer = path;
    const segment = datagram as Segment;
    const inOrder = segment.index === this.#next && this.#beyond.size === 0;
    if (segment.index >= this.#next) this.#beyond.add(segment.index);
    while (this.#beyond.delete(this.#next)) {
      this.#next++;
      this.#flow.deliveredBytes += PAYLOAD_BYTES;
    }
    if (!inOrder || this.#owed !== undefined) this.#acknowledge(segment);
    else {
      this.#owed = segment;
      this.host.side.world.schedule(now + DELAYED_ACK_MS, this, segment);
    }
  }

  wake(_now: number, subject: unknown): void {
    if (this.#owed === subject) this.#acknowledge(this.#owed as Segment);
  }

  #acknowledge(cause: Segment): void {
    this.#owed = undefined;
    sendSegment(this.host, this.#peer!, ACK_BYTES, cause.index, this.#next, cause.sentAt);
  }
}

function sendSegment(
  from: Host,
  to: Path,
  lengthBytes: number,
  index: number,
  cumulative: number,
  sentAt: number,
): void {
  from.side.link.send({
    bytes: NO_BYTES,
    lengthBytes,
    fromAddress: from.address,
    fromPort: from.port,
    toAddress: to.address,
    toPort: to.port,
    index,
    cumulative,
    sentAt,
  } as Segment);
}

const NO_BYTES = new Uint8Array(0);

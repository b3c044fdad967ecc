/**
 * Loss detection against a plain Map of packets: an honest peer that acknowledges what some path let through, in
 * any order and late, and a lying one. What the model knows to be in flight is what recovery counts, every
 * packet meets one fate, and only what is overtaken or overdue counts as lost.
 */
import { type FrameOwner, Recovery } from "../../src/engine/recovery/recovery.ts";
import { PACKET, RECORD, SENT } from "../../src/engine/recovery/sent-packets.ts";
import { FrameCursor } from "../../src/wire/frames.ts";
import { CheckedController } from "./checked-controller.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const FIRST_NUMBERS = [0, 0, 2 ** 31 - 60, 2 ** 32 - 60, 2 ** 47] as const;
const MAX_RANGES = 64;
const FATE = { flying: 0, acked: 1, lost: 2, ackOnly: 3, skipped: 4, reported: 5 } as const;

interface Packet {
  readonly bytes: number;
  readonly sentAtMs: number;
  readonly isMtuProbe: boolean;
  readonly path: number;
  fate: number;
}

/** An ACK: inclusive ranges, the newest first. */
interface Ack {
  readonly ranges: readonly (readonly [number, number])[];
  readonly delayMs: number;
}

class World implements FrameOwner {
  readonly random: Xorshift;
  readonly recovery: Recovery;
  private readonly packets: Map<number, Packet> = new Map();
  private readonly arrived: Set<number> = new Set();
  /** ACKs that are under way or will come again. */
  private readonly acks: Ack[] = [];
  private readonly first: number;
  private next: number;
  private nowMs = 1000;
  private flyingBytes = 0;
  private flying = 0;
  /** The newest numbers that were left out: to name one of them is a lie that is always found. */
  private readonly skipped: [number, number] = [-1, -1];
  private path = 0;
  /** Packets of the newest loss event that have not arrived after all, and the newest number that belongs to it. */
  private readonly lossEvent: Set<number> = new Set();
  private lossEventEnd = -1;
  /** The ACK that is being taken in. */
  private current: Ack | undefined;
  private isResending = false;
  private readonly shareAckOnly: number;
  private readonly shareLost: number;
  private readonly cursor: FrameCursor = new FrameCursor();

  constructor(random: Xorshift) {
    this.random = random;
    this.first = random.pick(FIRST_NUMBERS);
    this.next = this.first;
    this.shareAckOnly = random.pick([0, 10, 50, 95]);
    this.shareLost = random.pick([0, 2, 10, 40]);
    this.recovery = new Recovery(this, this.newController(), this.first);
  }

  /** One operation; false when the peer was caught in a lie, which ends the connection. */
  step(): boolean {
    const { random, recovery } = this;
    let goesOn = true;
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2:
        for (let packets = random.oneIn(12) ? random.below(120) : 1 + random.below(4); packets > 0; packets--)
          this.send();
        break;
      case 3:
      case 4:
        goesOn = this.take(this.makeAck());
        break;
      case 5: {
        // One that was under way for long, or came twice.
        const ack = this.acks.length > 0 ? random.pick(this.acks) : undefined;
        if (ack !== undefined) goesOn = this.take(ack);
        break;
      }
      case 6:
        this.acks.push(this.makeAck());
        if (this.acks.length > 8) this.acks.splice(random.below(8), 1);
        break;
      case 7:
        this.nowMs += random.pick([0, 0.01, 1, 10, 100, 3000]) * random.unit();
        break;
      case 8: {
        const { timeoutAt } = recovery;
        if (timeoutAt === Number.POSITIVE_INFINITY) break;
        this.nowMs = Math.max(this.nowMs, timeoutAt) + random.unit();
        recovery.handleTimeout(this.nowMs);
        recovery.forgetLost(this.nowMs);
        break;
      }
      case 9:
        if (random.oneIn(3)) this.skip();
        else {
          this.isResending = true;
          recovery.resendOldest();
          this.isResending = false;
        }
        break;
      case 10:
        if (random.oneIn(3)) goesOn = this.take(this.lie());
        else recovery.markAppLimited();
        break;
      default:
        if (random.oneIn(40)) this.move();
        else if (random.oneIn(10)) recovery.wantProbe();
        else recovery.forgetLost(this.nowMs);
    }
    if (goesOn) this.check();
    return goesOn;
  }

  // ------------------------------------------------------------------ reports on frames

  frameAcknowledged(_kind: number, _stream: unknown, packetNumber: number): void {
    const packet = this.packets.get(packetNumber);
    if (packet === undefined) broken(`packet ${packetNumber} was never sent`);
    if (this.current === undefined || !names(this.current, packetNumber)) {
      broken(`the frames of packet ${packetNumber} count as delivered, but no ACK names it`);
    }
    if (packet.fate === FATE.acked || packet.fate === FATE.reported)
      broken(`packet ${packetNumber} arrived twice`);
    this.setFate(packetNumber, packet, packet.fate === FATE.ackOnly ? FATE.reported : FATE.acked);
    this.lossEvent.delete(packetNumber);
  }

  frameLost(_kind: number, _stream: unknown, packetNumber: number): void {
    const packet = this.packets.get(packetNumber);
    if (packet === undefined) broken(`packet ${packetNumber} was never sent`);
    if (packet.fate !== FATE.flying) broken(`packet ${packetNumber} is lost, but not in flight`);
    if (this.isResending) return;
    const { recovery } = this;
    const { rtt, packetThreshold, timeThreshold, largestAcked } = recovery;
    if (packetNumber >= largestAcked) broken(`packet ${packetNumber} is lost, but nothing later has arrived`);
    const delayMs = Math.max(timeThreshold * Math.max(rtt.smoothedMs, rtt.latestMs), 1);
    if (largestAcked - packetNumber < packetThreshold && packet.sentAtMs + delayMs > this.nowMs) {
      broken(`packet ${packetNumber} is lost too early`);
    }
    if (this.current !== undefined && names(this.current, packetNumber))
      broken("lost by the ACK that names it");
    this.setFate(packetNumber, packet, FATE.lost);
    if (packet.path !== this.path) return;
    if (packetNumber > this.lossEventEnd) {
      this.lossEventEnd = this.next - 1;
      this.lossEvent.clear();
    }
    this.lossEvent.add(packetNumber);
  }

  // ------------------------------------------------------------------ sending

  private send(): void {
    const { random, recovery } = this;
    const { sent } = recovery;
    const packetNumber = this.next++;
    const slot = sent.push();
    same(sent.next, this.next, "the next number");
    same(slot, sent.slot(packetNumber), "the slot");
    const isAckOnly = random.below(100) < this.shareAckOnly;
    const isMtuProbe = !isAckOnly && random.oneIn(30);
    const bytes = isMtuProbe ? 1200 + random.below(260) : 40 + random.below(1160);
    // One record a packet, which names it; a probe has none.
    if (!isMtuProbe) sent.record(isAckOnly ? RECORD.ack : RECORD.control, undefined, packetNumber, 0);
    const fate = isAckOnly ? FATE.ackOnly : FATE.flying;
    this.packets.set(packetNumber, { bytes, sentAtMs: this.nowMs, isMtuProbe, path: this.path, fate });
    if (!isAckOnly) {
      this.flyingBytes += bytes;
      this.flying++;
    }
    const flags = isAckOnly ? 0 : isMtuProbe ? SENT.ackEliciting | SENT.mtuProbe : SENT.ackEliciting;
    recovery.onSent(this.nowMs, bytes, flags);
    if (random.below(100) >= this.shareLost) this.arrived.add(packetNumber);
    if (random.oneIn(4)) this.nowMs += random.unit();
  }

  private move(): void {
    this.path++;
    this.lossEventEnd = this.next - 1;
    this.lossEvent.clear();
    this.recovery.resetPath(this.newController());
  }

  private newController(): CheckedController {
    return new CheckedController(this.random, () => {
      if (this.lossEvent.size > 0)
        broken("the window was given back though packets of the loss event are missing");
    });
  }

  private skip(): void {
    this.recovery.skipNumber();
    this.skipped[1] = this.skipped[0];
    this.skipped[0] = this.next;
    this.packets.set(this.next++, {
      bytes: 0,
      sentAtMs: this.nowMs,
      isMtuProbe: false,
      path: 0,
      fate: FATE.skipped,
    });
  }

  // ------------------------------------------------------------------ acknowledging

  /** What a peer would say now: the newest of what arrived, at times without the very newest. */
  private makeAck(): Ack {
    const { random } = this;
    const ranges: [number, number][] = [];
    const least = Math.max(this.first, this.next - 1500);
    const newest = this.next - 1 - (random.oneIn(3) ? random.below(12) : 0);
    for (let number = newest; number >= least && ranges.length < MAX_RANGES; number--) {
      if (!this.arrived.has(number)) continue;
      const last = ranges[ranges.length - 1];
      if (last !== undefined && last[0] === number + 1) last[0] = number;
      else if (ranges.length > 0 && random.oneIn(60)) break;
      else ranges.push([number, number]);
    }
    return { ranges, delayMs: random.oneIn(4) ? random.unit() * 1e6 : random.unit() * 30 };
  }

  /** Numbers that were never sent, or left out; or all that there are, arrived or not. */
  private lie(): Ack {
    const { random } = this;
    const delayMs = random.magnitude() / 125;
    switch (random.below(4)) {
      case 0:
        return { ranges: [[this.first, this.next + random.below(3)]], delayMs };
      case 1: {
        const number = random.pick(this.skipped);
        return number < 0 ? this.makeAck() : { ranges: [[number, number]], delayMs };
      }
      case 2:
        return { ranges: [[0, Math.max(0, this.next - 1)]], delayMs };
      default: {
        const number = this.first + random.below(this.next - this.first + 1);
        return { ranges: [[Math.max(0, number - random.below(300)), number]], delayMs };
      }
    }
  }

  private take(ack: Ack): boolean {
    if (ack.ranges.length === 0) return true;
    const { cursor } = this;
    cursor.ackRanges = ack.ranges.length;
    cursor.ackDelayMs = ack.delayMs;
    for (const [i, [start, end]] of ack.ranges.entries()) {
      cursor.ackStarts[i] = start;
      cursor.ackEnds[i] = end;
    }
    const isLie =
      ack.ranges[0]![1] >= this.next || this.skipped.some((number) => number >= 0 && names(ack, number));
    this.current = ack;
    const isTaken = this.recovery.onAck(this.nowMs, cursor);
    this.current = undefined;
    if (isLie && isTaken) broken("an ACK of what was never sent was taken");
    if (!isTaken && !this.namesUnsent(ack)) broken("an honest ACK was refused");
    if (!isTaken) return false;
    for (const [start, end] of ack.ranges) {
      for (let number = Math.max(start, this.first); number <= end; number++) {
        const packet = this.packets.get(number)!;
        if (packet.fate !== FATE.flying) continue;
        if (!packet.isMtuProbe) broken(`packet ${number} was acknowledged and is still in flight`);
        this.setFate(number, packet, FATE.acked);
      }
    }
    return true;
  }

  private namesUnsent(ack: Ack): boolean {
    for (const [start, end] of ack.ranges) {
      for (let number = Math.max(start, this.first); number <= end; number++) {
        const fate = this.packets.get(number)?.fate ?? FATE.skipped;
        if (fate === FATE.skipped) return true;
      }
    }
    return false;
  }

  // ------------------------------------------------------------------ what must hold

  private setFate(packetNumber: number, packet: Packet, fate: number): void {
    if (packet.fate === FATE.flying && fate !== FATE.flying) {
      this.flyingBytes -= packet.bytes;
      this.flying--;
    }
    packet.fate = fate;
    if (packet.bytes === 0) broken(`packet ${packetNumber} was left out and has a fate`);
  }

  private check(): void {
    const { recovery, packets } = this;
    const { sent, rtt } = recovery;
    if (sent.first < this.first || sent.first > this.next) broken(`packets from ${sent.first} are kept`);
    // The fate of a lost probe is told by its size alone: the ring knows it.
    for (let number = sent.first; number < this.next; number++) {
      const packet = packets.get(number)!;
      if (packet.isMtuProbe && packet.fate === FATE.flying && sent.state[sent.slot(number)] === PACKET.lost) {
        this.setFate(number, packet, FATE.lost);
      }
    }
    same(recovery.bytesInFlight, this.flyingBytes, "the bytes in flight");
    same(recovery.packetsInFlight, this.flying, "the packets in flight");
    const { timeoutAt, ptoMs } = recovery;
    if (!(ptoMs > 0 && ptoMs < 1e9)) broken(`a probe timeout of ${ptoMs} ms`);
    if (this.flying > 0 && !(timeoutAt < Number.POSITIVE_INFINITY)) broken("in flight without a timer");
    if (Number.isNaN(timeoutAt)) broken("a timer at NaN");
    if (!(rtt.smoothedMs >= 0 && rtt.rttVarMs >= 0 && rtt.minMs >= 0))
      broken(`a round trip of ${rtt.smoothedMs}`);
    if (!(recovery.packetThreshold >= 3 && recovery.packetThreshold <= 20)) broken("the packet threshold");
  }
}

function names(ack: Ack, packetNumber: number): boolean {
  for (const [start, end] of ack.ranges) if (packetNumber >= start && packetNumber <= end) return true;
  return false;
}

export const recoveries: FuzzTarget = {
  name: "recovery",
  inputsPerRun: 400,
  weight: 18,
  run(random) {
    let world = new World(random);
    for (let input = 0; input < this.inputsPerRun; input++) {
      if (!world.step()) world = new World(random);
    }
  },
};

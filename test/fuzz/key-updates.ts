/**
 * Key updates between two ends over a network that delays, repeats, reorders and loses; and a peer that sends
 * REKEY frames as it likes. Whatever is sealed can be opened at that moment by the other end, which is what the
 * whole order of steps is for, and both ends come to every new epoch together.
 */
import { SrudpError } from "../../src/base/errors.ts";
import type { HandshakeKeys, Role } from "../../src/engine/handshake/handshake-config.ts";
import { KeyUpdate } from "../../src/engine/handshake/key-update.ts";
import { FrameCursor } from "../../src/wire/frames.ts";
import { toyPrimitives } from "../sim/primitives.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const PTO_MS = 50;
const OLD_KEYS_MS = 3 * PTO_MS;
const HEAD_BYTES = 8;
const TEXT_BYTES = 24;

interface Sealed {
  readonly to: End;
  readonly epoch: number;
  readonly bytes: Uint8Array;
  readonly packetNumber: number;
  /** REKEY frame inside, and what its fate is told by. */
  readonly frame: Uint8Array | undefined;
  readonly recordValue: number;
}

interface End {
  readonly keys: KeyUpdate;
  /** When it first opened a packet of each epoch. */
  readonly openedAtMs: number[];
}

class World {
  private readonly random: Xorshift;
  private readonly ends: readonly [End, End];
  private readonly underWay: Sealed[] = [];
  private readonly cursor: FrameCursor = new FrameCursor();
  private nowMs = 0;
  private packetNumber = 0;

  constructor(random: Xorshift) {
    this.random = random;
    this.ends = [newEnd("initiator", random), newEnd("responder", random)];
  }

  step(): void {
    const { random, underWay } = this;
    const side = random.below(2);
    const end = this.ends[side]!;
    switch (random.below(12)) {
      case 0:
        end.keys.request();
        break;
      case 1:
      case 2:
      case 3:
      case 4:
        this.send(side);
        break;
      case 5:
      case 6:
      case 7:
        if (underWay.length > 0) this.deliver(this.take(random.oneIn(8)));
        break;
      case 8: {
        const lost = underWay.length > 0 ? this.take(random.oneIn(4)) : undefined;
        if (lost?.frame !== undefined)
          this.ends[lost.to === this.ends[0] ? 1 : 0].keys.onFrameLost(lost.recordValue);
        break;
      }
      case 9:
        this.nowMs += random.unit() * random.pick([1, PTO_MS, 4 * PTO_MS, 2000]);
        break;
      default:
        if (end.keys.timeoutAt <= this.nowMs) end.keys.handleTimeout(this.nowMs);
    }
    this.check();
  }

  /** From here on everything arrives: both ends change their keys once more. */
  settle(): void {
    const [a, b] = this.ends;
    this.deliverAll();
    const before = Math.max(a.keys.epoch, b.keys.epoch);
    for (let rounds = 0; Math.min(a.keys.epoch, b.keys.epoch) <= before; rounds++) {
      if (rounds > 20) broken(`no new epoch after ${before}`);
      this.ends[this.random.below(2)]!.keys.request();
      this.deliverAll();
    }
    same(a.keys.epoch, b.keys.epoch, "the epoch");
  }

  private deliverAll(): void {
    // What was lost without a word is noticed by the packets that follow.
    for (let rounds = 0; rounds < 4; rounds++) {
      for (const side of [0, 1]) {
        this.send(side);
        while (this.underWay.length > 0) this.deliver(this.take(false));
      }
      for (const { keys } of this.ends) if (keys.hasFrame) rounds = Math.min(rounds, 2);
    }
  }

  private send(side: number): void {
    const { random } = this;
    const { keys } = this.ends[side]!;
    const bytes = random.bytes(HEAD_BYTES + TEXT_BYTES + 16);
    let frame: Uint8Array | undefined;
    let recordValue = -1;
    if (keys.hasFrame) {
      const written = new Uint8Array(80);
      frame = written.subarray(0, keys.writeFrame(written, 0));
      recordValue = keys.recordValue;
    }
    const to = this.ends[1 - side]!;
    const packetNumber = this.packetNumber++;
    keys.countSealed();
    keys.sealKey.seal(bytes, 0, HEAD_BYTES, HEAD_BYTES + TEXT_BYTES, packetNumber);
    const sealed: Sealed = { to, epoch: keys.epoch, bytes, packetNumber, frame, recordValue };
    if (!opens(sealed))
      broken(`sealed in epoch ${keys.epoch}, which the other end (${to.keys.epoch}) cannot open`);
    this.underWay.push(sealed);
  }

  private deliver(sealed: Sealed): void {
    const { to, epoch, frame } = sealed;
    const opened = opens(sealed);
    if (!opened) {
      const confirmedAtMs = to.openedAtMs[epoch + 1] ?? Number.POSITIVE_INFINITY;
      const isLate = to.keys.epoch > epoch + 1 || this.nowMs >= confirmedAtMs + OLD_KEYS_MS;
      if (!isLate) broken(`a packet of epoch ${epoch} does not open in epoch ${to.keys.epoch}`);
      return;
    }
    to.openedAtMs[epoch] ??= this.nowMs;
    to.keys.onOpened(this.nowMs, epoch & 3, PTO_MS);
    if (frame === undefined) return;
    this.cursor.reset(frame, 0, frame.length);
    if (!this.cursor.next()) broken("the REKEY frame cannot be read");
    const { id, code, start, end } = this.cursor;
    // Two honest ends never close the link on each other: a SrudpError here fails the run.
    to.keys.onFrame(this.nowMs, id, code, frame.slice(start, end));
  }

  private take(stays: boolean): Sealed {
    const index = this.random.below(this.underWay.length);
    const sealed = this.underWay[index]!;
    if (!stays) this.underWay.splice(index, 1);
    return sealed;
  }

  private check(): void {
    const [a, b] = this.ends;
    if (Math.abs(a.keys.epoch - b.keys.epoch) > 1) broken(`epochs ${a.keys.epoch} and ${b.keys.epoch}`);
    for (const { keys } of this.ends) if (Number.isNaN(keys.timeoutAt)) broken("a timer at NaN");
  }
}

function newEnd(role: Role, random: Xorshift): End {
  const [mine, theirs] = role === "initiator" ? [1, 2] : [2, 1];
  const keys: HandshakeKeys = {
    mode: "key",
    role,
    sendKey: new Uint8Array(32).fill(mine),
    receiveKey: new Uint8Array(32).fill(theirs),
    handshakeHash: new Uint8Array(32).fill(3),
    rekeySecret: new Uint8Array(32).fill(4),
    exporterSecret: new Uint8Array(32).fill(7),
    peerStatic: new Uint8Array(32).fill(5),
    peerConnectionId: new Uint8Array(8).fill(6),
    peerParameters: new Uint8Array(0),
    version: 0,
  };
  const limits = { afterMs: random.pick([100, 1000, 1e9]), afterPackets: random.pick([5, 50, 1e9]) };
  const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
  return { keys: new KeyUpdate(0, keys, toyPrimitives, draw, limits), openedAtMs: [] };
}

function opens({ to, epoch, bytes, packetNumber }: Sealed): boolean {
  const key = to.keys.openKeyOf(epoch & 3);
  return key?.open(Uint8Array.from(bytes), 0, HEAD_BYTES, HEAD_BYTES + TEXT_BYTES, packetNumber) ?? false;
}

export const keyUpdates: FuzzTarget = {
  name: "key-update",
  inputsPerRun: 120,
  weight: 2,
  run(random) {
    const world = new World(random);
    for (let input = 0; input < this.inputsPerRun; input++) world.step();
    world.settle();
  },
};

/** REKEY frames of a peer that keeps to nothing: refused with ERR_PROTOCOL, or without any effect. */
export const rekeyJunk: FuzzTarget = {
  name: "rekey-junk",
  inputsPerRun: 200,
  weight: 1,
  run(random) {
    let end = newEnd(random.pick(["initiator", "responder"]), random);
    for (let input = 0; input < this.inputsPerRun; input++) {
      const { keys } = end;
      const { epoch } = keys;
      if (random.oneIn(3)) keys.request();
      try {
        const number = random.oneIn(2) ? epoch + random.below(3) : random.magnitude();
        const length = random.oneIn(6) ? random.below(60) : 48;
        keys.onFrame(
          input,
          number,
          random.below(4),
          random.oneIn(3) ? new Uint8Array(length) : random.bytes(length),
        );
      } catch (error) {
        if (!(error instanceof SrudpError) || error.code !== "ERR_PROTOCOL") throw error;
        end = newEnd(random.pick(["initiator", "responder"]), random);
        continue;
      }
      if (keys.hasFrame) keys.writeFrame(new Uint8Array(80), 0);
      keys.onOpened(input, random.below(4), PTO_MS);
      // An asking in NNpsk0 carries a proof of the secret: junk never moves the keys.
      same(keys.epoch, epoch, "the epoch");
    }
  },
};

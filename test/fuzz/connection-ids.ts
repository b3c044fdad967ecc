/**
 * Connection IDs: two ends that change paths over a network that loses, repeats and reorders always reach each
 * other, and a peer that hands out and takes back as it likes costs a bounded number of IDs.
 */
import { SrudpError } from "../../src/base/errors.ts";
import { ConnectionIds } from "../../src/engine/connection/connection-ids.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const HELD_IDS = 3;
/** Bounds of what waits to be told, and of what is remembered, far above what two honest ends need. */
const MAX_QUEUED = 24;
const MAX_SEEN = 64;

interface Insides {
  readonly local: readonly { readonly sequence: number }[];
  readonly toAnnounce: readonly unknown[];
  readonly toRetire: readonly unknown[];
  readonly spare: readonly unknown[];
  readonly seen: ReadonlySet<number>;
}

/** One frame under way; `id` is undefined for RETIRE_CONNECTION_ID. */
interface Frame {
  readonly from: ConnectionIds;
  readonly to: ConnectionIds;
  readonly sequence: number;
  readonly id: Uint8Array | undefined;
}

export const connectionIds: FuzzTarget = {
  name: "connection-ids",
  inputsPerRun: 300,
  weight: 6,
  run(random) {
    const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
    const first = [random.bytes(8), random.bytes(8)] as const;
    const ends = [
      new ConnectionIds(first[0], first[1], draw),
      new ConnectionIds(first[1], first[0], draw),
    ] as const;
    const underWay: Frame[] = [];
    for (let input = 0; input < this.inputsPerRun; input++) {
      const side = random.below(2);
      const end = ends[side]!;
      const other = ends[1 - side]!;
      const index = underWay.length > 0 ? random.below(underWay.length) : -1;
      switch (random.below(10)) {
        case 0:
          end.changePeerId();
          break;
        case 1:
        case 2:
        case 3:
          sendAll(end, other, underWay);
          break;
        case 4:
          if (index >= 0) lose(underWay.splice(index, 1)[0]!);
          break;
        case 5:
          // A probe repeats what may not be lost at all.
          if (index >= 0) lose(underWay[index]!);
          break;
        default:
          if (index >= 0) deliver(random.oneIn(8) ? underWay[index]! : underWay.splice(index, 1)[0]!);
      }
      check(end);
      if (!holds(other, end.peerId)) broken("the peer is addressed by an ID that it does not own");
    }
    // Everything arrives: each end has spare IDs again.
    for (let rounds = 0; rounds < 6; rounds++) {
      for (const side of [0, 1] as const) sendAll(ends[side], ends[1 - side]!, underWay);
      while (underWay.length > 0) deliver(underWay.pop()!);
    }
    for (const end of ends) {
      if (end.hasFrame) broken("there is always something more to tell");
      same((end as unknown as Insides).spare.length, HELD_IDS - 1, "the spare IDs in the end");
    }
  },
};

export const connectionIdJunk: FuzzTarget = {
  name: "connection-id-junk",
  inputsPerRun: 500,
  weight: 6,
  run(random) {
    let hostile = new Hostile(random);
    for (let input = 0; input < this.inputsPerRun; input++) {
      try {
        hostile.step();
      } catch (error) {
        if (!(error instanceof SrudpError) || error.code !== "ERR_PROTOCOL") throw error;
        hostile = new Hostile(random);
      }
      check(hostile.ids);
    }
  },
};

/** A peer that hands out, takes back, moves and keeps its ACKs to itself. */
class Hostile {
  readonly ids: ConnectionIds;
  private readonly random: Xorshift;
  /** It mostly does one thing, and that well. */
  private readonly habit: number;
  private nextSequence = 1;

  constructor(random: Xorshift) {
    this.random = random;
    this.habit = random.below(4);
    this.ids = new ConnectionIds(random.bytes(8), random.bytes(8), (byteLength) => random.bytes(byteLength));
  }

  step(): void {
    const { random, ids } = this;
    switch (random.oneIn(4) ? random.below(6) : this.habit) {
      case 0:
        ids.onRetire(this.anySequence());
        return;
      case 1:
        // The new path makes us take the next of its IDs.
        ids.onNewId(this.nextSequence++, random.bytes(8));
        ids.changePeerId();
        return;
      case 2:
        ids.onNewId(random.oneIn(2) ? this.nextSequence++ : this.anySequence(), random.bytes(8));
        return;
      case 3:
        // A probe timeout: the oldest packet's frames go again, as often as it goes off.
        ids.onAnnounceLost(this.anySequence());
        return;
      case 4:
        if (ids.nextToAnnounce !== undefined) ids.onAnnounced();
        return;
      default:
        if (ids.nextToRetire >= 0) ids.onRetired();
    }
  }

  /** Mostly one of the IDs in force: their sequences are no secret. */
  private anySequence(): number {
    const { random } = this;
    if (random.oneIn(8)) return random.magnitude();
    const { local } = this.ids as unknown as Insides;
    return random.oneIn(8) ? random.below(this.nextSequence + 4) : random.pick(local).sequence;
  }
}

function sendAll(from: ConnectionIds, to: ConnectionIds, underWay: Frame[]): void {
  for (let frames = 0; from.hasFrame; frames++) {
    if (frames > 2 * MAX_QUEUED) broken("frames without end");
    const announced = from.nextToAnnounce;
    if (announced !== undefined) {
      underWay.push({ from, to, sequence: announced.sequence, id: announced.id });
      from.onAnnounced();
    } else {
      underWay.push({ from, to, sequence: from.nextToRetire, id: undefined });
      from.onRetired();
    }
  }
}

function deliver({ to, sequence, id }: Frame): void {
  if (id === undefined) to.onRetire(sequence);
  else to.onNewId(sequence, id);
}

function lose({ from, sequence, id }: Frame): void {
  if (id === undefined) from.onRetireLost(sequence);
  else from.onAnnounceLost(sequence);
}

function holds(ids: ConnectionIds, id: Uint8Array): boolean {
  return ids.localIds.some((local) => Buffer.compare(local, id) === 0);
}

function check(ids: ConnectionIds): void {
  const { toAnnounce, toRetire, spare, seen } = ids as unknown as Insides;
  same(ids.localIds.length, HELD_IDS, "the own IDs");
  if (spare.length > HELD_IDS) broken(`${spare.length} spare IDs`);
  if (toAnnounce.length > MAX_QUEUED) broken(`${toAnnounce.length} IDs wait to be announced`);
  if (toRetire.length > MAX_QUEUED) broken(`${toRetire.length} IDs wait to be retired`);
  if (seen.size > MAX_SEEN) broken(`${seen.size} sequences are remembered`);
}

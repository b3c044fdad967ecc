/**
 * Connection IDs: those by which the peer reaches us, and those by which we reach the peer. Each side hands
 * out spares, so that packets on a new path cannot be linked to those on the old one by their ID.
 * // RFC 9000 §5.1, §9.5
 */
import { copyBytes, equalBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { CONNECTION_ID_BYTES, isAddressedTo } from "../../wire/packet.ts";

/** IDs that each side may hold of the other, the one in use included. */
const HELD_IDS = 3;

interface NumberedId {
  readonly sequence: number;
  readonly id: Uint8Array;
}

export class ConnectionIds {
  /** Our IDs changed: whoever finds connections by them looks again. */
  changed = false;
  private readonly random: (byteLength: number) => Uint8Array;
  private own: NumberedId[];
  private nextSequence = 1;
  private highestAnnounced = 0;
  /** Own IDs that the peer is to be told, by sequence. */
  private readonly toAnnounce: NumberedId[] = [];
  /** Sequences of the peer's IDs that it is to be told are not used any more. */
  private readonly toRetire: number[] = [];
  private inUse: NumberedId;
  private readonly spare: NumberedId[] = [];
  private highestSeen = 0;

  constructor(ownId: Uint8Array, peerId: Uint8Array, random: (byteLength: number) => Uint8Array) {
    this.random = random;
    this.own = [{ sequence: 0, id: ownId }];
    this.inUse = { sequence: 0, id: peerId };
    while (this.own.length < HELD_IDS) this.issue();
  }

  /** IDs that the peer may address us by. */
  get ownIds(): readonly Uint8Array[] {
    return this.own.map(({ id }) => id);
  }

  /** ID that packets to the peer carry now. */
  get peerId(): Uint8Array {
    return this.inUse.id;
  }

  /** Whether the packet at `at` is addressed to us; one of the own IDs. */
  isOwn(bytes: Uint8Array, at: number): boolean {
    for (const { id } of this.own) if (isAddressedTo(bytes, at, id)) return true;
    return false;
  }

  /** A new path: from now on the peer is addressed by an ID that nobody has seen, if it gave us one. */
  changePeerId(): void {
    const next = this.spare.shift();
    if (next === undefined) return;
    this.toRetire.push(this.inUse.sequence);
    this.inUse = next;
  }

  /** Whether the peer is to be told something. */
  get hasFrame(): boolean {
    return this.toAnnounce.length > 0 || this.toRetire.length > 0;
  }

  get nextToAnnounce(): NumberedId | undefined {
    return this.toAnnounce[0];
  }

  onAnnounced(): void {
    const announced = this.toAnnounce.shift();
    if (announced !== undefined) this.highestAnnounced = Math.max(this.highestAnnounced, announced.sequence);
  }

  get nextToRetire(): number {
    return this.toRetire[0] ?? -1;
  }

  onRetired(): void {
    this.toRetire.shift();
  }

  /** The frame that carried it was lost: again, unless it has lost its meaning. */
  onAnnounceLost(sequence: number): void {
    const lost = this.own.find((one) => one.sequence === sequence);
    if (lost !== undefined && !this.toAnnounce.includes(lost)) this.toAnnounce.push(lost);
  }

  onRetireLost(sequence: number): void {
    if (!this.toRetire.includes(sequence)) this.toRetire.push(sequence);
  }

  /** NEW_CONNECTION_ID. Throws ERR_PROTOCOL when the peer hands out more than it may. */
  onNewId(sequence: number, id: Uint8Array): void {
    const known =
      this.inUse.sequence === sequence ? this.inUse : this.spare.find((one) => one.sequence === sequence);
    if (known !== undefined) {
      if (!equalBytes(known.id, id)) throw new SrudpError("ERR_PROTOCOL", "a connection ID changed");
      return;
    }
    if (sequence <= this.highestSeen && !this.isMissing(sequence)) return;
    // Who issues ever more without taking back what was retired makes us hold ever more.
    if (this.toRetire.length > 2 * HELD_IDS) throw new SrudpError("ERR_PROTOCOL", "too many connection IDs");
    if (this.spare.length >= HELD_IDS) throw new SrudpError("ERR_PROTOCOL", "too many connection IDs");
    this.highestSeen = Math.max(this.highestSeen, sequence);
    this.seen.add(sequence);
    if (this.seen.size > 4 * HELD_IDS) {
      for (const one of this.seen) if (one < this.highestSeen - 2 * HELD_IDS) this.seen.delete(one);
    }
    this.spare.push({ sequence, id: copyBytes(id, 0, CONNECTION_ID_BYTES) });
  }

  /** RETIRE_CONNECTION_ID: the peer lets one of ours go and gets another for it. */
  onRetire(sequence: number): void {
    // RFC 9000 §19.16: nobody retires what was not announced.
    if (sequence > this.highestAnnounced)
      throw new SrudpError("ERR_PROTOCOL", "retired a connection ID never issued");
    const before = this.own.length;
    if (before === 1) return;
    this.own = this.own.filter((one) => one.sequence !== sequence);
    const waiting = this.toAnnounce.findIndex((one) => one.sequence === sequence);
    if (waiting >= 0) this.toAnnounce.splice(waiting, 1);
    if (this.own.length < before) this.issue();
  }

  /** Sequences received out of order: a late one is new, a repeated one is not. */
  private readonly seen: Set<number> = new Set([0]);

  private isMissing(sequence: number): boolean {
    return sequence >= this.highestSeen - 2 * HELD_IDS && !this.seen.has(sequence);
  }

  private issue(): void {
    const issued = { sequence: this.nextSequence++, id: this.random(CONNECTION_ID_BYTES) };
    this.own.push(issued);
    this.toAnnounce.push(issued);
    this.changed = true;
  }
}

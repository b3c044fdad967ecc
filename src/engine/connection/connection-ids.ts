/**
 * Connection IDs: the local IDs, to which the peer addresses packets, and the peer's IDs. Each side
 * issues spare IDs, so that an observer cannot link packets on a new path to those on the old one.
 * // RFC 9000 §5.1, §9.5
 */
import { copyBytes, equalBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { CONNECTION_ID_BYTES, isAddressedTo } from "../../wire/packet.ts";

/** How many of the peer's IDs each side may hold, including the one in use. */
const HELD_IDS = 3;

interface NumberedId {
  readonly sequence: number;
  readonly id: Uint8Array;
}

export class ConnectionIds {
  /** The local IDs changed. The owner updates its table of connections. */
  changed = false;
  private readonly random: (byteLength: number) => Uint8Array;
  private local: NumberedId[];
  private nextSequence = 1;
  private highestAnnounced = 0;
  /** Local IDs to announce to the peer, by sequence. */
  private readonly toAnnounce: NumberedId[] = [];
  /** Sequences of the peer's IDs to retire. */
  private readonly toRetire: number[] = [];
  private inUse: NumberedId;
  private readonly spare: NumberedId[] = [];
  private highestSeen = 0;

  constructor(localId: Uint8Array, peerId: Uint8Array, random: (byteLength: number) => Uint8Array) {
    this.random = random;
    this.local = [{ sequence: 0, id: localId }];
    this.inUse = { sequence: 0, id: peerId };
    while (this.local.length < HELD_IDS) this.issue();
  }

  /** The local IDs that the peer may use. */
  get localIds(): readonly Uint8Array[] {
    return this.local.map(({ id }) => id);
  }

  /** The peer's ID in packets sent now. */
  get peerId(): Uint8Array {
    return this.inUse.id;
  }

  /** Whether the packet at `at` is addressed to a local ID. */
  isLocal(bytes: Uint8Array, at: number): boolean {
    for (const { id } of this.local) if (isAddressedTo(bytes, at, id)) return true;
    return false;
  }

  /** Switches to an unused ID of the peer for a new path, if the peer has issued one. */
  changePeerId(): void {
    const next = this.spare.shift();
    if (next === undefined) return;
    this.toRetire.push(this.inUse.sequence);
    this.inUse = next;
  }

  /** Whether a NEW_CONNECTION_ID or RETIRE_CONNECTION_ID frame is to be sent. */
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

  /** The frame that announced this ID was lost: send it again, unless it is obsolete. */
  onAnnounceLost(sequence: number): void {
    const lost = this.local.find((one) => one.sequence === sequence);
    if (lost !== undefined && !this.toAnnounce.includes(lost)) this.toAnnounce.push(lost);
  }

  onRetireLost(sequence: number): void {
    if (!this.toRetire.includes(sequence)) this.toRetire.push(sequence);
  }

  /** NEW_CONNECTION_ID. Throws ERR_PROTOCOL if the peer issues more IDs than it may. */
  onNewId(sequence: number, id: Uint8Array): void {
    const known =
      this.inUse.sequence === sequence ? this.inUse : this.spare.find((one) => one.sequence === sequence);
    if (known !== undefined) {
      if (!equalBytes(known.id, id)) throw new SrudpError("ERR_PROTOCOL", "a connection ID changed");
      return;
    }
    if (sequence <= this.highestSeen && !this.isMissing(sequence)) return;
    // A peer that keeps issuing IDs without acknowledging retirements would make this list grow
    // without bound.
    if (this.toRetire.length > 2 * HELD_IDS) throw new SrudpError("ERR_PROTOCOL", "too many connection IDs");
    if (this.spare.length >= HELD_IDS) throw new SrudpError("ERR_PROTOCOL", "too many connection IDs");
    this.highestSeen = Math.max(this.highestSeen, sequence);
    this.seen.add(sequence);
    if (this.seen.size > 4 * HELD_IDS) {
      for (const one of this.seen) if (one < this.highestSeen - 2 * HELD_IDS) this.seen.delete(one);
    }
    this.spare.push({ sequence, id: copyBytes(id, 0, CONNECTION_ID_BYTES) });
  }

  /** RETIRE_CONNECTION_ID: the peer gives up a local ID and gets a new one. */
  onRetire(sequence: number): void {
    // RFC 9000 §19.16: an ID that was not announced cannot be retired.
    if (sequence > this.highestAnnounced)
      throw new SrudpError("ERR_PROTOCOL", "retired a connection ID never issued");
    const before = this.local.length;
    if (before === 1) return;
    this.local = this.local.filter((one) => one.sequence !== sequence);
    const waiting = this.toAnnounce.findIndex((one) => one.sequence === sequence);
    if (waiting >= 0) this.toAnnounce.splice(waiting, 1);
    if (this.local.length < before) this.issue();
  }

  /** Sequences received out of order, to distinguish a late one from a repeated one. */
  private readonly seen: Set<number> = new Set([0]);

  private isMissing(sequence: number): boolean {
    return sequence >= this.highestSeen - 2 * HELD_IDS && !this.seen.has(sequence);
  }

  private issue(): void {
    const issued = { sequence: this.nextSequence++, id: this.random(CONNECTION_ID_BYTES) };
    this.local.push(issued);
    this.toAnnounce.push(issued);
    this.changed = true;
  }
}

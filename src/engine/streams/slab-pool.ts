/**
 * Memory for what has arrived and waits to be read: slabs, which a reader may give back to be filled again.
 *
 * Whoever gives nothing back costs nothing here, and leaves the slabs to the garbage collector. At some hundred
 * megabytes a second that is a good part of the receiver's work.
 */

/** Length of the slabs that are worth keeping. */
export const SLAB_BYTES = 65_536;
/** Slabs kept for later: more than arrive between two turns of the event loop. */
const MAX_SPARE = 64;
/** Slabs of each smaller size that are kept for later. */
const SMALL_SPARE_MOST = 16;

export class SlabPool {
  private readonly spare: Uint8Array[] = [];
  /** Slabs of other lengths, which the beginnings of streams are laid into, by length. */
  private readonly smallSpare: Map<number, Uint8Array[]> = new Map();
  /** Memory that a reader has, which may come back once. */
  private readonly lent: WeakSet<ArrayBufferLike> = new WeakSet();
  private isUsed = false;

  take(byteLength: number): Uint8Array {
    const spare = byteLength === SLAB_BYTES ? this.spare : this.smallSpare.get(byteLength);
    return spare?.pop() ?? new Uint8Array(byteLength);
  }

  /**
   * Takes back a slab of which the reader was given nothing. A peer that resets stream after stream would otherwise
   * have fresh memory zeroed for each.
   */
  takeBack(slab: Uint8Array): void {
    const { length } = slab;
    if (length === SLAB_BYTES) {
      if (this.spare.length < MAX_SPARE) this.spare.push(slab);
      return;
    }
    const spare = this.smallSpare.get(length);
    if (spare === undefined) this.smallSpare.set(length, [slab]);
    else if (spare.length < SMALL_SPARE_MOST) spare.push(slab);
  }

  /** The last bytes of `slab` go to the reader. */
  lend(slab: Uint8Array): void {
    if (this.isUsed && slab.length === SLAB_BYTES) this.lent.add(slab.buffer);
  }

  /**
   * The reader is done with `bytes` and with all that it was given before them. Only the end of a slab brings it
   * back; what comes twice, or from elsewhere, is left alone.
   */
  giveBack(bytes: Uint8Array): void {
    this.isUsed = true;
    if (bytes.byteOffset + bytes.length !== SLAB_BYTES || !this.lent.delete(bytes.buffer)) return;
    if (this.spare.length < MAX_SPARE) this.spare.push(new Uint8Array(bytes.buffer));
  }
}

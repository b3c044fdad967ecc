/**
 * Memory for received data that waits to be read: slabs, which a reader may return for reuse.
 *
 * A reader that returns nothing leaves the slabs to the garbage collector, at no cost to the pool.
 * At some hundred megabytes a second, garbage collection is a substantial part of the receiver's
 * work.
 */

/** Length of the slabs that are worth reusing. */
export const SLAB_BYTES = 65_536;
/** Maximum number of spare slabs: more than arrive between two turns of the event loop. */
const MAX_SPARE = 64;
/** Maximum number of spare slabs of each smaller size. */
const MAX_SMALL_SPARE = 16;

export class SlabPool {
  private readonly spare: Uint8Array[] = [];
  /** Spare slabs of smaller sizes, for the beginnings of streams, by length. */
  private readonly smallSpare: Map<number, Uint8Array[]> = new Map();
  /** Memory lent to a reader, which may return it once. */
  private readonly lent: WeakSet<ArrayBufferLike> = new WeakSet();
  private isUsed = false;

  take(byteLength: number): Uint8Array {
    const spare = byteLength === SLAB_BYTES ? this.spare : this.smallSpare.get(byteLength);
    return spare?.pop() ?? new Uint8Array(byteLength);
  }

  /**
   * Takes back a slab of which the reader received nothing. Otherwise a peer that resets stream
   * after stream would make the pool allocate and zero memory for each.
   */
  takeBack(slab: Uint8Array): void {
    const { length } = slab;
    if (length === SLAB_BYTES) {
      if (this.spare.length < MAX_SPARE) this.spare.push(slab);
      return;
    }
    const spare = this.smallSpare.get(length);
    if (spare === undefined) this.smallSpare.set(length, [slab]);
    else if (spare.length < MAX_SMALL_SPARE) spare.push(slab);
  }

  /** The last bytes of `slab` are passed to the reader. */
  lend(slab: Uint8Array): void {
    if (this.isUsed && slab.length === SLAB_BYTES) this.lent.add(slab.buffer);
  }

  /**
   * The reader is done with `bytes` and with everything that it received before them. Only the end
   * of a slab returns the slab. Repeated returns and foreign memory are ignored.
   */
  giveBack(bytes: Uint8Array): void {
    this.isUsed = true;
    if (bytes.byteOffset + bytes.length !== SLAB_BYTES || !this.lent.delete(bytes.buffer)) return;
    if (this.spare.length < MAX_SPARE) this.spare.push(new Uint8Array(bytes.buffer));
  }
}

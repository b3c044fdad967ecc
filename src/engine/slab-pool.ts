/**
 * Memory for what has arrived and waits to be read: slabs, which a reader may give back to be filled again.
 *
 * Whoever gives nothing back costs nothing here, and leaves the slabs to the garbage collector. At some hundred
 * megabytes a second that is a good part of the receiver's work.
 */

/** Length of the slabs that are worth keeping. */
export const SLAB_BYTES = 65_536;
/** Slabs kept for later: more than arrive between two turns of the event loop. */
const SPARE_MOST = 64;

export class SlabPool {
  private readonly spare: Uint8Array[] = [];
  /** Memory that a reader has, which may come back once. */
  private readonly lent: WeakSet<ArrayBufferLike> = new WeakSet();
  private isUsed = false;

  take(byteLength: number): Uint8Array {
    return (byteLength === SLAB_BYTES ? this.spare.pop() : undefined) ?? new Uint8Array(byteLength);
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
    if (this.spare.length < SPARE_MOST) this.spare.push(new Uint8Array(bytes.buffer));
  }
}

/**
 * Which packet numbers were seen: a sliding bitmap over the most recent ones.
 *
 * A ring of 32-bit words that is twice the window, so that a step forward only clears whole words and never
 * shifts any. Numbers reach 2^48; JavaScript's bit operators reduce them modulo 2^32, which is harmless where
 * only the low bits are wanted (`& 31`, `& mask`) and wrong everywhere else: those places divide.
 * Read first: RFC 6479 §3.
 */

/** Packets behind the highest number, itself included, that are still told apart. */
export const REPLAY_WINDOW_PACKETS = 8192;
/** Packet numbers end before this: they are 48 bits wide on the wire. */
export const PACKET_NUMBER_LIMIT: number = 2 ** 48;

const WORD_BITS = 32;
const RING_WORDS = (2 * REPLAY_WINDOW_PACKETS) / WORD_BITS;
const RING_MASK = RING_WORDS - 1;

/** To be used as: `accepts`, open the packet, and only if that went well `commit`. */
export class ReplayWindow {
  readonly #ring: Uint32Array = new Uint32Array(RING_WORDS);
  #highest = -1;

  /** The highest number committed, -1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  /**
   * Whether a packet of this number may still be new: in range, not committed, and not so old that nobody
   * remembers. Changes nothing.
   */
  accepts(packetNumber: number): boolean {
    if (!(packetNumber >= 0 && packetNumber < PACKET_NUMBER_LIMIT)) return false;
    if (packetNumber > this.#highest) return true;
    if (packetNumber <= this.#highest - REPLAY_WINDOW_PACKETS) return false;
    const word = this.#ring[ringIndex(packetNumber)]!;
    return (word & (1 << (packetNumber & (WORD_BITS - 1)))) === 0;
  }

  /** Marks a number as seen once its packet was opened. A number that `accepts` refuses changes nothing. */
  commit(packetNumber: number): void {
    if (!this.accepts(packetNumber)) return;
    if (packetNumber > this.#highest) {
      const newWords = Math.floor(packetNumber / WORD_BITS) - Math.floor(this.#highest / WORD_BITS);
      if (newWords >= RING_WORDS) this.#ring.fill(0);
      else {
        const index = ringIndex(packetNumber);
        for (let i = 0; i < newWords; i++) this.#ring[(index - i) & RING_MASK] = 0;
      }
      this.#highest = packetNumber;
    }
    this.#ring[ringIndex(packetNumber)]! |= 1 << (packetNumber & (WORD_BITS - 1));
  }
}

/** Place of a number's word. The quotient is below 2^43: only its low bits survive `&`, and only they count. */
function ringIndex(packetNumber: number): number {
  return Math.floor(packetNumber / WORD_BITS) & RING_MASK;
}

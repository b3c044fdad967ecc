/**
 * Records which packet numbers were received: a sliding bitmap over the most recent ones.
 *
 * The bitmap is a ring of 32-bit words, twice as large as the window, so that a step forward only
 * clears whole words and shifts none. Numbers reach 2^48, and JavaScript's bit operators reduce
 * them modulo 2^32. This is harmless where only the low bits matter (`& 31`, `& mask`) and wrong
 * everywhere else; the code divides there.
 *
 * Read first: RFC 6479 §3.
 */

/** Size of the window in packets, the highest number included. */
export const REPLAY_WINDOW_PACKETS = 8192;
/** Packet numbers are below this limit: they are 48 bits wide on the wire. */
export const PACKET_NUMBER_LIMIT: number = 2 ** 48;

const WORD_BITS = 32;
const RING_WORDS = (2 * REPLAY_WINDOW_PACKETS) / WORD_BITS;
const RING_MASK = RING_WORDS - 1;

/** Usage: call `accepts`, open the packet, and call `commit` only if the packet opened. */
export class ReplayWindow {
  readonly #ring: Uint32Array = new Uint32Array(RING_WORDS);
  #highest = -1;

  /** The highest number committed, -1 before the first. */
  get highest(): number {
    return this.#highest;
  }

  /**
   * Whether a packet with this number may be new: in range, not committed, and inside the window.
   * Does not change the state.
   */
  accepts(packetNumber: number): boolean {
    if (!(packetNumber >= 0 && packetNumber < PACKET_NUMBER_LIMIT)) return false;
    if (packetNumber > this.#highest) return true;
    if (packetNumber <= this.#highest - REPLAY_WINDOW_PACKETS) return false;
    const word = this.#ring[ringIndex(packetNumber)]!;
    return (word & (1 << (packetNumber & (WORD_BITS - 1)))) === 0;
  }

  /**
   * Marks a number as received once its packet was opened. A number that `accepts` refuses changes
   * nothing.
   */
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

/**
 * Index of the word of a packet number. The quotient is below 2^43; `&` keeps its low bits, and
 * only those are needed.
 */
function ringIndex(packetNumber: number): number {
  return Math.floor(packetNumber / WORD_BITS) & RING_MASK;
}

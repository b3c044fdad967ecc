/**
 * How a connection ends: whoever closes says so until the other side has answered, because nothing else is
 * retransmitted any more, and a peer that never hears of the end waits for its idle timeout.
 *
 * The closing side repeats CLOSE every probe timeout, a few times; the draining side answers each CLOSE with
 * one of its own, and with several at once over a path that loses packets, since it may be gone when the next
 * question comes.
 *
 * Deviates from RFC 9000 §10.2.2, where the draining side is silent: there an idle timeout of seconds is all
 * that a lost CLOSE costs, here it is minutes or for ever.
 */

/** Times that CLOSE is sent without being answered. */
const TRIES = 8;
/** What an orderly end, and any other, waits for its answer at most, unless round trips are longer. */
const MAX_ORDERLY_MS = 3000;
const MAX_ABRUPT_MS = 1000;
/** Draining lasts for this many probe timeouts, closing for no less.  // RFC 9000 §10.2 */
const CLOSING_PTOS = 3;
/** A peer that answers once a minute does not keep what is over. */
const MAX_CLOSING_MS = 10_000;
/** Answers that leave at once where packets get lost. */
const COPIES_OVER_LOSS = 3;
/** CLOSE packets of one connection, whatever the peer sends. */
const PACKETS_LIMIT = 32;

export interface ClosingOptions {
  readonly isOurs: boolean;
  readonly isOrderly: boolean;
  readonly ptoMs: number;
  /** Whether packets were lost on this link. */
  readonly isLossy: boolean;
}

export class Closing {
  /** When nothing more is expected. */
  endsAtMs: number;
  private readonly isOurs: boolean;
  private readonly ptoMs: number;
  private readonly copies: number;
  private nextAtMs: number;
  private tries = 0;
  private wanted = 0;
  private sentPackets = 0;
  /** Packets of a peer that has not heard of the end, and which of them is answered next. */
  private strays = 0;
  private nextStray = 1;

  constructor(nowMs: number, { isOurs, isOrderly, ptoMs, isLossy }: ClosingOptions) {
    this.isOurs = isOurs;
    this.ptoMs = ptoMs;
    this.copies = isLossy ? COPIES_OVER_LOSS : 1;
    const timeoutMs = Math.min(TRIES * ptoMs, isOrderly ? MAX_ORDERLY_MS : MAX_ABRUPT_MS);
    const lastingMs = Math.max(CLOSING_PTOS * ptoMs, isOurs ? timeoutMs : 0);
    this.endsAtMs = nowMs + Math.min(lastingMs, MAX_CLOSING_MS);
    this.nextAtMs = Number.POSITIVE_INFINITY;
    if (isOurs) this.ask(nowMs);
    else this.want(this.copies);
  }

  /** Whether a CLOSE packet is to leave now. */
  get hasPacket(): boolean {
    return this.wanted > 0;
  }

  get timeoutAt(): number {
    return Math.min(this.nextAtMs, this.endsAtMs);
  }

  handleTimeout(nowMs: number): void {
    if (nowMs >= this.nextAtMs) this.ask(nowMs);
  }

  onPacketSent(): void {
    this.wanted--;
    this.sentPackets++;
  }

  /** The peer closes as well, answers, or has not had our answer. */
  onClose(nowMs: number): void {
    if (!this.isOurs) {
      this.want(this.copies);
      return;
    }
    // Whether it was the answer or a CLOSE of the peer's own, which wants one, cannot be told.
    this.want(1);
    this.endsAtMs = nowMs;
  }

  /** Any other packet came: its sender knows nothing yet. Answered ever less often.  // RFC 9000 §10.2.1 */
  onStray(): void {
    if (!this.isOurs || ++this.strays < this.nextStray) return;
    this.nextStray *= 2;
    this.want(1);
  }

  private ask(nowMs: number): void {
    this.want(1);
    this.nextAtMs = ++this.tries < TRIES ? nowMs + this.ptoMs : Number.POSITIVE_INFINITY;
  }

  private want(packets: number): void {
    this.wanted = Math.min(Math.max(this.wanted, packets), PACKETS_LIMIT - this.sentPackets);
  }
}

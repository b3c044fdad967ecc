/**
 * How a connection ends: the closing side repeats its CLOSE until the peer has answered. Nothing else is retransmitted
 * any more, and a peer that receives no CLOSE waits for its idle timeout.
 *
 * The closing side repeats CLOSE every probe timeout, a few times; the draining side answers each CLOSE with
 * one of its own, and with several at once over a path that loses packets, since it may be gone when the next
 * question comes.
 *
 * Deviates from RFC 9000 §10.2.2, where the draining side is silent: there an idle timeout of seconds is all
 * that a lost CLOSE costs, here it is minutes or for ever.
 */

/** Times that CLOSE is sent without an answer. */
const TRIES = 8;
/** Longest wait for an answer after an orderly end, and after any other, unless round trips are longer. */
const MAX_ORDERLY_MS = 3000;
const MAX_ABRUPT_MS = 1000;
/** Draining lasts for this many probe timeouts, closing for no less.  // RFC 9000 §10.2 */
const CLOSING_PTOS = 3;
/** A peer that answers only once a minute cannot keep a closed connection in memory. */
const MAX_CLOSING_MS = 10_000;
/** Answers that are sent at once on a path that loses packets. */
const COPIES_OVER_LOSS = 3;
/** Most CLOSE packets that one connection sends. */
const PACKETS_LIMIT = 32;

export interface ClosingOptions {
  readonly isOurs: boolean;
  readonly isOrderly: boolean;
  readonly ptoMs: number;
  /** Whether packets were lost on this link. */
  readonly isLossy: boolean;
}

export class Closing {
  /** When the connection is forgotten. */
  endsAtMs: number;
  private readonly isOurs: boolean;
  private readonly ptoMs: number;
  private readonly copies: number;
  private nextAtMs: number;
  private tries = 0;
  private wanted = 0;
  private sentPackets = 0;
  /** Packets of a peer that has not received the CLOSE, and which of them is answered next. */
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

  /** Whether to send a CLOSE packet now. */
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

  /** A CLOSE arrived: the peer closes as well, answers, or has not received this side's answer. */
  onClose(nowMs: number): void {
    if (!this.isOurs) {
      this.want(this.copies);
      return;
    }
    // It may be the answer, or the peer's own CLOSE, which needs one: the two look the same.
    this.want(1);
    this.endsAtMs = nowMs;
  }

  /** Another packet arrived: the peer has not received the CLOSE. Answers become rarer.  // RFC 9000 §10.2.1 */
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

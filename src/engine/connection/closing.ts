/**
 * How a connection ends: the closing side repeats its CLOSE until the peer has answered. No other
 * frame is retransmitted, and a peer that receives no CLOSE waits for its idle timeout.
 *
 * The closing side repeats CLOSE every probe timeout, a few times. The draining side answers each
 * CLOSE with a CLOSE. On a path that loses packets it sends several copies, since it may have ended
 * before the closing side repeats its CLOSE.
 *
 * Deviates from RFC 9000 §10.2.2, where the draining side is silent: in QUIC a lost CLOSE costs an
 * idle timeout of seconds, but here the idle timeout is minutes or infinite.
 */

/** How often CLOSE is sent without an answer. */
const TRIES = 8;
/**
 * Maximum wait for an answer after an orderly end, and after any other end, unless round trips are
 * longer.
 */
const MAX_ORDERLY_MS = 3000;
const MAX_ABRUPT_MS = 1000;
/** Draining lasts this many probe timeouts; closing lasts at least as long.  // RFC 9000 §10.2 */
const CLOSING_PTOS = 3;
/**
 * Maximum duration of closing, so that a peer that answers only once a minute cannot keep a closed
 * connection in memory.
 */
const MAX_CLOSING_MS = 10_000;
/** Copies of an answer that are sent at once on a path that loses packets. */
const COPIES_OVER_LOSS = 3;
/** Maximum number of CLOSE packets that one connection sends. */
const PACKETS_LIMIT = 32;

export interface ClosingOptions {
  readonly isOurs: boolean;
  readonly isOrderly: boolean;
  readonly ptoMs: number;
  /** Whether this link has lost packets. */
  readonly isLossy: boolean;
}

export class Closing {
  /** When the connection is removed. */
  endsAtMs: number;
  private readonly isOurs: boolean;
  private readonly ptoMs: number;
  private readonly copies: number;
  private nextAtMs: number;
  private tries = 0;
  private wanted = 0;
  private sentPackets = 0;
  /**
   * Packets of a peer that has not received the CLOSE, and which of these packets is answered next.
   */
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
    if (isOurs) this.requestAnswer(nowMs);
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
    if (nowMs >= this.nextAtMs) this.requestAnswer(nowMs);
  }

  onPacketSent(): void {
    this.wanted--;
    this.sentPackets++;
  }

  /** A CLOSE arrived: the peer also closes, answers, or has not received the local answer. */
  onClose(nowMs: number): void {
    if (!this.isOurs) {
      this.want(this.copies);
      return;
    }
    // It may be an answer, or a CLOSE of the peer that needs an answer. The two cannot be
    // distinguished.
    this.want(1);
    this.endsAtMs = nowMs;
  }

  /**
   * A packet without CLOSE arrived: the peer has not received the CLOSE. Answers become less
   * frequent.  // RFC 9000 §10.2.1
   */
  onStray(): void {
    if (!this.isOurs || ++this.strays < this.nextStray) return;
    this.nextStray *= 2;
    this.want(1);
  }

  private requestAnswer(nowMs: number): void {
    this.want(1);
    this.nextAtMs = ++this.tries < TRIES ? nowMs + this.ptoMs : Number.POSITIVE_INFINITY;
  }

  private want(packets: number): void {
    this.wanted = Math.min(Math.max(this.wanted, packets), PACKETS_LIMIT - this.sentPackets);
  }
}

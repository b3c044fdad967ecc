/** Which of our checks wait for their answers, and which of the other side's were seen already. */
import { toHex } from "../base/bytes.ts";

/** An answer that takes longer is no path that anybody wants. */
const LIFETIME_MS = 5000;
/** Requests remembered against being played back. */
const SEEN_LIMIT = 1024;

/** From where to where a check went. */
export interface Route {
  readonly socket: number;
  readonly address: string;
  readonly port: number;
}

export function isSameRoute(a: Route, b: Route): boolean {
  return a.socket === b.socket && a.port === b.port && a.address === b.address;
}

export class Transactions {
  // Maps keep the order of insertion, so the oldest are in front.
  private readonly sent = new Map<string, { route: Route; sentAtMs: number }>();
  private readonly seen = new Map<string, Route>();

  add(nowMs: number, transaction: Uint8Array, route: Route): void {
    for (const [key, { sentAtMs }] of this.sent) {
      if (nowMs - sentAtMs < LIFETIME_MS) break;
      this.sent.delete(key);
    }
    this.sent.set(toHex(transaction), { route, sentAtMs: nowMs });
  }

  /**
   * The round trip that an answer completes; undefined for one that nobody waits for, or that does not come from
   * where its request went: a NAT that answers from elsewhere makes no path.  // RFC 8445 §7.2.5.2.1
   */
  complete(nowMs: number, transaction: Uint8Array, route: Route): number | undefined {
    const key = toHex(transaction);
    const entry = this.sent.get(key);
    if (entry === undefined || !isSameRoute(entry.route, route)) return undefined;
    this.sent.delete(key);
    const rttMs = nowMs - entry.sentAtMs;
    return rttMs < LIFETIME_MS ? rttMs : undefined;
  }

  /** Whether a request is new, or the same once more on its way; false for one that comes again from elsewhere. */
  isFirstHand(transaction: Uint8Array, route: Route): boolean {
    const key = toHex(transaction);
    const known = this.seen.get(key);
    if (known !== undefined) return isSameRoute(known, route);
    this.seen.set(key, route);
    if (this.seen.size > SEEN_LIMIT) this.seen.delete(this.seen.keys().next().value!);
    return true;
  }
}

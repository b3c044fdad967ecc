/**
 * Tracks which local checks await their response, and which requests of the peer were already
 * received.
 */
import { toHex } from "../base/bytes.ts";

/** A path with a longer round trip is useless. */
const LIFETIME_MS = 5000;
/** Maximum number of requests remembered to detect replays. */
const SEEN_LIMIT = 1024;

/** The socket and remote address of a check. */
export interface Route {
  readonly socket: number;
  readonly address: string;
  readonly port: number;
}

export function isSameRoute(a: Route, b: Route): boolean {
  return a.socket === b.socket && a.port === b.port && a.address === b.address;
}

export class Transactions {
  // Maps keep insertion order, so the oldest entries come first.
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
   * The round trip that a response completes. Undefined if no request is waiting for it, or if it
   * does not come from the address that the request was sent to: a NAT that answers from elsewhere
   * does not make a path.  // RFC 8445 §7.2.5.2.1
   */
  complete(nowMs: number, transaction: Uint8Array, route: Route): number | undefined {
    const key = toHex(transaction);
    const entry = this.sent.get(key);
    if (entry === undefined || !isSameRoute(entry.route, route)) return undefined;
    this.sent.delete(key);
    const rttMs = nowMs - entry.sentAtMs;
    return rttMs < LIFETIME_MS ? rttMs : undefined;
  }

  /**
   * Whether a request is new, or repeated on the same route; false for a request that was first
   * received on another route.
   */
  isOriginal(transaction: Uint8Array, route: Route): boolean {
    const key = toHex(transaction);
    const known = this.seen.get(key);
    if (known !== undefined) return isSameRoute(known, route);
    this.seen.set(key, route);
    if (this.seen.size > SEEN_LIMIT) this.seen.delete(this.seen.keys().next().value!);
    return true;
  }
}

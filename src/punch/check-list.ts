/**
 * The pairs of a local socket and a remote address that an agent tries, with the state of each. The
 * agent decides whether and how to send to a pair.
 */
import type { WorkingPair } from "./punch-events.ts";
import type { Target } from "./targets.ts";
import { isSameRoute, type Route } from "./transactions.ts";

/** Maximum number of pairs: each costs packets, and the peer's list may be malicious. */
const PAIRS_LIMIT = 64;

export interface Pair extends Target {
  /** A request from the peer arrived over this pair. */
  hasRequest: boolean;
  /** A request arrived that should trigger a local check now. */
  isTriggered: boolean;
  openings: number;
  checks: number;
  nextAtMs: number;
  /** Shortest round trip; Infinity until a check was answered. */
  rttMs: number;
  observed: WorkingPair["observed"];
}

export class CheckList {
  readonly pairs: Pair[] = [];

  find(route: Route): Pair | undefined {
    return this.pairs.find((pair) => isSameRoute(pair, route));
  }

  /**
   * Adds a pair at the position of its rank. If the list is full, the lowest-ranked pair over which
   * no request arrived is removed.
   */
  add(target: Target, nowMs: number): Pair | undefined {
    if (this.pairs.length >= PAIRS_LIMIT) {
      const worstAt = this.pairs.findLastIndex(
        (one) => !one.hasRequest && !isWorking(one) && one.rank >= target.rank,
      );
      if (worstAt < 0) return undefined;
      this.pairs.splice(worstAt, 1);
    }
    const added: Pair = {
      ...target,
      hasRequest: false,
      isTriggered: false,
      openings: 0,
      checks: 0,
      nextAtMs: nowMs,
      rttMs: Number.POSITIVE_INFINITY,
      observed: undefined,
    };
    const behind = this.pairs.findIndex((one) => one.rank > target.rank);
    this.pairs.splice(behind < 0 ? this.pairs.length : behind, 0, added);
    return added;
  }

  /** Removes the pairs for which `isGone` returns true. */
  remove(isGone: (pair: Pair) => boolean): void {
    for (let i = this.pairs.length - 1; i >= 0; i--) if (isGone(this.pairs[i]!)) this.pairs.splice(i, 1);
  }

  /**
   * Restarts every schedule. With `forget`, pairs that worked or received requests lose that state.
   */
  restart(nowMs: number, forget: boolean): void {
    for (const pair of this.pairs) {
      pair.checks = 0;
      pair.openings = 0;
      pair.nextAtMs = nowMs;
      if (!forget) continue;
      pair.hasRequest = false;
      pair.isTriggered = false;
      pair.rttMs = Number.POSITIVE_INFINITY;
    }
  }

  /** The best working pair; undefined if none works. */
  best(): Pair | undefined {
    let best: Pair | undefined;
    for (const pair of this.pairs) {
      if (isWorking(pair) && (best === undefined || isBetter(pair, best, 0))) best = pair;
    }
    return best;
  }
}

export function isWorking(pair: Pair): boolean {
  return pair.rttMs !== Number.POSITIVE_INFINITY;
}

/** Whether the pair gives the link a path without a relay. */
export function isDirect(pair: Pair): boolean {
  return pair.path !== "relay";
}

/** The local network and IPv6 are preferred as if they were faster by this much. */
const LAN_BIAS_MS = 20;
const V6_BIAS_MS = 5;

/** Whether `a` is better than `b` by more than `marginMs`. */
export function isBetter(a: Pair, b: Pair, marginMs: number): boolean {
  const costA = costOf(a);
  const costB = costOf(b);
  if (costA !== costB) return costA < costB;
  return biasedRtt(a) + marginMs < biasedRtt(b);
}

/**
 * Relays use a third party's bandwidth, and tunnels add overhead: neither is compared with a plain
 * path by round trip.
 */
function costOf(pair: Pair): number {
  return pair.path === "relay" ? 2 : pair.isTunnel ? 1 : 0;
}

function biasedRtt(pair: Pair): number {
  return pair.rttMs - (pair.path === "lan" ? LAN_BIAS_MS : pair.family === 6 ? V6_BIAS_MS : 0);
}

export function workingPair(pair: Pair): WorkingPair {
  const { socket, address, port, rttMs, path, observed } = pair;
  return { socket, address, port, rttMs, path, ...(observed === undefined ? {} : { observed }) };
}

/**
 * How much an agent may send: an even pace for everything, and a bounded number of packets to an address from
 * which nobody has answered yet.
 *
 * The second bound is what a liar can get out of an agent: candidates come from the other side, or from a ticket
 * that somebody made up, and may name a third party. An address counts as proved only when a check that went there
 * was answered: a request that comes from it may be an old one, sent again under a forged source.
 */

/** Time between two packets in the long run: 250 a second. */
const GAP_MS = 4;
/** What a late timer may catch up at once. */
const BURST_PACKETS = 4;
/** Answers leave at once, and the checks behind them wait; further than this ahead of the pace none is sent. */
const ANSWER_DEBT_PACKETS = 24;

/** Packets to one unproved address, whatever the port. */
export interface AddressLimits {
  /** Checks that can reach it. */
  readonly checks: number;
  /** Low-TTL openings, which are to die on the way. */
  readonly openings: number;
  /** What comes back of either in the long run, for links that outlive an outage of days. */
  readonly perSecond: number;
}

/** What was sent to an address, less what has come back since. */
interface Account {
  spent: number;
  atMs: number;
}

export class SendBudget {
  private readonly limits: AddressLimits;
  /** When the pace would be met by what was sent so far. */
  private dueAtMs = Number.NEGATIVE_INFINITY;
  private readonly checks = new Map<string, Account>();
  private readonly openings = new Map<string, Account>();
  private readonly validated = new Set<string>();

  constructor(limits: AddressLimits) {
    this.limits = limits;
  }

  /** From when on a check or opening may leave. */
  get readyAtMs(): number {
    return this.dueAtMs - (BURST_PACKETS - 1) * GAP_MS;
  }

  /** Whether the pace lets an answer out now; it is counted then. */
  takeAnswer(nowMs: number): boolean {
    if (this.dueAtMs - nowMs > ANSWER_DEBT_PACKETS * GAP_MS) return false;
    this.pace(nowMs);
    return true;
  }

  /** Whether this address has packets left. */
  allows(nowMs: number, address: string, isOpening: boolean): boolean {
    if (this.validated.has(address)) return true;
    const limit = isOpening ? this.limits.openings : this.limits.checks;
    return this.spent(nowMs, address, isOpening) + 1 <= limit;
  }

  /** Counts a check or opening that leaves. */
  spend(nowMs: number, address: string, isOpening: boolean): void {
    this.pace(nowMs);
    const spent = this.spent(nowMs, address, isOpening) + 1;
    (isOpening ? this.openings : this.checks).set(address, { spent, atMs: nowMs });
  }

  /** Counts a packet whose number is bounded elsewhere. */
  spendPace(nowMs: number): void {
    this.pace(nowMs);
  }

  /** A check to this address was answered. */
  validate(address: string): void {
    this.validated.add(address);
  }

  private spent(nowMs: number, address: string, isOpening: boolean): number {
    const account = (isOpening ? this.openings : this.checks).get(address);
    if (account === undefined) return 0;
    const { spent, atMs } = account;
    return Math.max(0, spent - ((nowMs - atMs) / 1000) * this.limits.perSecond);
  }

  private pace(nowMs: number): void {
    this.dueAtMs = Math.max(this.dueAtMs, nowMs) + GAP_MS;
  }
}

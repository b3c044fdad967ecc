/**
 * How much an agent may send: a steady pace for all packets, and a bounded number of packets to an
 * address that has not answered yet.
 *
 * The second bound limits what a malicious peer can make an agent send: candidates come from the
 * peer, or from a forged ticket, and may name a third party. An address counts as validated only
 * when a check that was sent to it was answered: a request from that address may be a replay with a
 * forged source address.
 */

/** Average time between two packets: 250 a second. */
const GAP_MS = 4;
/** Packets that a late timer may catch up at once. */
const BURST_PACKETS = 4;
/**
 * Responses leave at once and delay the checks behind them. No response is sent beyond this debt.
 */
const ANSWER_DEBT_PACKETS = 24;

/** Packets to one unvalidated address, on all its ports. */
export interface AddressLimits {
  /** Checks that can reach the address. */
  readonly checks: number;
  /** Low-TTL openings, which expire on the way. */
  readonly openings: number;
  /** Replenishment of both in the long run, for links that outlast an outage of days. */
  readonly perSecond: number;
}

/** Packets sent to an address, minus those replenished since. */
interface Account {
  spent: number;
  atMs: number;
}

export class SendBudget {
  private readonly limits: AddressLimits;
  /** When the pace allows the next packet after those sent so far. */
  private dueAtMs = Number.NEGATIVE_INFINITY;
  private readonly checks = new Map<string, Account>();
  private readonly openings = new Map<string, Account>();
  private readonly validated = new Set<string>();

  constructor(limits: AddressLimits) {
    this.limits = limits;
  }

  /** When the next check or opening may leave. */
  get readyAtMs(): number {
    return this.dueAtMs - (BURST_PACKETS - 1) * GAP_MS;
  }

  /** Whether the pace allows a response now. An allowed response is counted. */
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

  /** Counts a check or opening that is sent. */
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

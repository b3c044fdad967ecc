/**
 * Requests and responses: encodes the packets, verifies received ones, and keeps to the budget. The
 * agent decides which pairs to check.
 */
import { checkMac } from "../crypto/check-mac.ts";
import {
  CHECK_TRANSACTION_BYTES,
  type Check,
  type CheckMac,
  decodeCheck,
  encodeCheck,
  looksLikeCheck,
} from "../wire/check.ts";
import type { PunchOptions, PunchTransmit } from "./punch-events.ts";
import { type AddressLimits, SendBudget } from "./send-budget.ts";
import { type Route, Transactions } from "./transactions.ts";

/**
 * Limits for an address that has never answered: three attempts, and one packet a second in the
 * long run.
 */
const SIGNAL_LIMITS: AddressLimits = { checks: 500, openings: 200, perSecond: 1 };
/** Limits for an address named by a ticket. */
const TICKET_LIMITS: AddressLimits = { checks: 20, openings: 40, perSecond: 0 };
/** The kind of a received datagram. */
export type Received =
  /** Not part of this exchange: another protocol, or another key. */
  | { readonly kind: "foreign" }
  /** Genuine but useless: reflected, replayed, or too late. */
  | { readonly kind: "useless" }
  | { readonly kind: "request" }
  | { readonly kind: "answer"; readonly rttMs: number; readonly observed: Check["observed"] };

export class CheckExchange {
  /** Packets by kind: checks, openings and responses sent, and packets received. */
  readonly counts = { checks: 0, openings: 0, answers: 0, withheldAnswers: 0, requests: 0, answered: 0 };
  readonly budget: SendBudget;
  private readonly options: PunchOptions;
  private readonly mac: CheckMac;
  private readonly transactions = new Transactions();
  private readonly outbox: PunchTransmit[] = [];

  constructor(options: PunchOptions) {
    this.options = options;
    this.mac = checkMac(options.checkKey);
    this.budget = new SendBudget(options.isTicket === true ? TICKET_LIMITS : SIGNAL_LIMITS);
  }

  /**
   * Sends a request.
   * @param isBounded the caller bounds the number of requests, instead of the limit per address
   */
  request(nowMs: number, route: Route, ttl: number, generation: number, isBounded = false): void {
    const { socket, address, port } = route;
    const transaction = this.options.random(CHECK_TRANSACTION_BYTES);
    this.transactions.add(nowMs, transaction, { socket, address, port });
    this.counts[ttl > 0 ? "openings" : "checks"]++;
    if (isBounded) this.budget.spendPace(nowMs);
    else this.budget.spend(nowMs, address, ttl > 0);
    const { role } = this.options;
    const bytes = encodeCheck({ kind: "request", role, generation, transaction }, this.mac);
    this.outbox.push({ socket, address, port, ttl, bytes });
  }

  /** Handles a datagram. A request is answered at once. */
  receive(nowMs: number, route: Route, bytes: Uint8Array): Received {
    const check = looksLikeCheck(bytes) ? decodeCheck(bytes, this.mac) : undefined;
    if (check === undefined) return { kind: "foreign" };
    const { transaction, generation } = check;
    // A packet with the local role is a reflected packet of this agent.
    if (check.role === this.options.role) return { kind: "useless" };
    if (check.kind === "response") {
      const rttMs = this.transactions.complete(nowMs, transaction, route);
      if (rttMs === undefined) return { kind: "useless" };
      this.counts.answered++;
      this.budget.validate(route.address);
      return { kind: "answer", rttMs, observed: check.observed };
    }
    if (!this.transactions.isOriginal(transaction, route)) return { kind: "useless" };
    this.counts.requests++;
    if (!this.budget.takeAnswer(nowMs)) {
      this.counts.withheldAnswers++;
      return { kind: "useless" };
    }
    this.counts.answers++;
    const { role } = this.options;
    const answer: Check = { kind: "response", role, generation, transaction, observed: route };
    this.outbox.push({ ...route, ttl: 0, bytes: encodeCheck(answer, this.mac) });
    return { kind: "request" };
  }

  /** Fills `into` with the next datagram; false if there is none. */
  take(into: PunchTransmit): boolean {
    const next = this.outbox.shift();
    if (next === undefined) return false;
    Object.assign(into, next);
    return true;
  }
}

/**
 * Requests and answers: makes the packets, knows the genuine ones, and keeps to the budget. What is worth asking is
 * the agent's to say.
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

/** What an address gets that never answered: three attempts, and one packet a second in the long run. */
const SIGNAL_LIMITS: AddressLimits = { checks: 500, openings: 200, perSecond: 1 };
/** Where a ticket named it: a handful, and no more. */
const TICKET_LIMITS: AddressLimits = { checks: 20, openings: 40, perSecond: 0 };
/** What a received datagram was. */
export type Received =
  /** None of this exchange's: another protocol, or another key. */
  | { readonly kind: "foreign" }
  /** Genuine, and of no use: thrown back, played back, or too late. */
  | { readonly kind: "useless" }
  | { readonly kind: "request" }
  | { readonly kind: "answer"; readonly rttMs: number; readonly observed: Check["observed"] };

export class CheckExchange {
  /** Packets by kind: checks and openings sent, answers sent, and what came. */
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

  /** Puts a request out. @param isBounded its number is bounded by who asks, and not by its address */
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

  /** Takes a datagram in; a request is answered on the spot. */
  receive(nowMs: number, route: Route, bytes: Uint8Array): Received {
    const check = looksLikeCheck(bytes) ? decodeCheck(bytes, this.mac) : undefined;
    if (check === undefined) return { kind: "foreign" };
    const { transaction, generation } = check;
    // With one's own role it is one's own packet, thrown back.
    if (check.role === this.options.role) return { kind: "useless" };
    if (check.kind === "response") {
      const rttMs = this.transactions.complete(nowMs, transaction, route);
      if (rttMs === undefined) return { kind: "useless" };
      this.counts.answered++;
      this.budget.validate(route.address);
      return { kind: "answer", rttMs, observed: check.observed };
    }
    if (!this.transactions.isFirstHand(transaction, route)) return { kind: "useless" };
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

  /** Fills `into` with the next datagram; false when there is none. */
  take(into: PunchTransmit): boolean {
    const next = this.outbox.shift();
    if (next === undefined) return false;
    Object.assign(into, next);
    return true;
  }
}

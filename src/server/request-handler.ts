/**
 * Handles messages from all transports: requires a proof of address over UDP, limits the rate of
 * each source, and passes requests to mailbox and relay and their refusals back.
 */

import { SourceRates } from "../platform/source-rates.ts";
import {
  COOKIE_BYTES,
  decodeRequest,
  encodeReply,
  isRelayed,
  type MailboxRequest,
  REFUSAL,
  type Refusal,
} from "../wire/mailbox-messages.ts";
import type { Client } from "./client.ts";
import { Cookies } from "./cookies.ts";
import { MESSAGE_BURST_S, type RendezvousLimits, UNVALIDATED_RATE } from "./limits.ts";
import { Mailbox } from "./mailbox.ts";
import { Relay } from "./relay.ts";
import { emptyStatistics, type RendezvousStatistics } from "./statistics.ts";

export class RequestHandler {
  readonly statistics: RendezvousStatistics = emptyStatistics();
  readonly mailbox: Mailbox;
  readonly relay: Relay;
  readonly #cookies: Cookies;
  /** Rates of addresses that may be forged. */
  readonly #unvalidated: SourceRates = new SourceRates(UNVALIDATED_RATE);
  /** Rates of validated addresses, kept apart: forged packets cannot use them up. */
  readonly #validated: SourceRates;

  readonly #utcMs: () => number;

  /** @param utcMs the time of day, which clients may ask for */
  constructor(nowMs: number, limits: RendezvousLimits, utcMs: () => number = () => 0) {
    this.#utcMs = utcMs;
    this.mailbox = new Mailbox(limits, this.statistics);
    this.relay = new Relay(nowMs, limits, this.statistics);
    this.#cookies = new Cookies(nowMs);
    const perSecond = limits.messagesPerAddress;
    this.#validated = new SourceRates({ perSecond, burst: perSecond * MESSAGE_BURST_S });
  }

  /** Handles a message over UDP, whose source address may be forged. */
  handleDatagram(nowMs: number, from: Client & { readonly port: number }, bytes: Uint8Array): void {
    if (isRelayed(bytes)) {
      this.relay.pass(nowMs, from, bytes);
      return;
    }
    const request = decodeRequest(bytes);
    if (request === undefined) {
      this.statistics.malformed++;
      return;
    }
    const { address, port } = from;
    if (request.kind === "hello" || !this.#cookies.isGood(nowMs, request.cookie, address, port)) {
      if (!this.admitUnvalidated(nowMs, address)) return;
      this.statistics.cookies++;
      this.#sendCookie(from, request, this.#cookies.make(nowMs, address, port));
    } else if (this.admitValidated(nowMs, address)) this.#handle(nowMs, from, request);
  }

  /**
   * Handles a message over a connection, which validates its address.
   *
   * @returns false when its address sends too fast, and the message was dropped
   */
  handleMessage(nowMs: number, from: Client, bytes: Uint8Array): boolean {
    if (isRelayed(bytes))
      return this.relay.pass(nowMs, from, bytes) || this.admitValidated(nowMs, from.address);
    if (!this.admitValidated(nowMs, from.address)) return false;
    const request = decodeRequest(bytes);
    if (request === undefined) {
      this.statistics.malformed++;
    } else if (request.kind === "hello") {
      this.statistics.cookies++;
      this.#sendCookie(from, request, NO_COOKIE);
    } else this.#handle(nowMs, from, request);
    return true;
  }

  /** Whether an unvalidated address is within its rate. */
  admitUnvalidated(nowMs: number, address: string): boolean {
    const isWithin = this.#unvalidated.take(nowMs, address);
    if (!isWithin) this.statistics.overRate++;
    return isWithin;
  }

  /** Whether a validated address is within its rate. @param tokens the cost in messages */
  admitValidated(nowMs: number, address: string, tokens = 1): boolean {
    const isWithin = this.#validated.take(nowMs, address, tokens);
    if (!isWithin) this.statistics.overRate++;
    return isWithin;
  }

  /** Removes the entries and relay ends of a connection that has ended. */
  forget(owner: Client): void {
    this.mailbox.forget(owner);
    this.relay.forget(owner);
  }

  sweep(nowMs: number): void {
    this.mailbox.sweep(nowMs);
    this.relay.sweep(nowMs);
    this.#unvalidated.sweep(nowMs);
    this.#validated.sweep(nowMs);
  }

  #sendCookie(to: Client, request: MailboxRequest, cookie: Uint8Array): void {
    const { transaction } = request;
    const wantsTime = request.kind === "hello" && request.wantsTime === true;
    to.send(
      encodeReply({ kind: "cookie", transaction, cookie, ...(wantsTime && { timeMs: this.#utcMs() }) }),
    );
  }

  #handle(nowMs: number, from: Client, request: Exclude<MailboxRequest, { kind: "hello" }>): void {
    let refusal: Refusal | undefined;
    switch (request.kind) {
      case "meet":
        refusal = this.mailbox.meet(nowMs, from, request);
        break;
      case "leave":
        this.mailbox.leave(from, request);
        break;
      case "relayOpen":
        refusal = this.relay.open(nowMs, from, request);
        break;
      case "relayClose":
        this.relay.close(from, request);
        break;
    }
    if (refusal === undefined) return;
    if (refusal === REFUSAL.full) this.statistics.refusedFull++;
    else if (refusal === REFUSAL.tooMany) this.statistics.refusedTooMany++;
    else this.statistics.refusedRelay++;
    const { transaction, point, side } = request;
    from.send(encodeReply({ kind: "refused", transaction, point, side, reason: refusal }));
  }
}

const NO_COOKIE: Uint8Array = new Uint8Array(COOKIE_BYTES);

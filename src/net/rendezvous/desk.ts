/**
 * Where messages come in, whatever carries them: it asks UDP for a proof of address first, hands requests to
 * mailbox and relay, and says no where they do.
 */
import {
  COOKIE_BYTES,
  decodeRequest,
  encodeReply,
  isRelayed,
  type MailboxRequest,
  REFUSAL,
  type Refusal,
} from "../../wire/mailbox.ts";
import { Cookies } from "./cookies.ts";
import type { Correspondent } from "./correspondent.ts";
import type { RendezvousLimits } from "./limits.ts";
import { Mailbox } from "./mailbox.ts";
import { Relay } from "./relay.ts";
import { emptyStatistics, type RendezvousStatistics } from "./statistics.ts";

export class Desk {
  readonly statistics: RendezvousStatistics = emptyStatistics();
  readonly mailbox: Mailbox;
  readonly relay: Relay;
  readonly #cookies: Cookies;

  constructor(nowMs: number, limits: RendezvousLimits) {
    this.mailbox = new Mailbox(limits, this.statistics);
    this.relay = new Relay(nowMs, limits, this.statistics);
    this.#cookies = new Cookies(nowMs);
  }

  /** A message by UDP, whose sender's address may be forged. */
  handleDatagram(nowMs: number, from: Correspondent & { readonly port: number }, bytes: Uint8Array): void {
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
      this.statistics.cookies++;
      const cookie = this.#cookies.make(nowMs, address, port);
      from.send(encodeReply({ kind: "cookie", transaction: request.transaction, cookie }));
    } else this.#handle(nowMs, from, request);
  }

  /** A message by a connection, which has proved the address by being there. @returns the place that it was about */
  handleMessage(nowMs: number, from: Correspondent, bytes: Uint8Array): Uint8Array | undefined {
    if (isRelayed(bytes)) {
      this.relay.pass(nowMs, from, bytes);
      return undefined;
    }
    const request = decodeRequest(bytes);
    if (request === undefined) {
      this.statistics.malformed++;
      return undefined;
    }
    if (request.kind !== "hello") return this.#handle(nowMs, from, request) ? request.place : undefined;
    this.statistics.cookies++;
    from.send(encodeReply({ kind: "cookie", transaction: request.transaction, cookie: NO_COOKIE }));
    return undefined;
  }

  /** A connection has ended: what it had at these places, keys of theirs, is given back. */
  forget(owner: Correspondent, places: ReadonlySet<string>): void {
    this.mailbox.forget(owner, places);
    this.relay.forget(owner, places);
  }

  sweep(nowMs: number): void {
    this.mailbox.sweep(nowMs);
    this.relay.sweep(nowMs);
  }

  /** @returns whether it was done */
  #handle(nowMs: number, from: Correspondent, request: Exclude<MailboxRequest, { kind: "hello" }>): boolean {
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
    if (refusal === undefined) return true;
    if (refusal === REFUSAL.full) this.statistics.refusedFull++;
    else if (refusal === REFUSAL.tooMany) this.statistics.refusedTooMany++;
    else this.statistics.refusedRelay++;
    const { transaction, place, side } = request;
    from.send(encodeReply({ kind: "refused", transaction, place, side, reason: refusal }));
    return false;
  }
}

const NO_COOKIE: Uint8Array = new Uint8Array(COOKIE_BYTES);

/**
 * The signalling channel that is a person: the listener's output is pasted at the connector, and
 * the connector's output at the listener. Each side can send one ticket, so it gathers candidates
 * before it does.
 *
 *     listener  ── offer: psk, expiry, signal ──►  connector      confidential
 *     listener  ◄── answer: sealed signal ───────  connector      its openings are on their way by then
 */
import { randomBytes } from "node:crypto";
import type { TicketExchange, TicketTerms } from "../../link/traversal-options.ts";
import { openSignal, sealSignal } from "../../punch/sealed-signal.ts";
import type { Signal } from "../../wire/signal.ts";
import { encodeTicket, type TicketAnswer } from "../../wire/ticket.ts";
import type { RendezvousPoint, SignallingChannel, SignallingRole, Subscription } from "./channel.ts";
import { pointOfTicket } from "./rendezvous-point.ts";

/** How long gathering of public addresses and NAT behaviour may take: there is no second ticket. */
const GATHER_MS = 1500;

/** Whether `answer` belongs to the offer with these terms. */
export function isAnswerTo({ psk, expiresAtS }: TicketTerms, { sealedSignal }: TicketAnswer): boolean {
  const { sealKey } = pointOfTicket(psk, expiresAtS * 1000);
  return openSignal(sealKey, "initiator", sealedSignal) !== undefined;
}

export class TicketChannel implements SignallingChannel {
  readonly name = "ticket";
  readonly #transport: TicketExchange;

  constructor(transport: TicketExchange) {
    this.#transport = transport;
  }

  meet(point: RendezvousPoint, side: SignallingRole): Subscription {
    return new TicketSubscription(this.#transport, point, side);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class TicketSubscription implements Subscription {
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: undefined;
  onContact: undefined;
  readonly #transport: TicketExchange;
  readonly #point: RendezvousPoint;
  readonly #side: SignallingRole;
  #latest: { readonly blob: Uint8Array; readonly signal: Signal } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isReported = false;

  constructor(transport: TicketExchange, point: RendezvousPoint, side: SignallingRole) {
    this.#transport = transport;
    this.#point = point;
    this.#side = side;
    const signals =
      transport.side === "responder"
        ? transport.answer.then(({ sealedSignal }) => sealedSignal)
        : this.#offer();
    // When no answer comes, the source of the ticket reports why.
    signals.then((blob) => this.onBlob?.(blob)).catch(() => undefined);
  }

  publish(blob: Uint8Array): void {
    const signal = openSignal(this.#point.sealKey, this.#side, blob);
    // An answer counts only after the openings have left, and only one ticket can be sent.
    if (signal === undefined || this.#isReported || (this.#side === "initiator" && !signal.hasOpened)) return;
    this.#latest = { blob, signal };
    this.#timer ??= setTimeout(() => this.#report(), GATHER_MS);
  }

  close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isReported = true;
    return Promise.resolve();
  }

  #report(): void {
    clearTimeout(this.#timer);
    if (this.#isReported || this.#latest === undefined) return;
    this.#isReported = true;
    const { blob, signal } = this.#latest;
    const transport = this.#transport;
    transport.onTicket(
      transport.side === "responder"
        ? encodeTicket({ kind: "offer", ...transport.terms, signal })
        : encodeTicket({ kind: "answer", sealedSignal: blob }),
    );
  }

  /** The offer's signal, sealed as any other channel would deliver it. */
  async #offer(): Promise<Uint8Array> {
    const random = (byteLength: number): Uint8Array => new Uint8Array(randomBytes(byteLength));
    if (this.#transport.side !== "initiator") return new Uint8Array(0);
    return sealSignal(this.#point.sealKey, random, this.#transport.offer.signal);
  }
}

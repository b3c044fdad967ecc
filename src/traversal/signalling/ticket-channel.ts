/**
 * The carrier that is a person: what the listener prints is pasted at the connector, and what that prints at the
 * listener. One ticket each way, so it waits until what is to be said is worth a person's while.
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

/** So long for public addresses, and for what the NATs do with ports, to be found out: there is no second ticket. */
const GATHER_MS = 1500;

/** Whether `answer` was made for the offer of these terms, and not for another one. */
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
    // Where no answer comes, whoever was to give it says why.
    signals.then((blob) => this.onBlob?.(blob)).catch(() => undefined);
  }

  publish(blob: Uint8Array): void {
    const signal = openSignal(this.#point.sealKey, this.#side, blob);
    // An answer is none before the openings have left; and nobody carries a second ticket.
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

  /** The offer's signal, sealed as any other carrier would bring it. */
  async #offer(): Promise<Uint8Array> {
    const random = (byteLength: number): Uint8Array => new Uint8Array(randomBytes(byteLength));
    if (this.#transport.side !== "initiator") return new Uint8Array(0);
    return sealSignal(this.#point.sealKey, random, this.#transport.offer.signal);
  }
}

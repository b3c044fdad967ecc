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
  readonly #way: TicketExchange;

  constructor(way: TicketExchange) {
    this.#way = way;
  }

  meet(point: RendezvousPoint, side: SignallingRole): Subscription {
    return new TicketMeeting(this.#way, point, side);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class TicketMeeting implements Subscription {
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: undefined;
  onContact: undefined;
  readonly #way: TicketExchange;
  readonly #point: RendezvousPoint;
  readonly #side: SignallingRole;
  #latest: { readonly blob: Uint8Array; readonly signal: Signal } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isTold = false;

  constructor(way: TicketExchange, point: RendezvousPoint, side: SignallingRole) {
    this.#way = way;
    this.#point = point;
    this.#side = side;
    const heard =
      way.side === "responder" ? way.answer.then(({ sealedSignal }) => sealedSignal) : this.#offer();
    // Where no answer comes, whoever was to give it says why.
    heard.then((blob) => this.onBlob?.(blob)).catch(() => undefined);
  }

  publish(blob: Uint8Array): void {
    const signal = openSignal(this.#point.sealKey, this.#side, blob);
    // An answer is none before the openings have left; and nobody carries a second ticket.
    if (signal === undefined || this.#isTold || (this.#side === "initiator" && !signal.hasOpened)) return;
    this.#latest = { blob, signal };
    this.#timer ??= setTimeout(() => this.#report(), GATHER_MS);
  }

  close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isTold = true;
    return Promise.resolve();
  }

  #report(): void {
    clearTimeout(this.#timer);
    if (this.#isTold || this.#latest === undefined) return;
    this.#isTold = true;
    const { blob, signal } = this.#latest;
    const way = this.#way;
    way.onTicket(
      way.side === "responder"
        ? encodeTicket({ kind: "offer", ...way.terms, signal })
        : encodeTicket({ kind: "answer", sealedSignal: blob }),
    );
  }

  /** The offer's signal, sealed as any other carrier would bring it. */
  async #offer(): Promise<Uint8Array> {
    const random = (byteLength: number): Uint8Array => new Uint8Array(randomBytes(byteLength));
    if (this.#way.side !== "initiator") return new Uint8Array(0);
    return sealSignal(this.#point.sealKey, random, this.#way.offer.signal);
  }
}

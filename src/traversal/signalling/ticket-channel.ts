/**
 * The carrier that is a person: what the listener prints is pasted at the connector, and what that prints at the
 * listener. One ticket each way, so it waits until what is to be said is worth a person's while.
 *
 *     listener  ── offer: psk, expiry, signal ──►  connector      confidential
 *     listener  ◄── answer: sealed signal ───────  connector      its openings are on their way by then
 */
import { randomBytes } from "node:crypto";
import { openSignal, sealSignal } from "../../punch/sealed-signal.ts";
import type { Signal } from "../../wire/signal.ts";
import { encodeTicket, type TicketAnswer, type TicketOffer } from "../../wire/ticket.ts";
import { placeOfTicket } from "./rendezvous-point.ts";
import type { Carrier, Meeting, MeetingSide, Place } from "./channel.ts";

/** How a ticket gets from one person to the other. */
export type TicketWay = {
  /** Told of the text to be carried to the other side, once. */
  readonly onTicket: (text: string) => void;
} & (
  | { readonly side: "responder"; readonly terms: TicketTerms; readonly answer: Promise<TicketAnswer> }
  | { readonly side: "initiator"; readonly offer: TicketOffer }
);

/** What an offer says beside its signal. */
export type TicketTerms = Pick<TicketOffer, "psk" | "expiresAtS">;

/** So long for public addresses, and for what the NATs do with ports, to be found out: there is no second ticket. */
const GATHER_MS = 1500;

/** Whether `answer` was made for the offer of these terms, and not for another one. */
export function isAnswerTo({ psk, expiresAtS }: TicketTerms, { sealedSignal }: TicketAnswer): boolean {
  const { sealKey } = placeOfTicket(psk, expiresAtS * 1000);
  return openSignal(sealKey, "initiator", sealedSignal) !== undefined;
}

export class TicketCarrier implements Carrier {
  readonly name = "ticket";
  readonly #way: TicketWay;

  constructor(way: TicketWay) {
    this.#way = way;
  }

  meet(place: Place, side: MeetingSide): Meeting {
    return new TicketMeeting(this.#way, place, side);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class TicketMeeting implements Meeting {
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: undefined;
  onContact: undefined;
  readonly #way: TicketWay;
  readonly #place: Place;
  readonly #side: MeetingSide;
  #latest: { readonly blob: Uint8Array; readonly signal: Signal } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isTold = false;

  constructor(way: TicketWay, place: Place, side: MeetingSide) {
    this.#way = way;
    this.#place = place;
    this.#side = side;
    const heard =
      way.side === "responder" ? way.answer.then(({ sealedSignal }) => sealedSignal) : this.#offer();
    // Where no answer comes, whoever was to give it says why.
    heard.then((blob) => this.onBlob?.(blob)).catch(() => undefined);
  }

  publish(blob: Uint8Array): void {
    const signal = openSignal(this.#place.sealKey, this.#side, blob);
    // An answer is none before the openings have left; and nobody carries a second ticket.
    if (signal === undefined || this.#isTold || (this.#side === "initiator" && !signal.hasOpened)) return;
    this.#latest = { blob, signal };
    this.#timer ??= setTimeout(() => this.#tell(), GATHER_MS);
  }

  close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isTold = true;
    return Promise.resolve();
  }

  #tell(): void {
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
    return sealSignal(this.#place.sealKey, random, this.#way.offer.signal);
  }
}

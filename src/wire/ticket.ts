/**
 * Tickets: signals that people transfer by hand if there is no rendezvous point. The listener
 * prints an offer, and the connecting peer prints an answer to it.
 *
 *     srudpt1 ‖ base64url( kind ‖ …  ‖ CRC-32 )
 *
 *     offer    0 ‖ expiry, UTC seconds (48 bits) ‖ psk (256 bits) ‖ signal    confidential, like a code
 *     answer   1 ‖ signal, sealed under a key derived from the psk            not confidential
 *
 * Anyone who has an offer can make the link, so it must be sent over a confidential channel. The
 * answer may be public. The seal also protects the addresses in the answer against changes.
 */
import { base64urlnopad } from "@scure/base";
import { concatBytes, copyBytes, writeU32, writeU48 } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { crc32 } from "./crc32.ts";
import { unwrapTicket } from "./pasted-text.ts";
import { decodeSignal, encodeSignal, type Signal } from "./signal.ts";

/** Length of the secret in an offer. */
export const TICKET_PSK_BYTES = 32;

const PREFIX = "srudpt1";
/** Longer texts are rejected unread. The longest offer has some 1300 characters. */
const MAX_TEXT_LENGTH = 2000;
const OFFER = 0;
const ANSWER = 1;
const CRC_BYTES = 4;

export interface TicketOffer {
  readonly kind: "offer";
  /** Expiry, UTC seconds. */
  readonly expiresAtS: number;
  /** 32 random bytes, used for one link. */
  readonly psk: Uint8Array;
  readonly signal: Signal;
}

export interface TicketAnswer {
  readonly kind: "answer";
  readonly sealedSignal: Uint8Array;
}

export type Ticket = TicketOffer | TicketAnswer;

/** Whether a text is meant as a ticket, well-formed or not. */
export function looksLikeTicket(text: string): boolean {
  return /^srudpt1/i.test(unwrapTicket(text));
}

/** Encodes a ticket: `srudpt1…`, on one line. */
export function encodeTicket(ticket: Ticket): string {
  let body: Uint8Array;
  if (ticket.kind === "offer") {
    const head = new Uint8Array(7);
    head[0] = OFFER;
    writeU48(head, 1, ticket.expiresAtS);
    body = concatBytes(head, ticket.psk, encodeSignal(ticket.signal));
  } else body = concatBytes(Uint8Array.of(ANSWER), ticket.sealedSignal);
  const check = new Uint8Array(CRC_BYTES);
  writeU32(check, 0, crc32(body));
  return PREFIX + base64urlnopad.encode(concatBytes(body, check));
}

/**
 * Decodes a pasted ticket. Blanks and line breaks inserted by a mail program are ignored.
 *
 * @throws SrudpError ERR_TICKET_FORMAT; the message never repeats the text. The caller, which has a
 * clock, checks whether an offer has expired.
 */
export function decodeTicket(text: string): Ticket {
  const unwrapped = unwrapTicket(text);
  const packed = unwrapped.length > MAX_TEXT_LENGTH ? "" : unwrapped;
  if (!packed.startsWith(PREFIX)) throw new SrudpError("ERR_TICKET_FORMAT");
  const bytes = fromBase64Url(packed.slice(PREFIX.length));
  const bodyEnd = bytes.length - CRC_BYTES;
  const body = copyBytes(bytes, 0, Math.max(bodyEnd, 0));
  const trailer = new Reader(bytes.subarray(Math.max(bodyEnd, 0)));
  if (trailer.u32() !== crc32(body) || !trailer.ok)
    throw new SrudpError("ERR_TICKET_FORMAT", "A part of it is missing or changed");
  const reader = new Reader(body);
  const kind = reader.u8();
  if (kind === ANSWER) return { kind: "answer", sealedSignal: copyBytes(reader.rest()) };
  const expiresAtS = reader.u48();
  const psk = copyBytes(reader.take(TICKET_PSK_BYTES));
  const signal = reader.ok ? decodeSignal(reader.rest()) : undefined;
  if (kind !== OFFER || signal === undefined)
    throw new SrudpError("ERR_TICKET_FORMAT", "It was made by another version of srudp");
  return { kind: "offer", expiresAtS, psk, signal };
}

function fromBase64Url(text: string): Uint8Array {
  try {
    return base64urlnopad.decode(text);
  } catch {
    // The library's error may quote its input, which is a secret, so it is not chained.
    throw new SrudpError("ERR_TICKET_FORMAT");
  }
}

/**
 * Parses pasted lines that contain the answer to a ticket. Mail may have wrapped or quoted the
 * answer, and other lines may precede it. This module has no terminal: `tickets.ts` passes the
 * lines to it and shows its messages.
 */
import { unwrapTicket } from "../../wire/pasted-text.ts";
import { decodeTicket, looksLikeTicket, type Ticket, type TicketAnswer } from "../../wire/ticket.ts";

/** Longer than any answer, in characters. Text of this length is not joined with further lines. */
const MAX_PART_CHARACTERS = 2000;

export class AnswerEntry {
  /** The answer, once it is complete. */
  answer: TicketAnswer | undefined;
  readonly #isFitting: (answer: TicketAnswer) => boolean;
  /** The first lines of an incomplete answer. */
  #beginning = "";

  /** @param isFitting returns whether an answer belongs to the local ticket */
  constructor(isFitting: (answer: TicketAnswer) => boolean) {
    this.#isFitting = isFitting;
  }

  /**
   * Handles a line. Returns the problem as text for the user, or an empty string for an empty line
   * and for the answer.
   */
  feed(line: string): string {
    const text = unwrapTicket(line);
    if (text === "") return "";
    const isBeginning = looksLikeTicket(text);
    const whole = isBeginning ? text : this.#beginning + text;
    const ticket = ticketIn(whole);
    if (ticket?.kind === "answer" && this.#isFitting(ticket)) {
      this.answer = ticket;
      return "";
    }
    if (ticket !== undefined) {
      this.#beginning = "";
      return ticket.kind === "answer" ? OTHER_TICKET : OFFER;
    }
    if (!isBeginning && (this.#beginning === "" || !/^[\w-]+$/.test(text))) return NO_ANSWER;
    this.#beginning = whole.length > MAX_PART_CHARACTERS ? "" : whole;
    return PART;
  }
}

function ticketIn(text: string): Ticket | undefined {
  try {
    return decodeTicket(text);
  } catch {
    return undefined;
  }
}

const NO_ANSWER = "That is not an answer: an answer begins with srudpt1.";
const PART = "That is not a whole answer: paste the rest of it, or all of it again.";
const OFFER = "That is a ticket, not the answer to it: paste what the other machine printed.";
const OTHER_TICKET = "That answers another ticket: the other machine has to be given the one above.";

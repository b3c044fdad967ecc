/**
 * Tickets that two users exchange: the output of each side, and how the listener receives the
 * answer.
 */
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { SrudpError } from "../base/errors.ts";
import type { TicketExchange, TicketTerms } from "../link/traversal-options.ts";
import { onAbort } from "../platform/abort.ts";
import { unlessAborted } from "../platform/deadline.ts";
import { readTicketFile } from "../store/secret-sources.ts";
import { isAnswerTo } from "../traversal/signalling/ticket-channel.ts";
import { decodeTicket, type TicketAnswer, type TicketOffer } from "../wire/ticket.ts";
import type { CommandContext } from "./context.ts";
import { usage } from "./options/operands.ts";
import { AnswerEntry } from "./terminal/answer-entry.ts";
import { formatDuration } from "./terminal/progress.ts";
import { askLines, hasTerminal } from "./terminal/prompt.ts";

/** How long a ticket is valid. */
const TICKET_LIFE_MS = 600_000;
/**
 * A ticket that expired longer ago is refused. A more recent expiry may be caused by a wrong clock.
 */
const MAX_CLOCK_ERROR_MS = 26 * 3_600_000;
/** Polling interval for a missing answer file. */
const RETRY_MS = 250;
const QUESTION = "answer: ";

/**
 * Creates an offer with `psk` and waits for its answer, from a file or on the terminal, until
 * `ending`.
 */
export function offerTicket(
  context: CommandContext,
  psk: Uint8Array,
  answerFile: string | undefined,
  ending: AbortController,
): TicketExchange {
  if (answerFile === undefined && !hasTerminal())
    throw usage("There is no terminal to paste the answer at: name a file for it with --answer-file");
  if (answerFile !== undefined && statSync(answerFile, { throwIfNoEntry: false })?.isDirectory())
    throw new SrudpError("ERR_FILE_UNREADABLE", `${answerFile} is a folder`);
  const { reporter } = context;
  const expiresAtS = Math.floor((Date.now() + TICKET_LIFE_MS) / 1000);
  const terms = { psk, expiresAtS };
  let report: () => void = () => undefined;
  const reported = new Promise<void>((resolve) => {
    report = resolve;
  });
  const expiry = setTimeout(() => ending.abort(new SrudpError("ERR_TICKET_EXPIRED")), TICKET_LIFE_MS);
  onAbort(ending.signal, () => clearTimeout(expiry));
  expiry.unref();
  const answer = reported.then(() => readAnswer(answerFile, terms, ending.signal));
  answer.catch((error: unknown) => ending.abort(error));
  const onTicket = (ticket: string): void => {
    const { strong } = reporter.palette;
    const prose = `on the other machine run\n  ${strong(`srudp connect ${ticket}`)}\nand bring its answer back here within ten minutes`;
    reporter.event("ticket", { ticket, expiresAtS }, reporter.quiet ? ticket : prose, "always");
    report();
  };
  return { side: "responder", terms, answer, onTicket };
}

/**
 * Accepts an offer. An offer that expired a short time ago may come from a machine whose clock is
 * slow. The listener decides by its own clock whether the offer is still valid.
 *
 * @throws SrudpError ERR_TICKET_EXPIRED
 */
export function acceptTicket({ reporter }: CommandContext, offer: TicketOffer): TicketExchange {
  const expiredMs = Date.now() - offer.expiresAtS * 1000;
  if (expiredMs > MAX_CLOCK_ERROR_MS) throw new SrudpError("ERR_TICKET_EXPIRED");
  if (expiredMs > 0) {
    const prose = `the ticket expired ${formatDuration(expiredMs)} ago by this machine's clock; if the other machine still waits, one of the two clocks is wrong`;
    reporter.event("clock", { expiredMs }, prose);
  }
  const onTicket = (ticket: string): void => {
    const prose = `paste this at the machine that waits:\n  ${reporter.palette.strong(ticket)}`;
    reporter.event("answer", { ticket }, reporter.quiet ? ticket : prose, "always");
  };
  return { side: "initiator", offer, onTicket };
}

/** How long the connector waits for the listener to receive the answer. */
export function ticketTimeoutMs(offer: TicketOffer): number {
  const leftMs = offer.expiresAtS * 1000 - Date.now();
  // If the clocks differ, the remaining time is unknown.
  return leftMs > 0 && leftMs < TICKET_LIFE_MS ? leftMs : TICKET_LIFE_MS;
}

async function readAnswer(
  file: string | undefined,
  terms: TicketTerms,
  signal: AbortSignal,
): Promise<TicketAnswer> {
  if (file === undefined) return askAnswer(terms, signal);
  for (;;) {
    const text = await unlessAborted(signal, readTicketFile(file));
    if (text !== undefined) {
      const ticket = decodeTicket(text);
      if (ticket.kind !== "answer")
        throw new SrudpError("ERR_TICKET_FORMAT", "This is an offer and no answer to one");
      if (!isAnswerTo(terms, ticket))
        throw new SrudpError("ERR_TICKET_FORMAT", "This answers another ticket");
      return ticket;
    }
    await sleep(RETRY_MS, undefined, { signal });
  }
}

/** Asks on the terminal until one or more lines form the answer. */
async function askAnswer(terms: TicketTerms, signal: AbortSignal): Promise<TicketAnswer> {
  const entry = new AnswerEntry((answer) => isAnswerTo(terms, answer));
  const isDone = await askLines(QUESTION, signal, (line) => {
    const hint = entry.feed(line);
    if (entry.answer !== undefined) return undefined;
    return hint === "" ? QUESTION : `${hint}\n${QUESTION}`;
  });
  if (!isDone || entry.answer === undefined)
    throw new SrudpError("ERR_TICKET_FORMAT", "No answer was pasted");
  return entry.answer;
}

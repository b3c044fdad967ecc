/** Strict parsers for operands and option values: peers, ports, times, and the program after `--`. */
import { SrudpError } from "../../base/errors.ts";
import { isPeerName } from "../../store/saved-peers.ts";
import { CODE_WORDS, looksLikeCode, parseCode } from "../../wire/code.ts";
import { unquote, unwrapLine } from "../../wire/pasted-text.ts";
import { decodeTicket, looksLikeTicket, type TicketOffer } from "../../wire/ticket.ts";
import { escapeText } from "../terminal/escape.ts";

/** The peer that the operands of a command name. */
export type PeerOperand =
  | { readonly kind: "address"; readonly host: string; readonly port: number }
  | { readonly kind: "code"; readonly code: string }
  | { readonly kind: "key" }
  | { readonly kind: "ticket"; readonly offer: TicketOffer }
  /** The name of a saved peer, or a host without its port. */
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "none" };

/** Splits the arguments at the first `--`. `program` is `undefined` if there is no `--`. */
export function splitWords(words: readonly string[]): { options: string[]; program: string[] | undefined } {
  const at = words.indexOf("--");
  if (at < 0) return { options: [...words], program: undefined };
  return { options: words.slice(0, at), program: words.slice(at + 1) };
}

/**
 * Parses the operands of `connect` to a peer: `host:port`, `[v6]:port`, `host port`, a code (as one
 * word or four), a ticket, a key, the name of a saved peer, or none.
 *
 * @throws SrudpError ERR_USAGE, ERR_CODE_FORMAT, ERR_TICKET_FORMAT
 */
export function parsePeer(words: readonly string[]): PeerOperand {
  const operands = unwrapOperands(words);
  const [first, second] = operands;
  if (first === undefined) return { kind: "none" };
  if (looksLikeTicket(first)) {
    // A ticket with line breaks arrives as several arguments.
    const ticket = decodeTicket(operands.join(""));
    if (ticket.kind === "offer") return { kind: "ticket", offer: ticket };
    throw usage("This ticket is an answer: paste it where `srudp listen --ticket` waits");
  }
  if (operands.length === 1 + CODE_WORDS && looksLikeCode(first))
    return { kind: "code", code: parseCode(operands.join("-")) };
  if (operands.length > 2) throw usage("More words than a host and a port");
  if (second !== undefined) return address(first.replace(/^\[(.*)\]$/, "$1"), parsePort(second));
  if (/^srudp[a-z]?1/i.test(first.trim())) return { kind: "key" };
  if (looksLikeCode(first)) return { kind: "code", code: parseCode(first) };
  const parts = /^(?:\[([^[\]]*)\]|([^:]*)):([^:]*)$/.exec(first);
  if (parts === null && isPeerName(first)) return { kind: "name", name: first };
  if (parts === null) {
    const needsPort = first.includes(":") ? "as [address]:port" : "as host:port";
    throw usage(`"${escapeText(first)}" has no port: give the peer ${needsPort}`);
  }
  return address(parts[1] ?? parts[2]!, parsePort(parts[3]!));
}

/**
 * Removes pasted quotes and invisible characters from the operands, and `srudp connect` if the user
 * pasted the whole line that the peer printed. Drops a full stop after a code.
 */
export function unwrapOperands(words: readonly string[]): string[] {
  const unquoted = words.flatMap((word) => {
    const line = unquote(word);
    return /^srudp\s/.test(line) ? line.split(/\s+/) : [line];
  });
  const operands =
    /^srudp$/.test(unquoted[0] ?? "") && unquoted[1] === "connect" ? unquoted.slice(2) : unquoted;
  const last = operands.at(-1);
  if (last === undefined) return operands;
  const whole = unwrapLine(operands.join(" "));
  return looksLikeCode(whole) ? [...operands.slice(0, -1), unwrapLine(last)] : operands;
}

/** Parses a UDP port from 0 (any) to 65535. @throws SrudpError ERR_USAGE */
export function parsePort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535)
    throw usage(`"${escapeText(text)}" is not a port from 1 to 65535`);
  return Number(text);
}

/**
 * Parses seconds, with an optional fraction, to milliseconds. 0 means "never" and returns Infinity.
 * @throws SrudpError ERR_USAGE
 */
export function parseLimit(text: string): number {
  const ms = parseSeconds(text);
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}

/** Parses seconds, with an optional fraction, to milliseconds. @throws SrudpError ERR_USAGE */
export function parseSeconds(text: string): number {
  if (!/^\d{1,7}(?:\.\d+)?$/.test(text)) throw usage(`"${escapeText(text)}" is not a number of seconds`);
  return Number(text) * 1000;
}

/**
 * Like `parseSeconds`, but -1 means "wait forever" as in nc and returns Infinity. @throws
 * SrudpError ERR_USAGE
 */
export function parseQuitAfter(text: string): number {
  return text === "-1" ? Number.POSITIVE_INFINITY : parseSeconds(text);
}

/** Parses the number of an inherited descriptor. @throws SrudpError ERR_USAGE */
export function parseDescriptor(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw usage(`"${escapeText(text)}" is not a descriptor's number`);
  return Number(text);
}

/** Parses the number of a link within a process. @throws SrudpError ERR_USAGE */
export function parseLinkNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw usage(`"${escapeText(text)}" is not a link's number`);
  return Number(text);
}

/** `host:port` in its canonical spelling, in which peers are saved and shown. */
export function formatPeer(host: string, port: number): string {
  return host.includes(":") ? `[${host.toLowerCase()}]:${port}` : `${host.toLowerCase()}:${port}`;
}

/** Replaces every code in `text`, including mistyped ones, because a code is never printed back. */
export function hideCodes(text: string): string {
  return text.replace(HYPHENED_CODE, "…").replace(SPACED_CODE, (words) => (isCode(words) ? "…" : words));
}

/** The error for a mistake on the command line. */
export function usage(detail: string): SrudpError {
  return new SrudpError("ERR_USAGE", detail);
}

function address(host: string, port: number): PeerOperand {
  if (host === "" || /[\s/]/.test(host)) throw usage("The host is missing or has a blank in it");
  if (port === 0) throw usage("A peer has no port 0");
  // Otherwise the code would be sent to a DNS server in clear text.
  if (looksLikeCode(host) && isCode(host))
    throw usage("A code stands where the host should be: leave out the port");
  return { kind: "address", host, port };
}

function isCode(text: string): boolean {
  try {
    parseCode(text);
    return true;
  } catch {
    return false;
  }
}

const HYPHENED_CODE = /\b\d{1,2}(?:[_\u2010-\u2015-]+\p{L}{3,12}){2,3}/giu;
const SPACED_CODE = /\b\d{1,2}(?:[\s_\u2010-\u2015-]+[a-z]{3,8}){3}\b/gi;

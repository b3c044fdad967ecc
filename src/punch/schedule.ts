/**
 * When to send to a pair, and with which TTL: a function of the attempt's phase and the state of
 * the pair. `agent.ts` describes the phases.
 */
import { isWorking, type Pair } from "./check-list.ts";

export type Phase =
  | { readonly kind: "waiting"; readonly untilMs: number }
  | { readonly kind: "opening"; readonly untilMs: number }
  | { readonly kind: "holding"; readonly untilMs: number }
  | { readonly kind: "awaitingPeer"; readonly untilMs: number }
  | { readonly kind: "checking"; readonly untilMs: number }
  | { readonly kind: "racing"; readonly untilMs: number }
  | { readonly kind: "settled" }
  | { readonly kind: "failed" };

/** Inputs of the schedule, beside the pair. */
export interface Circumstances {
  readonly phase: Phase;
  /** Counted from 1. */
  readonly attempt: number;
  /**
   * The peer's NAT admits any address that the peer has sent to, but the peer cannot know from
   * which port this host will send.
   */
  readonly mustSpeakFirst: boolean;
  readonly isTicket: boolean;
}

/** Number of attempts, each on fresh sockets. */
export const ATTEMPTS = 3;
/**
 * TTL of low-TTL openings, by attempt and round: past one NAT, then past two or three for hosts
 * behind a second NAT. 0, the system's default, is for the case that even those arrived too early.
 * In later rounds the peer usually has sent a packet, so an opening that arrives does no harm.
 */
const OPENING_TTLS: readonly (readonly number[])[] = [
  [2, 4, 0],
  [4, 4, 0],
  [0, 0, 0],
];
/** Number of openings of a pair in its first round. */
const FIRST_ROUND_OPENINGS = 3;

/**
 * Maximum number of checks of one pair in an attempt: 20 in the first second, then five a second
 * for nine more.
 */
const CHECKS_LIMIT = 65;
const FAST_CHECKS = 20;
const FAST_PAUSE_MS = 50;
const SLOW_PAUSE_MS = 200;
/**
 * Limits for predicted ports, which rarely work, and for addresses from a ticket, which must
 * receive few packets.
 */
const PREDICTED_CHECKS_LIMIT = 8;
const PREDICTED_FAST_CHECKS = 3;
const PREDICTED_SLOW_PAUSE_MS = 1000;
const TICKET_FAST_CHECKS = 5;
const TICKET_SLOW_PAUSE_MS = 500;
const RACE_PAUSE_MS = 100;
/**
 * Pauses between openings, or between the checks that replace them: short at first, at last as
 * often as a filter's lifetime requires.
 */
const HOLDING_PAUSES: readonly { readonly upTo: number; readonly pauseMs: number }[] = [
  { upTo: 2, pauseMs: 10 },
  { upTo: 7, pauseMs: 200 },
  { upTo: 15, pauseMs: 1000 },
  { upTo: Number.POSITIVE_INFINITY, pauseMs: 15_000 },
];

/**
 * TTL with which a packet may be sent to `pair` now (0: the system's default); undefined while
 * nothing may be sent.
 */
export function ttlOf(pair: Pair, circumstances: Circumstances): number | undefined {
  const { phase } = circumstances;
  if (isWorking(pair)) return phase.kind === "racing" ? 0 : undefined;
  if (!keepsNatOpen(pair, phase) && pair.checks >= (pair.isPredicted ? PREDICTED_CHECKS_LIMIT : CHECKS_LIMIT))
    return undefined;
  if (pair.hasRequest) return 0;
  switch (phase.kind) {
    case "settled":
      return undefined;
    case "checking":
    case "racing":
      return 0;
    case "waiting":
    case "awaitingPeer":
    case "failed":
      return pair.isGuarded ? undefined : 0;
    case "opening":
    case "holding":
      if (!pair.isGuarded || circumstances.mustSpeakFirst) return 0;
      return openingTtl(circumstances.attempt, pair.openings < FIRST_ROUND_OPENINGS ? 0 : 1) || undefined;
  }
}

/** Pause before the next packet to the same pair. The current packet is already counted. */
export function pauseAfter(pair: Pair, isOpening: boolean, { phase, isTicket }: Circumstances): number {
  if (phase.kind === "racing") return RACE_PAUSE_MS;
  if (keepsNatOpen(pair, phase)) {
    const sent = pair.openings + pair.checks;
    return HOLDING_PAUSES.find(({ upTo }) => sent < upTo)!.pauseMs;
  }
  if (isOpening) return FAST_PAUSE_MS;
  if (pair.isPredicted) return pair.checks < PREDICTED_FAST_CHECKS ? FAST_PAUSE_MS : PREDICTED_SLOW_PAUSE_MS;
  if (isTicket) return pair.checks < TICKET_FAST_CHECKS ? FAST_PAUSE_MS : TICKET_SLOW_PAUSE_MS;
  return pair.checks < FAST_CHECKS ? FAST_PAUSE_MS : SLOW_PAUSE_MS;
}

/**
 * TTL of an opening in this attempt (from 1) and round (from 0); 0 for none, or for one with full
 * TTL.
 */
export function openingTtl(attempt: number, round: number): number {
  return OPENING_TTLS[attempt - 1]![round]!;
}

/** Whether the local NAT is kept open on this pair for the peer. */
function keepsNatOpen(pair: Pair, phase: Phase): boolean {
  return pair.isGuarded && !pair.hasRequest && (phase.kind === "opening" || phase.kind === "holding");
}

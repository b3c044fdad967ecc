/** Reaching a peer whose address is not known: both sides go to a place that only they can find. */

import { setTimeout as sleep } from "node:timers/promises";
import { SrudpError } from "../base/errors.ts";
import { bindListening } from "../link/bind.ts";
import { checkCommonOptions } from "../link/check-options.ts";
import type { Link } from "../link/link.ts";
import type { MeetOptions } from "../link/link-options.ts";
import { prepareQlogDirectory } from "../link/qlog/qlog-file.ts";
import { Trust } from "../link/trust.ts";
import { Deadline } from "../platform/deadline.ts";
import { RendezvousAttempt } from "../traversal/rendezvous-attempt.ts";
import type { RendezvousPoint } from "../traversal/signalling/channel.ts";
import {
  CODE_SPAN_MS,
  PAIR_SPAN_MS,
  pointOfTicket,
  pointsOfCode,
  pointsOfPair,
} from "../traversal/signalling/rendezvous-point.ts";
import { parseCode } from "../wire/code.ts";

/**
 * Reaches the peer that has the same code, or the key `peer`, wherever it is; it listens with `meet`.
 *
 * @returns the link, once the peer has shown that it holds the keys
 * @throws SrudpError ERR_USAGE without a code, or an identity and one `peer`; ERR_NO_MEETING_PLACE, ERR_NO_PATH,
 * ERR_TIMEOUT; and as `connect`
 */
export async function meet(options: MeetOptions): Promise<Link> {
  checkCommonOptions(options);
  const { signal, timeoutMs = Infinity, qlogDirectory } = options;
  signal?.throwIfAborted();
  const trust = new Trust(options);
  const deadline = new Deadline(signal, timeoutMs);
  try {
    if (qlogDirectory !== undefined) await deadline.limit(prepareQlogDirectory(qlogDirectory));
    const endpoint = await deadline.limit(bindListening(options), (late) => late.close());
    const attempt = RendezvousAttempt.start(endpoint, trust, options.meet, options);
    const joined = joinPoints(attempt, options).then(() => attempt.link);
    try {
      return await deadline.limit(Promise.race([attempt.link, joined]), undefined, () => attempt.giveUp());
    } catch (error) {
      attempt.giveUp();
      throw error instanceof SrudpError ? attempt.explain(error) : error;
    }
  } finally {
    deadline.end();
  }
}

/** Goes where the peer will look, too. */
async function joinPoints(attempt: RendezvousAttempt, options: MeetOptions): Promise<void> {
  const { code, identity, peer } = options;
  const { ticket } = options.meet;
  const [key, ...others] = peer ?? [];
  if (ticket?.side === "initiator") {
    attempt.join(pointOfTicket(ticket.offer.psk, ticket.offer.expiresAtS * 1000));
  } else if (code !== undefined) {
    const known = new Set<number>();
    const points = (nowMs: number): AsyncGenerator<RendezvousPoint, void, void> =>
      pointsOfCode(parseCode(code), nowMs, known);
    await joinByClocks(attempt, points, CODE_SPAN_MS);
  } else if (identity !== undefined && key !== undefined && others.length === 0) {
    const known = new Set<number>();
    await joinByClocks(attempt, (nowMs) => pointsOfPair(identity, key, nowMs, known), PAIR_SPAN_MS);
  } else throw new SrudpError("ERR_USAGE", "To meet a peer takes a code, or this side's key and the peer's");
}

/** Between one neighbouring span on the local network and the next; a code's place takes a third of a second to work out. */
const LAN_PAUSE_MS = 2000;
/** How far the clock of a peer on the local network may be off, either way. */
const LAN_CLOCK_ERROR_MS = 3_900_000;

/**
 * Goes to the places of the own clock, and of servers' clocks as they are learned. On the local network, where there may
 * be nobody to ask for the time, the neighbouring spans follow one by one while the peer is not found; elsewhere
 * this would burden others too much.
 *
 * @param placesAt the places of a time that were not asked for before
 */
async function joinByClocks(
  attempt: RendezvousAttempt,
  placesAt: (nowMs: number) => AsyncIterable<RendezvousPoint> | Iterable<RendezvousPoint>,
  spanMs: number,
): Promise<void> {
  const join = async (): Promise<void> => {
    for (const nowMs of attempt.clocks.times) for await (const point of placesAt(nowMs)) attempt.join(point);
  };
  // Ends with the attempt, as what it belongs to does.
  attempt.clocks.watch(() => void join());
  await join();
  void (async () => {
    for (let awayMs = spanMs; awayMs <= LAN_CLOCK_ERROR_MS + spanMs; awayMs += spanMs) {
      for (const sign of [-1, 1]) {
        await sleep(LAN_PAUSE_MS, undefined, { ref: false });
        if (!attempt.isLookingOnLan) return;
        for await (const point of placesAt(Date.now() + sign * awayMs)) attempt.join(point, "lan");
      }
    }
  })();
}

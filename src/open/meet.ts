/**
 * Connects to a peer whose address is not known. Both sides meet at a rendezvous point that is
 * derived from a shared secret or their keys.
 */

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
 * Connects to the peer that has the same code, or the key in `peer`. The peer must listen with
 * `meet`.
 *
 * @returns the link, once the peer has proved possession of its keys
 * @throws SrudpError ERR_USAGE without a code, or an identity and one `peer`; ERR_NO_MEETING_PLACE,
 * ERR_NO_PATH, ERR_TIMEOUT; the errors of `connect`
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

/** Joins the rendezvous points at which the peer waits. */
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

/**
 * Pause between two neighbouring time spans on the local network. Deriving the rendezvous point of
 * a code takes a third of a second.
 */
const LAN_PAUSE_MS = 2000;
/** Maximum clock error of a peer on the local network, in either direction. */
const LAN_CLOCK_ERROR_MS = 3_900_000;

/**
 * Joins the rendezvous points of the time span of the local clock, and of the clocks of servers as
 * they are learned. On the local network there may be no time server, so the neighbouring spans are
 * joined one by one until the peer is found. On other channels that would load public servers too
 * much.
 *
 * @param pointsAt the rendezvous points of a time, without those that were returned before
 */
async function joinByClocks(
  attempt: RendezvousAttempt,
  pointsAt: (nowMs: number) => AsyncIterable<RendezvousPoint> | Iterable<RendezvousPoint>,
  spanMs: number,
): Promise<void> {
  const join = async (): Promise<void> => {
    for (const nowMs of attempt.clocks.times) for await (const point of pointsAt(nowMs)) attempt.join(point);
  };
  // The watch ends with the attempt.
  attempt.clocks.watch(() => void join());
  await join();
  void (async () => {
    for (let offsetMs = spanMs; offsetMs <= LAN_CLOCK_ERROR_MS + spanMs; offsetMs += spanMs) {
      for (const sign of [-1, 1]) {
        await sleep(LAN_PAUSE_MS, undefined, { ref: false });
        if (!attempt.isLookingOnLan) return;
        for await (const point of pointsAt(Date.now() + sign * offsetMs)) attempt.join(point, "lan");
      }
    }
  })();
}

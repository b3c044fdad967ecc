/** Reaching a peer whose address is not known: both sides go to a place that only they can find. */
import { SrudpError } from "../base/errors.ts";
import { parseCode } from "../wire/code.ts";
import { bindListening } from "./bind.ts";
import type { Link } from "./link.ts";
import { placeOfTicket, placesOfCode, placesOfPair } from "./meeting-place.ts";
import type { MeetOptions } from "./options.ts";
import { Patience } from "./patience.ts";
import { prepareQlogDirectory } from "./qlog-file.ts";
import { MeetingAttempt } from "./reach/meeting-attempt.ts";
import { Trust } from "./trust.ts";

/**
 * Reaches the peer that has the same code, or the key `peer`, wherever it is; it listens with `meet`.
 *
 * @returns the link, once the peer has shown that it holds the keys
 * @throws SrudpError ERR_USAGE without a code, or an identity and one `peer`; ERR_NO_MEETING_PLACE, ERR_NO_PATH,
 * ERR_TIMEOUT; and as `connect`
 */
export async function meet(options: MeetOptions): Promise<Link> {
  const { signal, timeoutMs = Infinity, qlogDirectory } = options;
  signal?.throwIfAborted();
  const trust = new Trust(options);
  const patience = new Patience(signal, timeoutMs);
  try {
    if (qlogDirectory !== undefined) await patience.limit(prepareQlogDirectory(qlogDirectory));
    const endpoint = await patience.limit(bindListening(options), (late) => late.close());
    const attempt = new MeetingAttempt(endpoint, trust, options.meet, options);
    const joined = joinPlaces(attempt, options).then(() => attempt.link);
    try {
      return await patience.limit(Promise.race([attempt.link, joined]), undefined, () => attempt.giveUp());
    } catch (error) {
      attempt.giveUp();
      throw error instanceof SrudpError ? attempt.explain(error) : error;
    }
  } finally {
    patience.end();
  }
}

/** Goes where the peer will look, too. */
async function joinPlaces(attempt: MeetingAttempt, options: MeetOptions): Promise<void> {
  const { code, identity, peer } = options;
  const { ticket } = options.meet;
  const now = Date.now();
  const [key, ...others] = peer ?? [];
  if (ticket?.side === "initiator") {
    attempt.join(placeOfTicket(ticket.offer.psk, ticket.offer.expiresAtS * 1000));
  } else if (code !== undefined) {
    for await (const place of placesOfCode(parseCode(code), now)) attempt.join(place);
  } else if (identity !== undefined && key !== undefined && others.length === 0) {
    for (const place of placesOfPair(identity, key, now)) attempt.join(place);
  } else throw new SrudpError("ERR_USAGE", "To meet a peer takes a code, or this side's key and the peer's");
}

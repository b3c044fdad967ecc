/**
 * When to send where nothing passes between the two sides but the packets themselves: the ancestor's way, both
 * `connect` to each other at about the same time.
 *
 * Each begins on its own: low-TTL openings, so that no packet of the one reaches the other's NAT before the other
 * side's own has left, then full TTL. If it was too early after all, the other's NAT may have taken the packet for
 * the start of a flow to itself, and gives that side another port for as long as packets keep coming (30 s in Linux).
 * So both rest for longer than that, and begin again at the same time by the clock on the wall. Whoever comes
 * while the other rests still finds the hole that the other's last packets left.
 */

/** How long openings go out before the first packet that can arrive. */
const OPENING_MS = 1500;
/** How long a side is active, from its start and in each slot. */
const ACTIVE_MS = 6000;
/** Slots begin at multiples of this in UTC: rest is just longer than what is to be forgotten in it. */
const SLOT_MS = 38_000;

export type BlindState =
  | { readonly kind: "opening"; readonly slot: number }
  | { readonly kind: "full"; readonly slot: number }
  | { readonly kind: "resting"; readonly untilMs: number };

/** What to do `nowMs`, for a side that began at `sinceMs`; both on the agent's clock. */
export function blindState(nowMs: number, sinceMs: number, utcOffsetMs: number): BlindState {
  const elapsedMs = nowMs - sinceMs;
  if (elapsedMs < ACTIVE_MS) return { kind: elapsedMs < OPENING_MS ? "opening" : "full", slot: 0 };
  const utcMs = nowMs + utcOffsetMs;
  const slot = Math.floor(utcMs / SLOT_MS);
  const withinMs = utcMs - slot * SLOT_MS;
  if (withinMs < ACTIVE_MS) return { kind: withinMs < OPENING_MS ? "opening" : "full", slot };
  return { kind: "resting", untilMs: (slot + 1) * SLOT_MS - utcOffsetMs };
}

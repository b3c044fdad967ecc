/**
 * A line between two handshakes over virtual time, which drops, repeats, delays (so reorders) and corrupts
 * as it is told for each packet, up to a moment from which on it is clean.
 */
import type { Handshake } from "../../../src/engine/handshake/handshake.ts";
import { flipped } from "./handshake-sides.ts";

/** What happens to one packet. */
export interface Fate {
  /** Arrivals, one per delay in ms; none: it is lost. */
  readonly delaysMs: readonly number[];
  /** Bit to turn over in each copy, if any. */
  readonly corruptBit?: number | undefined;
}

export interface LinePlan {
  /** Fates of the packets in the order of sending, before the line is clean; then from the start again. */
  readonly fates: readonly Fate[];
  readonly cleanAfterMs: number;
  /** How much later the second side starts. */
  readonly secondStartsMs?: number;
  readonly untilMs?: number;
}

interface Arrival {
  readonly at: number;
  readonly order: number;
  readonly to: number;
  /** Undefined stands for a packet under the new keys. */
  readonly bytes: Uint8Array | undefined;
}

const CLEAN: Fate = { delaysMs: [20] };

/** Runs both sides until nothing is due any more; returns the time at which both were established. */
export function runLine(sides: readonly [Handshake, Handshake], plan: LinePlan): number {
  const { fates, cleanAfterMs, secondStartsMs = 0, untilMs = 60_000 } = plan;
  const arrivals: Arrival[] = [];
  const starts = [0, secondStartsMs];
  const isDataSent = [false, false];
  let sent = 0;
  let now = 0;
  let linkedAt = Number.POSITIVE_INFINITY;

  const send = (from: number, bytes: Uint8Array | undefined): void => {
    const fate = now >= cleanAfterMs || fates.length === 0 ? CLEAN : fates[sent % fates.length]!;
    for (const delayMs of fate.delaysMs) {
      const damaged = bytes !== undefined && fate.corruptBit !== undefined;
      const arriving = damaged ? flipped(bytes, fate.corruptBit! % (bytes.length * 8)) : bytes;
      arrivals.push({ at: now + delayMs, order: sent * 8 + arrivals.length, to: 1 - from, bytes: arriving });
    }
    sent++;
  };
  const drain = (index: number, result?: string): void => {
    const side = sides[index]!;
    const packet = side.pollTransmit();
    if (packet !== undefined) send(index, packet);
    if (side.role === "responder" && side.keys !== undefined && (!isDataSent[index] || result === "repeat")) {
      isDataSent[index] = true;
      send(index, undefined);
    }
  };

  for (let steps = 0; steps < 20_000; steps++) {
    if (sides[0].keys !== undefined && sides[1].keys !== undefined) linkedAt = Math.min(linkedAt, now);
    arrivals.sort((a, b) => a.at - b.at || a.order - b.order);
    const next = arrivals[0];
    const timers = sides.map((side) => side.timeoutAt);
    const due = Math.min(next?.at ?? Number.POSITIVE_INFINITY, ...starts, ...timers);
    if (due > untilMs) return linkedAt;
    now = Math.max(now, due);
    const starting = starts.indexOf(due);
    const timed = timers.indexOf(due);
    if (starting >= 0) {
      starts[starting] = Number.POSITIVE_INFINITY;
      sides[starting]!.start(now);
      drain(starting);
    } else if (next !== undefined && next.at === due) {
      arrivals.shift();
      const side = sides[next.to]!;
      // A packet under the keys is opened by whoever has them; before, it is lost.
      if (next.bytes === undefined) {
        if (side.keys !== undefined) side.confirm();
      } else drain(next.to, side.handlePacket(now, next.bytes));
    } else {
      sides[timed]!.handleTimeout(now);
      drain(timed);
    }
  }
  throw new Error(`the two never come to rest: ${sent} packets sent by ${now} ms`);
}

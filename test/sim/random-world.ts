/**
 * A world drawn from a seed: two links, what ails them, how the ends behave, and what their applications do.
 *
 * Each world has a few ailments rather than all of them, so that every mixture comes up and none drowns the
 * others. Sizes are such that a world costs milliseconds; what everything costs in virtual time is free.
 */

import type { Mode } from "../../src/engine/handshake/handshake.ts";
import type { IntruderPlan } from "./intruder.ts";
import type { LinkOptions } from "./link.ts";
import type { EndPlan, LinkChange, PairPlan } from "./pair-plan.ts";
import type { PeerKnobs } from "./peer.ts";
import { Random } from "./random.ts";
import type { ClosePlan, DatagramPlan, HalfPlan, StreamPlan, WorkloadPlan } from "./workload-plan.ts";

/** Starts of the clock: engines must not care, not even for 32 bits. */
const STARTS_MS = [0, 0.5, 1234.567, 2 ** 31 - 500, 2 ** 32 - 1000, 2 ** 40];
/** Starts of packet numbers, near every limit that a number type could have. */
const FIRST_PACKET_NUMBERS = [
  0,
  0,
  0,
  2 ** 16 - 100,
  2 ** 31 - 100,
  2 ** 32 - 100,
  2 ** 47,
  2 ** 48 - 500_000,
];
const FILTERINGS = ["endpointIndependent", "addressDependent", "addressAndPortDependent"] as const;
/** MTUs of paths: the floor with its overhead, IPv6's, tunnels', Ethernet's. */
const MTUS_BYTES = [1228, 1280, 1400, 1420, 1492, 1500, 9000];
const MODES: readonly Mode[] = ["secret", "key", "code", "passphrase"];

/** The world of a seed: the same for ever, so a change here gives every seed another meaning. */
export function randomWorld(seed: number): PairPlan {
  const random = new Random(seed, "world");
  const toRight = randomLink(random);
  const isSymmetric = random.chance(0.6);
  const toLeft = isSymmetric ? { ...toRight } : randomLink(random);
  const slowestMbit = Math.min(toRight.rateMbit ?? 1000, toLeft.rateMbit ?? 1000);
  const workload = randomWorkload(random, slowestMbit);
  const bothConnect = random.chance(0.15);
  const ends = [randomEnd(random), randomEnd(random)] as const;
  addNats(random, ends, bothConnect);
  const mode = random.chance(0.7) ? "secret" : random.pick(MODES);
  // Behind a PAKE an outage that lets something through now and then looks like a wrong code.
  const changes = mode === "secret" || mode === "key" ? randomChanges(random) : [];
  const intruder: IntruderPlan = {
    startMs: random.between(0, 1000),
    count: random.integer(1, 150),
    intervalMs: random.logarithmic(0.1, 100),
    impersonatesMoves: random.chance(0.3),
  };
  return {
    seed,
    startMs: random.pick(STARTS_MS),
    mode,
    congestion: random.pick(["cubic", "bbr"] as const),
    bothConnect,
    deadCandidates: random.chance(0.15) ? random.integer(1, 3) : 0,
    toRight,
    toLeft,
    changes,
    ...(random.chance(0.2) ? { intruder } : {}),
    ends,
    workload,
  };
}

/** Outages, and turns of the path's capacity and delay. */
function randomChanges(random: Random): LinkChange[] {
  const changes: LinkChange[] = [];
  if (random.chance(0.12)) {
    let atMs = random.logarithmic(5, 5000);
    const link = random.pick(["toRight", "toLeft", "both"] as const);
    for (let outages = random.integer(1, 3); outages > 0; outages--) {
      changes.push({ atMs, link, set: { isDown: true } });
      atMs += random.logarithmic(10, 8000);
      changes.push({ atMs, link, set: { isDown: false } });
      atMs += random.logarithmic(10, 3000);
    }
  }
  if (random.chance(0.1)) {
    changes.push({
      atMs: random.logarithmic(20, 5000),
      link: "both",
      set: { mtuBytes: random.pick(MTUS_BYTES) },
    });
  }
  if (random.chance(0.1)) {
    const set = { rateMbit: random.logarithmic(0.3, 100), delayMs: random.logarithmic(0.5, 300) };
    changes.push({
      atMs: random.logarithmic(5, 3000),
      link: random.pick(["toRight", "toLeft", "both"] as const),
      set,
    });
  }
  return changes;
}

/**
 * NATs in front of the ends; one of them may rebind. What needs a meeting place is left out, as that is not
 * the engine's: both ends rebinding at once, and a move behind the other end's back, whose NAT lets in only
 * whom it was sent to.
 */
function addNats(random: Random, ends: readonly [EndPlan, EndPlan], bothConnect: boolean): void {
  if (!random.chance(0.25)) return;
  const mover = random.chance(0.8) ? random.below(2) : -1;
  const movesAddress = random.chance(0.5);
  for (const [side, end] of ends.entries()) {
    if (side !== mover && random.chance(0.5)) continue;
    const isCalledFirst = side === 1 && !bothConnect;
    // A forwarded port lets everybody in; who calls may be behind anything that keeps one mapping.
    const choices = isCalledFirst || (side === 1 - mover && movesAddress) ? 1 : side === 1 - mover ? 2 : 3;
    end.nat = {
      filtering: random.pick(FILTERINGS.slice(0, choices)),
      keepOldMs: random.chance(0.3) ? random.between(0, 500) : 0,
      mappingTimeoutMs: random.chance(0.3) && !isCalledFirst ? 30_000 : Number.POSITIVE_INFINITY,
    };
    if (side !== mover) continue;
    end.rebinds = [];
    let atMs = random.logarithmic(20, 4000);
    for (let rebinds = random.integer(1, 4); rebinds > 0; rebinds--) {
      end.rebinds.push({ atMs, address: movesAddress && random.chance(0.7) });
      atMs += random.logarithmic(1, 5000);
    }
  }
}

function randomLink(random: Random): Partial<LinkOptions> {
  const rateMbit = random.chance(0.15) ? Number.POSITIVE_INFINITY : random.logarithmic(0.2, 500);
  const delayMs = random.chance(0.1) ? 0 : random.logarithmic(0.1, 500);
  const link: Partial<LinkOptions> = { rateMbit, delayMs };
  if (Number.isFinite(rateMbit)) {
    if (random.chance(0.5)) link.queuePackets = random.integer(3, 100);
    else
      link.queueBytes = Math.max(
        5000,
        random.logarithmic(0.2, 10) * rateMbit * 125 * Math.max(5, 2 * delayMs),
      );
  }
  if (random.chance(0.35)) {
    link.lossRate = random.logarithmic(0.001, 0.3);
    if (random.chance(0.5)) link.burstCapPackets = random.integer(1, 10);
  }
  if (random.chance(0.15)) {
    link.gilbert = {
      enterRate: random.logarithmic(0.001, 0.05),
      leaveRate: random.between(0.1, 0.6),
      lossRate: random.between(0.3, 1),
    };
  }
  if (random.chance(0.25)) {
    link.jitterMs = random.logarithmic(0.1, 200);
    link.jitterReorders = random.chance(0.5);
  }
  if (random.chance(0.2)) {
    link.reorderRate = random.logarithmic(0.005, 0.3);
    link.reorderDelayMs = random.logarithmic(0.1, 100);
  }
  if (random.chance(0.2)) link.duplicateRate = random.logarithmic(0.005, 0.3);
  if (random.chance(0.2)) link.corruptRate = random.logarithmic(0.001, 0.15);
  if (random.chance(0.1)) {
    link.policer = { rateMbit: random.logarithmic(0.2, 20), burstBytes: random.integer(5000, 100_000) };
  }
  if (random.chance(0.3)) link.mtuBytes = random.pick(MTUS_BYTES);
  return link;
}

function randomEnd(random: Random): EndPlan {
  const knobs: Partial<PeerKnobs> = {};
  if (random.chance(0.5)) knobs.timerLatenessMs = random.logarithmic(0.1, 5);
  if (random.chance(0.3)) knobs.batchMs = random.logarithmic(0.01, 2);
  if (random.chance(0.2)) {
    knobs.batchMs ??= 1;
    knobs.isCoalescing = true;
  }
  if (random.chance(0.4)) knobs.transmitBufferBytes = random.integer(1200, 20_000);
  if (random.chance(0.3)) knobs.drainsEachCommand = true;
  if (random.chance(0.2)) knobs.earlyWakeRate = 0.2;
  const end: EndPlan = { knobs, idleTimeoutMs: random.pick([30_000, 60_000, 60_000, 120_000]) };
  if (random.chance(0.6)) {
    end.mtuCeilingBytes = random.pick([1452, 1472, 1472, 8972]);
    // A buffer holds at least one datagram of the largest size.
    knobs.transmitBufferBytes = Math.max(
      knobs.transmitBufferBytes ?? 0,
      random.integer(1, 8) * end.mtuCeilingBytes,
    );
  }
  if (random.chance(0.2)) {
    end.rekey = {
      afterMs: random.logarithmic(20, 5000),
      afterPackets: Math.round(random.logarithmic(20, 5000)),
    };
  }
  if (random.chance(0.05))
    end.sleeps = [{ atMs: random.logarithmic(100, 5000), forMs: random.logarithmic(50, 12_000) }];
  end.firstPacketNumber = random.pick(FIRST_PACKET_NUMBERS);
  if (random.chance(0.1)) end.asks = true;
  if (random.chance(0.4)) {
    end.parameters = {
      maxStreamDataBytes: Math.round(random.logarithmic(1000, 1_000_000)),
      maxDataBytes: Math.round(random.logarithmic(2000, 2_000_000)),
      maxStreams: random.integer(1, 40),
    };
  }
  return end;
}

function randomWorkload(random: Random, slowestMbit: number): WorkloadPlan {
  // At most half a minute of the slower link, and mostly far less.
  const mostBytes = Math.min(random.chance(0.05) ? 10_000_000 : 1_500_000, slowestMbit * 125 * 30_000);
  const count = random.chance(0.1) ? random.integer(5, 60) : random.integer(1, 4);
  const streams: StreamPlan[] = [];
  for (let n = 0; n < count; n++) {
    streams.push({
      opener: random.below(2) as 0 | 1,
      openAtMs: random.chance(0.6) ? 0 : random.logarithmic(1, 3000),
      forth: randomHalf(random, mostBytes / count),
      back: randomHalf(random, random.chance(0.5) ? 0 : mostBytes / count),
    });
  }
  const datagrams: DatagramPlan[] = [];
  if (random.chance(0.3)) {
    for (const from of [0, 1] as const) {
      if (random.chance(0.3)) continue;
      datagrams.push({
        from,
        startMs: random.between(0, 500),
        count: random.integer(1, 60),
        intervalMs: random.chance(0.2) ? 0 : random.logarithmic(0.1, 100),
        lengthBytes: random.integer(5, 1300),
      });
    }
  }
  return { streams, datagrams, close: randomClose(random) };
}

function randomHalf(random: Random, mostBytes: number): HalfPlan {
  const totalBytes =
    random.chance(0.1) || mostBytes < 10
      ? random.below(3)
      : Math.ceil(random.chance(0.4) ? random.between(1, mostBytes) : random.logarithmic(1, mostBytes));
  return {
    totalBytes,
    chunkBytes: Math.ceil(random.logarithmic(Math.max(1, totalBytes / 200), 65_536 + totalBytes / 200)),
    end: random.chance(0.12) ? "reset" : "finish",
    stopAfterBytes: random.chance(0.12) ? random.integer(1, totalBytes + 1) : Number.POSITIVE_INFINITY,
    readPauseMs: random.chance(0.2) ? random.logarithmic(0.1, 200) : 0,
  };
}

function randomClose(random: Random): ClosePlan {
  const kind = random.unit();
  const when = kind < 0.75 ? "done" : kind < 0.92 ? "abrupt" : "vanish";
  return {
    by: random.pick([0, 1, "both"] as const),
    when,
    // Now and then long silence before the end, which keep-alives must bridge.
    atMs:
      when === "done"
        ? random.chance(0.08)
          ? random.between(20_000, 300_000)
          : random.between(0, 200)
        : random.logarithmic(1, 5000),
    errorCode: random.chance(0.7) ? 0 : 0x100,
  };
}

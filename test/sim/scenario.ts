/**
 * What the scenarios have in common: the default link of quic-interop-runner, transfers, and the measuring of
 * what a world of two ends did.
 */

import type { LinkOptions } from "./link.ts";
import { quantile } from "./link.ts";
import { Pair } from "./pair.ts";
import type { PairPlan } from "./pair-plan.ts";
import { half, type StreamPlan, type WorkloadPlan } from "./workload-plan.ts";

export type Congestion = "cubic" | "bbr";

/** 15 ms one way, 10 Mbit/s, 25 packets of queue: quic-interop-runner's default. */
export const DEFAULT_LINK: Partial<LinkOptions> = { rateMbit: 10, delayMs: 15, queuePackets: 25 };
/** Largest datagram over IPv4 on Ethernet. */
export const ETHERNET_BYTES = 1472;
export const MEGABYTE = 1_000_000;

/** What a run came to. */
export interface Outcome {
  /** The figures, for people. */
  figure: string;
  /** An invariant that was broken; undefined when the world held. */
  breach: string | undefined;
  /** Whether the goal was reached. */
  isMet: boolean;
  /** Largest amount of stream bytes held by the sender and by the receiver. */
  peakBytes?: readonly [number, number];
}

export interface Scenario {
  name: string;
  parameters: string;
  goal: string;
  /** Controllers that it is run with. */
  congestions: readonly Congestion[];
  run: (congestion: Congestion) => Outcome;
}

/** Streams of these sizes at once from end 0, ended, and then closed by it. */
export function upload(...sizes: readonly number[]): WorkloadPlan {
  return {
    streams: sizes.map(
      (bytes): StreamPlan => ({ opener: 0, openAtMs: 0, forth: half(bytes), back: half(0) }),
    ),
    datagrams: [],
    close: { by: 0, when: "done", atMs: 0, errorCode: 0 },
  };
}

/** A plan over `link` both ways with MTU search, the rest as given. */
export function plan(congestion: Congestion, link: Partial<LinkOptions>, more: Partial<PairPlan>): PairPlan {
  const ends = [{ mtuCeilingBytes: ETHERNET_BYTES }, { mtuCeilingBytes: ETHERNET_BYTES }] as const;
  return { seed: 1, congestion, toRight: link, toLeft: link, ends, workload: upload(1000), ...more };
}

/** A world that has run, and what was measured in it. */
export interface Run {
  pair: Pair;
  breach: string | undefined;
  /** From the start of the world to the last byte read. */
  totalMs: number;
  /** Stream bytes read per that time. */
  rateMbit: number;
  /** The longest time between two reads. */
  longestPauseMs: number;
  /** Times and sizes of all reads. */
  reads: readonly { atMs: number; bytes: number }[];
  peakBytes: readonly [number, number];
}

/** Runs a plan to its end and measures it. */
export function measure(pairPlan: PairPlan): Run {
  const pair = new Pair(pairPlan);
  const reads: { atMs: number; bytes: number }[] = [];
  let longestPauseMs = 0;
  let lastAt = Number.NaN;
  pair.workload.onRead = (now, _end, _streamId, bytes) => {
    if (now - lastAt > longestPauseMs) longestPauseMs = now - lastAt;
    lastAt = now;
    reads.push({ atMs: now - pair.startMs, bytes });
  };
  const { failure } = pair.run();
  const { readBytes, lastReadAt } = pair.workload;
  const totalMs = lastReadAt - pair.startMs;
  const [left, right] = pair.peaks;
  return {
    pair,
    breach: failure && (failure.name === "Breach" ? failure.message : failure.stack),
    totalMs,
    rateMbit: (readBytes * 8) / totalMs / 1000,
    longestPauseMs,
    reads,
    peakBytes: [left.sendingBytes, right.receivingBytes],
  };
}

/** Rate of what was read between two times, Mbit/s. */
export function rateBetween(run: Pick<Run, "reads">, fromMs: number, toMs: number): number {
  let bytes = 0;
  for (const read of run.reads) if (read.atMs >= fromMs && read.atMs < toMs) bytes += read.bytes;
  return (bytes * 8) / (toMs - fromMs) / 1000;
}

/** Runs a world of one's own; what broke, if anything. */
export function breachOf(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

export function outcome(run: Run, figure: string, isMet: boolean): Outcome {
  return { figure, breach: run.breach, isMet, peakBytes: run.peakBytes };
}

/** A transfer of `bytes` that must be through in `limitMs`. */
export function timed(pairPlan: PairPlan, limitMs: number): Outcome {
  const run = measure(pairPlan);
  return outcome(run, `${seconds(run.totalMs)}, ${mbit(run.rateMbit)}`, run.totalMs <= limitMs);
}

/** A transfer that must reach a rate. */
export function rated(pairPlan: PairPlan, leastMbit: number): Outcome {
  const run = measure(pairPlan);
  return outcome(run, mbit(run.rateMbit), run.rateMbit >= leastMbit);
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

export function mbit(rate: number): string {
  return `${rate.toFixed(2)} Mbit/s`;
}

/** `count` worlds that differ in their seeds only; how many passed, and the times to the last byte. */
export function many(
  count: number,
  planOf: (seed: number) => PairPlan,
): { passed: number; p95Ms: number; breach: string | undefined } {
  const times: number[] = [];
  let passed = 0;
  let breach: string | undefined;
  for (let seed = 1; seed <= count; seed++) {
    const run = measure(planOf(seed));
    if (run.breach === undefined) passed++;
    else breach ??= `seed ${seed}: ${run.breach}`;
    times.push(run.totalMs);
  }
  return { passed, p95Ms: quantile(times, 0.95), breach };
}

/** Time that an ideal sender needs: handshake, doubling from the first window, then the line's rate less what is lost. */
export function idealMs(
  bytes: number,
  link: { rateMbit: number; delayMs: number; lossRate?: number },
): number {
  const rttMs = 2 * link.delayMs;
  const headerShare = (ETHERNET_BYTES - 33 - 8) / (ETHERNET_BYTES + 28);
  const goodput = link.rateMbit * 125 * headerShare * (1 - (link.lossRate ?? 0));
  let window = 14_720;
  let left = bytes;
  // The last message of the handshake carries data with it, so data starts after one round trip.
  let elapsedMs = rttMs;
  while (left > 0 && window < goodput * rttMs) {
    const sent = Math.min(window, left);
    left -= sent;
    elapsedMs += left > 0 ? rttMs : link.delayMs;
    window *= 2;
  }
  return left > 0 ? elapsedMs + left / goodput + link.delayMs : elapsedMs;
}

/**
 * One seed of the campaign: its world, once or twice, on toy or on real primitives.
 */

import { noblePrimitives } from "../../src/crypto/noble.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { Pair } from "./pair.ts";
import { randomWorld } from "./random-world.ts";

/** Every so many seeds are run twice, and must leave the same trace. */
const REPEATED_EVERY = 16;
/** Every so many seeds use real cryptography, by turns Node's and the portable one. */
const REAL_EVERY = 64;

export interface SeedReport {
  seed: number;
  /** Undefined when nothing was broken. */
  failure: string | undefined;
  digest: string;
  virtualMs: number;
  /** What the world exercised, to tell a campaign that tests nothing. */
  packets: number;
  lost: number;
  spurious: number;
  dropped: number;
  streams: number;
  readBytes: number;
}

/** The command that repeats a seed and shows it. */
export function repeatCommand(seed: number): string {
  return `npm run sim -- --seed ${seed}`;
}

/** Runs the world of `seed`; `isRepeated` runs it twice, whatever the seed. */
export function runSeed(seed: number, isRepeated: boolean = seed % REPEATED_EVERY === 0): SeedReport {
  const first = runOnce(seed);
  if (!isRepeated || first.failure !== undefined) return first;
  const second = runOnce(seed);
  if (second.digest === first.digest) return first;
  return { ...first, failure: `two runs of the seed left two traces: ${first.digest} and ${second.digest}` };
}

/** The world of a seed, built but not run. */
export function pairOfSeed(seed: number): Pair {
  const plan = randomWorld(seed);
  if (seed % REAL_EVERY === 1)
    plan.primitives = seed % (2 * REAL_EVERY) === 1 ? nodePrimitives : noblePrimitives;
  return new Pair(plan);
}

function runOnce(seed: number): SeedReport {
  const pair = pairOfSeed(seed);
  const { failure, digest, virtualMs } = pair.run();
  const report: SeedReport = {
    seed,
    failure: failure && (failure.name === "Breach" ? failure.message : `${failure.stack ?? failure.message}`),
    digest,
    virtualMs,
    packets: 0,
    lost: 0,
    spurious: 0,
    dropped: 0,
    streams: pair.workload.streams.size,
    readBytes: pair.workload.readBytes,
  };
  for (const peer of pair.peers) {
    if (!peer.hasConnection) continue;
    const { sentPackets, lostPackets, spuriousLosses, droppedPackets } = peer.connection.stats;
    report.packets += sentPackets;
    report.lost += lostPackets;
    report.spurious += spuriousLosses;
    report.dropped += droppedPackets;
  }
  return report;
}

/**
 * Limits on guesses at a code or passphrase: penalties for each source, and one limit for all
 * sources together.
 *
 * One run of the PAKE lets a peer try one guess, so the limits apply to the start of a run. An
 * admitted run is always finished: a right confirmation succeeds even while its source is penalised
 * or the common allowance is used up, and a wrong confirmation counts. Unconfirmed runs count
 * against their source like guesses, so runs started in advance give no more guesses than runs in
 * sequence.
 *
 * - A source (an IPv4 address, an IPv6 /64, a relay room) has three guesses. A pause follows the
 *   third and every later guess; it doubles from 10 s to 10 minutes. A source is removed an hour
 *   after its last pause.
 * - All sources together have an allowance of wrong guesses, against an attacker with many
 *   addresses.
 * - A flood of runs from forged addresses must not lock others out. A source that has a run in
 *   progress must validate its address before it starts another (`requiresCookie`); so must every
 *   source while many runs are in progress. Old runs are dropped for new ones.
 *
 * Pure: time is passed in. Read first: gate.ts. Modelled on OpenSSH's PerSourcePenalties and
 * MaxStartups (sshd_config(5)).
 */
import { IPV6_BYTES, ipFromBytes, ipToBytes } from "../../wire/ip-address.ts";
import { Allowance } from "./allowance.ts";

/** Guesses of a source before the first pause: people mistype. */
const FREE_GUESSES = 3;
const PAUSE_MS = 10_000;
const MAX_PAUSE_MS = 600_000;
/** A source is removed this long after its last pause. */
const FORGET_MS = 3_600_000;
/** Wrong guesses of all sources together: burst, and rate. */
const WRONG_BURST = 20;
const WRONG_PER_SECOND = 0.2;
/**
 * Runs in progress. Beyond the first number the oldest run is dropped; from the second on every
 * source needs a cookie.
 */
const MAX_RUNS = 64;
const CROWDED_RUNS = 16;
/**
 * Minimum age at which a run may be dropped for another of its source: a run needs one round trip.
 */
const RUN_GRACE_MS = 3000;
/** Maximum number of remembered sources. The common allowance adds at most one in five seconds. */
const MAX_SOURCES = 4096;
/** The part of an IPv6 address that identifies one customer: providers assign a /64 or more. */
const SOURCE_V6_BYTES = 8;

interface Source {
  readonly name: string;
  wrongGuesses: number;
  pausedUntilMs: number;
  /** Unconfirmed runs, oldest first. */
  readonly runs: GuessRun[];
}

/** One run of the PAKE, which is one guess at most. */
export interface GuessRun {
  readonly source: string;
  readonly beganAtMs: number;
  /** The run was dropped for another one; its datagrams are no longer examined. */
  readonly isVoid: boolean;
}

interface OpenRun extends GuessRun {
  isVoid: boolean;
}

/**
 * The run that starts; "wait": start again after another run has ended; "busy": no run for some
 * time.
 */
export type RunVerdict = GuessRun | "wait" | "busy";

export class GuessLimits {
  private readonly wrongAllowance: Allowance = new Allowance(WRONG_BURST, WRONG_PER_SECOND);
  /** Sources with a run in progress or a wrong guess, ordered by their last guess. */
  private readonly sources: Map<string, Source> = new Map();
  /** All runs in progress, oldest first. */
  private readonly runs: Set<OpenRun> = new Set();

  /** Sources remembered. */
  get sourceCount(): number {
    return this.sources.size;
  }

  get runCount(): number {
    return this.runs.size;
  }

  /** Whether a source must validate its address before it starts a run. */
  requiresCookie(source: string): boolean {
    return this.runs.size >= CROWDED_RUNS || (this.sources.get(source)?.runs.length ?? 0) > 0;
  }

  /** A peer at `source` wants to begin a run. */
  begin(nowMs: number, source: string): RunVerdict {
    const known = this.known(nowMs, source);
    if (nowMs < known.pausedUntilMs || !this.wrongAllowance.has(nowMs)) {
      this.forgetIfClean(known);
      return "busy";
    }
    if (known.runs.length >= Math.max(1, FREE_GUESSES - known.wrongGuesses)) {
      const oldest = known.runs[0]!;
      if (nowMs - oldest.beganAtMs < RUN_GRACE_MS) return "wait";
      this.abandon(oldest as OpenRun);
    }
    if (this.runs.size >= MAX_RUNS) {
      const [oldest] = this.runs;
      this.abandon(oldest!);
    }
    const run: OpenRun = { source, beganAtMs: nowMs, isVoid: false };
    this.sources.set(source, known);
    known.runs.push(run);
    this.runs.add(run);
    return run;
  }

  /** The confirmation of a run was wrong. Counts once for each run. */
  recordWrongGuess(nowMs: number, run: GuessRun): void {
    const isUnderWay = this.end(run);
    if (!isUnderWay) return;
    // Recorded even beyond the allowance: an admitted run is always finished, and its guess is then
    // deducted from later ones.
    this.wrongAllowance.spend(nowMs);
    const source = this.known(nowMs, run.source);
    source.wrongGuesses++;
    const pauses = source.wrongGuesses - FREE_GUESSES;
    const pauseMs = pauses < 0 ? 0 : Math.min(PAUSE_MS * 2 ** pauses, MAX_PAUSE_MS);
    source.pausedUntilMs = nowMs + pauseMs;
    this.sources.delete(source.name);
    this.sources.set(source.name, source);
    this.makeRoom();
  }

  /** The run has ended without a wrong guess: its confirmation was right, or never arrived. */
  endRun(run: GuessRun): void {
    this.end(run);
    const source = this.sources.get(run.source);
    if (source !== undefined) this.forgetIfClean(source);
  }

  private known(nowMs: number, name: string): Source {
    const source = this.sources.get(name);
    if (source === undefined)
      return { name, wrongGuesses: 0, pausedUntilMs: Number.NEGATIVE_INFINITY, runs: [] };
    if (nowMs >= source.pausedUntilMs + FORGET_MS) source.wrongGuesses = 0;
    return source;
  }

  private abandon(run: OpenRun): void {
    run.isVoid = true;
    this.endRun(run);
  }

  /** @returns whether the run was in progress */
  private end(run: GuessRun): boolean {
    const runs = this.sources.get(run.source)?.runs;
    const index = runs?.indexOf(run) ?? -1;
    if (index >= 0) runs!.splice(index, 1);
    return this.runs.delete(run as OpenRun);
  }

  private forgetIfClean(source: Source): void {
    if (source.runs.length === 0 && source.wrongGuesses === 0) this.sources.delete(source.name);
  }

  private makeRoom(): void {
    if (this.sources.size <= MAX_SOURCES) return;
    for (const source of this.sources.values()) {
      if (source.runs.length > 0) continue;
      this.sources.delete(source.name);
      return;
    }
  }
}

/**
 * The source that an address belongs to: an IPv4 address itself, the /64 of an IPv6 address, and
 * any other text (a relay's name for its peer) unchanged.
 */
export function sourceOf(address: string): string {
  const zoneAt = address.indexOf("%");
  const bytes = ipToBytes(zoneAt < 0 ? address : address.slice(0, zoneAt));
  if (bytes === undefined || bytes.length !== IPV6_BYTES || address.startsWith("::ffff:")) return address;
  return `${ipFromBytes(bytes.fill(0, SOURCE_V6_BYTES))}/64`;
}

/**
 * How fast strangers may guess a code or passphrase: penalties for each source under one limit for all.
 *
 * One run of the PAKE lets a peer try one guess, so the beginning of a run is what is limited. A run that was let
 * in is always finished: a right confirmation passes even while its source is penalised or the common allowance
 * is used up, and a wrong one counts. Runs that have not been confirmed count against their source like guesses,
 * so runs that were prepared give nobody more guesses than runs in sequence.
 *
 * - A source (an IPv4 address, an IPv6 /64, a relay room) has three guesses, and then a pause after each further
 *   one, which doubles from 10 s to 10 minutes. After an hour without a guess it is forgotten.
 * - All sources together have an allowance of wrong guesses, for somebody who has many addresses.
 * - A flood of runs from forged addresses must not keep others out: who begins a run while its source has one
 *   under way, or while there are many, has to prove its address (`wantsProof`), and old runs give way.
 *
 * Pure: the time comes in, nothing else. Read first: gate.ts. Modelled on OpenSSH's PerSourcePenalties and
 * MaxStartups (sshd_config(5)).
 */
import { IPV6_BYTES, ipFromBytes, ipToBytes } from "../../wire/ip-address.ts";
import { Allowance } from "./allowance.ts";

/** Wrong guesses that cost a source no pause: people mistype. */
const FREE_GUESSES = 3;
const PAUSE_MS = 10_000;
const PAUSE_MAX_MS = 600_000;
/** A source is forgotten so long after its last pause. */
const FORGET_MS = 3_600_000;
/** Wrong guesses of all sources together: at once, and in a second. */
const WRONG_BURST = 20;
const WRONG_PER_SECOND = 0.2;
/** Runs under way. With one more the oldest gives way; from the second number on addresses have to be proved. */
const RUNS_LIMIT = 64;
const CROWDED_RUNS = 16;
/** A run of the same source does not give way before it is this old: it needs one round trip. */
const RUN_GRACE_MS = 3000;
/** Sources that are remembered. The common allowance lets it grow by one in five seconds. */
const SOURCES_LIMIT = 4096;
/** Of an IPv6 address, what a provider gives to one customer at least. */
const SOURCE_V6_BYTES = 8;

interface Source {
  readonly name: string;
  wrongGuesses: number;
  pausedUntilMs: number;
  /** Runs that have not been confirmed, the oldest first. */
  readonly runs: GuessRun[];
}

/** One run of the PAKE: one guess at most. */
export interface GuessRun {
  readonly source: string;
  readonly beganAtMs: number;
  /** It had to give way to another: what comes of it is not to be looked at. */
  readonly isVoid: boolean;
}

interface OpenRun extends GuessRun {
  isVoid: boolean;
}

/** Whether a run may begin: it may, not before others have ended, or not for some time. */
export type RunVerdict = GuessRun | "wait" | "busy";

export class GuessLimits {
  private readonly wrongAllowance: Allowance = new Allowance(WRONG_BURST, WRONG_PER_SECOND);
  /** Sources with a run under way or a wrong guess, those that guessed last at the end. */
  private readonly sources: Map<string, Source> = new Map();
  /** All runs under way, the oldest first. */
  private readonly runs: Set<OpenRun> = new Set();

  /** Sources that are remembered. */
  get sourceCount(): number {
    return this.sources.size;
  }

  get runCount(): number {
    return this.runs.size;
  }

  /** Whether a source has to prove its address before it begins a run. */
  wantsProof(source: string): boolean {
    return this.runs.size >= CROWDED_RUNS || (this.sources.get(source)?.runs.length ?? 0) > 0;
  }

  /** Somebody at `source` wants to begin a run. */
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
    if (this.runs.size >= RUNS_LIMIT) {
      const [oldest] = this.runs;
      this.abandon(oldest!);
    }
    const run: OpenRun = { source, beganAtMs: nowMs, isVoid: false };
    this.sources.set(source, known);
    known.runs.push(run);
    this.runs.add(run);
    return run;
  }

  /** The confirmation of a run was wrong. Once for each run. */
  guessedWrong(nowMs: number, run: GuessRun): void {
    const isUnderWay = this.end(run);
    if (!isUnderWay) return;
    // Beyond the allowance as well: what was let in is finished, and paid for later.
    this.wrongAllowance.spend(nowMs);
    const source = this.known(nowMs, run.source);
    source.wrongGuesses++;
    const pauses = source.wrongGuesses - FREE_GUESSES;
    const pauseMs = pauses < 0 ? 0 : Math.min(PAUSE_MS * 2 ** pauses, PAUSE_MAX_MS);
    source.pausedUntilMs = nowMs + pauseMs;
    this.sources.delete(source.name);
    this.sources.set(source.name, source);
    this.makeRoom();
  }

  /** The run is over without a wrong guess: its confirmation was right, or none came. */
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

  /** @returns whether it was under way */
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
    if (this.sources.size <= SOURCES_LIMIT) return;
    for (const source of this.sources.values()) {
      if (source.runs.length > 0) continue;
      this.sources.delete(source.name);
      return;
    }
  }
}

/**
 * The source that an address belongs to: an IPv4 address itself, of an IPv6 address the /64; any other text (a
 * relay's name for its peer) as it is.
 */
export function sourceOf(address: string): string {
  const zoneAt = address.indexOf("%");
  const bytes = ipToBytes(zoneAt < 0 ? address : address.slice(0, zoneAt));
  if (bytes === undefined || bytes.length !== IPV6_BYTES || address.startsWith("::ffff:")) return address;
  return `${ipFromBytes(bytes.fill(0, SOURCE_V6_BYTES))}/64`;
}

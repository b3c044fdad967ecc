/**
 * Keeps a link to a peer: makes it again when it is lost, for as long as it takes.
 *
 * A peer that went without a word is noticed by its silence. Silence alone ends nothing, since whatever hangs on
 * the link survives a pause; but it is answered by an attempt at a second link beside the first. Whichever proves
 * to be alive is kept: the first if its peer answers again, else the new one.
 */
import { SrudpError } from "../../base/errors.ts";
import type { Link } from "../../link/link.ts";
import { onAbort } from "../../platform/abort.ts";
import { answers } from "./liveness.ts";

export interface ReconnectOptions {
  /** Makes a link. `isRival`: another one stands and may come back to life, so that its local port is taken. */
  readonly open: (attempt: { signal: AbortSignal; isRival: boolean }) => Promise<Link>;
  /** Whether the link could be made again if it were lost now. */
  readonly isRepeatable: () => boolean;
  /** Whether the first link is tried for as long as later ones are, and not once only. */
  readonly retriesFirst: boolean;
  /** Failures that no further attempt will mend. */
  readonly isFinal: (error: unknown) => boolean;
  readonly signal: AbortSignal;
  readonly onLink: (link: Link) => void;
  /** The link is lost; the next attempt begins after `pauseMs`. */
  readonly onLost: (error: SrudpError | undefined, pauseMs: number) => void;
  /** Nothing was heard of the peer for so long. */
  readonly onSilent: (silentMs: number) => void;
}

const LOOK_INTERVAL_MS = 500;
/** Silence after which the peer is asked for a sign of life, and what it gets to give one: a time, and round trips. */
const ASK_AFTER_MS = 1500;
const ANSWER_MS = 1000;
const ANSWER_ROUND_TRIPS = 3;
/** The pause before an attempt, doubled each time up to the longest, with up to half as much again at random. */
const MIN_PAUSE_MS = 250;
const MAX_PAUSE_MS = 15_000;

/**
 * Runs until the signal is aborted or a failure is final, and rejects with its reason; with ERR_CODE_SPENT where no
 * second link can be made.
 */
export async function keepLink(options: ReconnectOptions): Promise<never> {
  const { signal, isFinal, isRepeatable } = options;
  let link = await (options.retriesFirst ? openAtLast(options) : options.open({ signal, isRival: false }));
  for (;;) {
    options.onLink(link);
    const next = await standIn(link, options);
    if (next !== undefined) {
      link = next;
      continue;
    }
    signal.throwIfAborted();
    const error = (link.errored ?? undefined) as SrudpError | undefined;
    if (error !== undefined && isFinal(error)) throw error;
    if (!isRepeatable()) throw new SrudpError("ERR_CODE_SPENT", undefined, error);
    await pauseFor(options, error, 0);
    link = await openAtLast(options);
  }
}

/** Waits until `link` is over; fulfilled with the link that has taken its place already, if there is one. */
async function standIn(link: Link, options: ReconnectOptions): Promise<Link | undefined> {
  const over = new AbortController();
  let end = (): void => undefined;
  const closed = new Promise<undefined>((resolve) => {
    end = (): void => {
      over.abort();
      resolve(undefined);
    };
  });
  if (link.closed) end();
  else link.once("close", end);
  const release = onAbort(options.signal, end);
  try {
    return await Promise.race([closed, replaced(link, options, over.signal)]);
  } finally {
    release();
  }
}

/** Watches over a link; fulfilled with a new one when its peer has gone and come back. */
async function replaced(link: Link, options: ReconnectOptions, over: AbortSignal): Promise<Link | undefined> {
  const watch = new SilenceWatch(link);
  while (!over.aborted) {
    await pause(LOOK_INTERVAL_MS, over);
    const silentMs = watch.look();
    if (silentMs >= ASK_AFTER_MS) link.ping();
    if (silentMs < ASK_AFTER_MS + answerMs(link) || over.aborted) continue;
    if (watch.isNews) options.onSilent(silentMs);
    watch.isNews = false;
    if (!options.isRepeatable()) continue;
    const rival = await openRival(watch, options, over);
    if (rival === undefined) continue;
    if (over.aborted || (await answers(link, answerMs(link)))) {
      await rival.close();
      continue;
    }
    link.destroy();
    return rival;
  }
  return undefined;
}

/** A second link, unless the first one's peer is heard again before it stands. */
async function openRival(
  watch: SilenceWatch,
  options: ReconnectOptions,
  over: AbortSignal,
): Promise<Link | undefined> {
  const attempt = new AbortController();
  const giveUp = (): void => attempt.abort(over.reason);
  const release = onAbort(over, giveUp);
  const timer = setInterval(() => {
    if (watch.look() < ASK_AFTER_MS) giveUp();
  }, LOOK_INTERVAL_MS);
  try {
    const rival = await options.open({ signal: attempt.signal, isRival: true });
    rival.on("error", () => undefined);
    return rival;
  } catch {
    await pause(ASK_AFTER_MS, over);
    return undefined;
  } finally {
    clearInterval(timer);
    release();
  }
}

/** A link, after as many attempts as it takes. */
async function openAtLast(options: ReconnectOptions): Promise<Link> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await options.open({ signal: options.signal, isRival: false });
    } catch (thrown) {
      options.signal.throwIfAborted();
      if (options.isFinal(thrown)) throw thrown;
      await pauseFor(options, thrown as SrudpError, attempts);
    }
  }
}

async function pauseFor(
  { signal, onLost }: ReconnectOptions,
  error: SrudpError | undefined,
  attempts: number,
): Promise<void> {
  const pauseMs = pauseBefore(attempts);
  onLost(error, pauseMs);
  await pause(pauseMs, signal);
  signal.throwIfAborted();
}

function pauseBefore(attempts: number): number {
  const ms = Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** attempts);
  return Math.round(ms * (1 + Math.random() / 2));
}

function answerMs(link: Link): number {
  return ANSWER_MS + ANSWER_ROUND_TRIPS * link.stats().rttMs;
}

/** How long a link has been silent. */
class SilenceWatch {
  /** The present silence was not told of yet. */
  isNews = true;
  readonly #link: Link;
  #packets: number;
  #sinceMs: number = performance.now();

  constructor(link: Link) {
    this.#link = link;
    this.#packets = link.stats().receivedPackets;
  }

  /** Milliseconds since anything was heard, as far as these looks can tell. */
  look(): number {
    const { receivedPackets } = this.#link.stats();
    const now = performance.now();
    if (receivedPackets !== this.#packets) {
      this.#packets = receivedPackets;
      this.#sinceMs = now;
      this.isNews = true;
    }
    return now - this.#sinceMs;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      release();
      resolve();
    }, ms);
    const release = onAbort(signal, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

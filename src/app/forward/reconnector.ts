/**
 * Keeps a link to a peer. When the link is lost, the reconnector dials until a new link is open.
 *
 * A peer that vanished is detected by its silence. Silence does not end the link, because its
 * connections survive a pause. Instead the reconnector opens a second link, the rival, while the
 * first one stays open. If the peer answers on the first link again, the first link is kept.
 * Otherwise the rival replaces it.
 */
import { SrudpError } from "../../base/errors.ts";
import type { Link } from "../../link/link.ts";
import { onAbort } from "../../platform/abort.ts";
import { answers } from "./liveness.ts";

/** A change in the state of the link. */
export type ReconnectEvent =
  | { readonly kind: "connected"; readonly link: Link }
  /** The link is lost. The next attempt begins after `pauseMs`. */
  | { readonly kind: "lost"; readonly error: SrudpError | undefined; readonly pauseMs: number }
  /** No packet has arrived from the peer for `silentMs`. */
  | { readonly kind: "silent"; readonly silentMs: number };

/** Opens links to the peer. */
export interface RedialSource {
  /** Whether another link could be opened if the present one were lost now. */
  readonly isRepeatable: boolean;
  /** Opens a link. With `isRival`, another link may still be alive and may hold the local port. */
  open(attempt: { signal: AbortSignal; isRival: boolean }): Promise<Link>;
}

export interface ReconnectOptions {
  readonly source: RedialSource;
  /** Whether the first link is retried like later ones. If false, it is tried once. */
  readonly retriesFirst: boolean;
  /** Whether no further attempt can succeed after this failure. */
  readonly isFinal: (error: unknown) => boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: ReconnectEvent) => void;
}

const POLL_INTERVAL_MS = 500;
/**
 * The peer is pinged after this much silence, and has this much time to answer. Both grow with the
 * round-trip time.
 */
const PING_AFTER_MS = 1500;
const ANSWER_MS = 1000;
const ANSWER_ROUND_TRIPS = 3;
/**
 * The pause before an attempt. It doubles with each attempt up to the maximum. Up to half of it is
 * added at random.
 */
const MIN_PAUSE_MS = 250;
const MAX_PAUSE_MS = 15_000;

/**
 * Runs until the signal is aborted or a failure is final, and rejects with the reason. Rejects with
 * ERR_CODE_SPENT if a second link cannot be opened.
 */
export async function keepLink(options: ReconnectOptions): Promise<never> {
  const { signal, isFinal, source, onEvent } = options;
  let link = await (options.retriesFirst ? openEventually(options) : source.open({ signal, isRival: false }));
  for (;;) {
    onEvent({ kind: "connected", link });
    const next = await waitForEnd(link, options);
    if (next !== undefined) {
      link = next;
      continue;
    }
    signal.throwIfAborted();
    const error = (link.errored ?? undefined) as SrudpError | undefined;
    if (error !== undefined && isFinal(error)) throw error;
    if (!source.isRepeatable) throw new SrudpError("ERR_CODE_SPENT", undefined, error);
    await pauseFor(options, error, 0);
    link = await openEventually(options);
  }
}

/** Waits until `link` has ended. Fulfilled with the link that replaced it, if there is one. */
async function waitForEnd(link: Link, options: ReconnectOptions): Promise<Link | undefined> {
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

/** Watches a link. Fulfilled with a new link when the peer vanished and was reached again. */
async function replaced(link: Link, options: ReconnectOptions, over: AbortSignal): Promise<Link | undefined> {
  const watch = new SilenceWatch(link);
  while (!over.aborted) {
    await pause(POLL_INTERVAL_MS, over);
    const silentMs = watch.measure();
    if (silentMs >= PING_AFTER_MS) link.ping();
    if (silentMs < PING_AFTER_MS + answerMs(link) || over.aborted) continue;
    if (watch.isNews) options.onEvent({ kind: "silent", silentMs });
    watch.isNews = false;
    if (!options.source.isRepeatable) continue;
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

/** Opens a second link, unless a packet arrives on the first one before that. */
async function openRival(
  watch: SilenceWatch,
  options: ReconnectOptions,
  over: AbortSignal,
): Promise<Link | undefined> {
  const attempt = new AbortController();
  const giveUp = (): void => attempt.abort(over.reason);
  const release = onAbort(over, giveUp);
  const timer = setInterval(() => {
    if (watch.measure() < PING_AFTER_MS) giveUp();
  }, POLL_INTERVAL_MS);
  try {
    const rival = await options.source.open({ signal: attempt.signal, isRival: true });
    rival.on("error", () => undefined);
    return rival;
  } catch {
    await pause(PING_AFTER_MS, over);
    return undefined;
  } finally {
    clearInterval(timer);
    release();
  }
}

/** Dials until a link is open or a failure is final. */
async function openEventually(options: ReconnectOptions): Promise<Link> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await options.source.open({ signal: options.signal, isRival: false });
    } catch (thrown) {
      options.signal.throwIfAborted();
      if (options.isFinal(thrown)) throw thrown;
      await pauseFor(options, thrown as SrudpError, attempts);
    }
  }
}

async function pauseFor(
  { signal, onEvent }: ReconnectOptions,
  error: SrudpError | undefined,
  attempts: number,
): Promise<void> {
  const pauseMs = pauseBefore(attempts);
  onEvent({ kind: "lost", error, pauseMs });
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

/** Measures how long a link has been silent. */
class SilenceWatch {
  /** Whether the present silence has not been reported yet. */
  isNews = true;
  readonly #link: Link;
  #packets: number;
  #sinceMs: number = performance.now();

  constructor(link: Link) {
    this.#link = link;
    this.#packets = link.stats().receivedPackets;
  }

  /** Milliseconds since a packet arrived, with the resolution of the calls of this method. */
  measure(): number {
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

/** Resolves after `ms`, or when `signal` is aborted. */
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

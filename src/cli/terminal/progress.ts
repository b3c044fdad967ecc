/**
 * The progress line of a transfer: bytes and rates in both directions, and the remaining time if it
 * is known.
 */
import type { LiveLine, Reporter } from "./reporter.ts";

/** One sample of a transfer. */
export interface ProgressSample {
  /** Monotonic time. */
  readonly atMs: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly rttMs: number;
  readonly path: string;
}

/** Redraw intervals on a terminal and elsewhere. */
const TERMINAL_INTERVAL_MS = 250;
const LOG_INTERVAL_MS = 1000;
/**
 * Rates are averaged over this window. With a shorter one they fluctuate, with a longer one they
 * lag.
 */
const RATE_WINDOW_MS = 2000;

export interface ProgressOptions {
  /** Size of stdin if it is a file, bytes. */
  readonly totalBytes?: number;
  /**
   * Whether received bytes go to the same terminal. The line then stops at the first received byte.
   */
  readonly sharesTerminal: boolean;
  readonly sample: () => ProgressSample;
}

/**
 * Shows progress until the returned function is called: a redrawn line on a terminal, a line per
 * second elsewhere, an event `progress` in JSON.
 */
export function showProgress(reporter: Reporter, options: ProgressOptions): () => void {
  const redraws = reporter.isTerminal && !reporter.json;
  const samples: ProgressSample[] = [options.sample()];
  let text = "";
  const line: LiveLine = {
    clear: () => reporter.stream.write("\r\u001b[K"),
    draw: () => reporter.stream.write(text.slice(0, (reporter.stream.columns ?? 80) - 1)),
  };
  const stop = (): void => {
    clearInterval(timer);
    if (redraws) reporter.setLiveLine(undefined);
  };
  const tick = (): void => {
    const sample = options.sample();
    if (options.sharesTerminal && redraws && sample.receivedBytes > 0) {
      stop();
      return;
    }
    samples.push(sample);
    while (samples.length > 2 && sample.atMs - samples[1]!.atMs >= RATE_WINDOW_MS) samples.shift();
    text = progressText(samples[0]!, sample, options.totalBytes);
    if (redraws) reporter.setLiveLine(line);
    else {
      const { sentBytes, receivedBytes, rttMs, path } = sample;
      reporter.event("progress", { sentBytes, receivedBytes, rttMs: round(rttMs), path }, text, "always");
    }
  };
  const timer = setInterval(tick, redraws ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS);
  timer.unref();
  return stop;
}

/** The line for the interval between two samples. */
export function progressText(from: ProgressSample, to: ProgressSample, totalBytes?: number): string {
  const seconds = Math.max(0.001, (to.atMs - from.atMs) / 1000);
  const sentRate = (to.sentBytes - from.sentBytes) / seconds;
  const receivedRate = (to.receivedBytes - from.receivedBytes) / seconds;
  const parts: string[] = [];
  if (to.sentBytes > 0 || to.receivedBytes === 0) {
    const share = totalBytes === undefined || totalBytes === 0 ? "" : ` ${percent(to.sentBytes, totalBytes)}`;
    parts.push(`sent ${formatBytes(to.sentBytes)}${share} at ${formatBytes(sentRate)}/s`);
    if (totalBytes !== undefined && sentRate > 0 && totalBytes > to.sentBytes) {
      parts.push(`${formatDuration((1000 * (totalBytes - to.sentBytes)) / sentRate)} left`);
    }
  }
  if (to.receivedBytes > 0)
    parts.push(`received ${formatBytes(to.receivedBytes)} at ${formatBytes(receivedRate)}/s`);
  parts.push(`${to.path} ${round(to.rttMs)} ms`);
  return parts.join(" · ");
}

/** Formats bytes in powers of a thousand: "999 B", "1.5 kB", "23.4 MB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  // 999.95 would round to "1000.0".
  while (value >= (unit === 0 ? 999.5 : 999.95) && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Formats a duration: "850 ms", "3.2 s", "4 min 05 s", "2 h 03 min". */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

function percent(part: number, whole: number): string {
  return `${Math.min(100, Math.floor((100 * part) / whole))} %`;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

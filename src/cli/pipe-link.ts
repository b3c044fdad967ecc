/** Bridges one link to standard input and output or to a program, and reports its progress. */

import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { isatty } from "node:tty";
import { bridgeToProgram } from "../app/exec.ts";
import { type Bridge, type BridgeResult, bridge } from "../app/pipe.ts";
import { SrudpError } from "../base/errors.ts";
import type { PathMove } from "../base/path.ts";
import type { Link } from "../link/link.ts";
import { formatAddress } from "../platform/udp/address.ts";
import { configurationFolder, KeyStore } from "../store/key-store.ts";
import { encodeKey, shortKey } from "../wire/key-text.ts";
import type { CommandContext } from "./context.ts";
import type { LinkOptions } from "./options/common-options.ts";
import { pair } from "./pairing.ts";
import { formatBytes, formatDuration, type ProgressSample, showProgress } from "./terminal/progress.ts";
import { lendInput, lendOutput } from "./terminal/shared-stdio.ts";

export interface PipeLinkOptions {
  /** Standard input and output that stay open for the next peer. */
  readonly shared?: { readonly input: Readable; readonly output: Writable; onReleased(): void } | undefined;
  /** The pending save of the peer (`keepPeer`). A failure ends the link. */
  readonly remembered: Promise<void>;
}

/**
 * Saves the peer of a link if an option requests it. Resets the link when saving fails. Must be
 * called in the same tick in which the link is announced.
 *
 * @param address the address at which the peer can be reached again, for `--save`
 */
export async function keepPeer(
  context: CommandContext,
  link: Link,
  options: LinkOptions,
  remember: () => Promise<void>,
  address?: string,
): Promise<void> {
  const { save } = options;
  const store = new KeyStore(configurationFolder(context.environment));
  const paired = pair(context, store, link, { name: save, address });
  try {
    await Promise.all([remember(), paired]);
  } catch (error) {
    link.reset();
    throw error;
  }
}

/**
 * Bridges `link` to standard input and output, or to the program after `--`, until both directions
 * have ended.
 *
 * The bridge is set up synchronously, so that no event of the link is missed.
 *
 * @returns the exit status: 0, or that of the program
 * @throws SrudpError for every end except an orderly one; the reason of the interrupt
 */
export async function pipeLink(
  context: CommandContext,
  link: Link,
  options: LinkOptions,
  { shared, remembered }: PipeLinkOptions,
): Promise<number> {
  // The link may have ended while it waited for standard input and output.
  if (link.destroyed) throw link.errored ?? new SrudpError("ERR_PEER_RESET");
  const { signal } = context.interrupt;
  const limit = options.quitAfter === undefined ? {} : { quitAfterMs: options.quitAfter };
  const { program } = context;
  let joined: Bridge;
  let done: Promise<BridgeResult & { readonly status?: number }>;
  if (options.exec && program !== undefined) {
    const [command, ...words] = program;
    ({ bridge: joined, done } = bridgeToProgram(link, command!, words, { signal, ...limit }));
  } else {
    joined = bridge(link, {
      signal,
      ...limit,
      endsWithPeer: inputEndsWithPeer(options),
      ...(options.sendOnly && { sendOnly: true }),
      ...(options.recvOnly && { recvOnly: true }),
      ...(shared !== undefined && { input: lendInput(shared.input), output: lendOutput(shared.output) }),
    });
    ({ done } = joined);
    if (shared !== undefined) void joined.released.then(() => shared.onReleased());
  }
  const stopProgress = wantsProgress(context, options) ? startProgress(context, link, joined) : undefined;
  try {
    const [result] = await Promise.all([done, remembered]);
    stopProgress?.();
    reportClosed(context, link, result);
    return result.status ?? 0;
  } catch (error) {
    stopProgress?.();
    reportBroken(context, joined.result());
    throw error;
  }
}

/**
 * Whether the end of the peer's data also ends standard input. A terminal does not end when a
 * transfer is complete; piped input ends by itself.
 */
export function inputEndsWithPeer({ sendOnly, halfClose, quitAfter }: LinkOptions): boolean {
  return isatty(0) && !sendOnly && !halfClose && quitAfter !== Number.POSITIVE_INFINITY;
}

/** Reports a new link, and its later path changes. */
export function reportConnected(context: CommandContext, link: Link): void {
  const { reporter } = context;
  link.on("path", (move) => reportPath(context, link, move));
  const { rttMs } = link.stats();
  const remote = formatAddress(link.remote);
  const { peer, path, auth } = link;
  const fields = { peer: encodeKey(peer), remote, path, rttMs: tenths(rttMs), auth };
  const prose = `connected to ${remote} by ${auth} (${path}, ${tenths(rttMs)} ms, ${shortKey(peer)})`;
  reporter.event("connected", fields, reporter.palette.good(prose));
}

function reportPath({ reporter }: CommandContext, link: Link, { from, to, outageMs }: PathMove): void {
  const remote = formatAddress(link.remote);
  const path = from === to ? to : `${from}→${to}`;
  const fields = { path, remote, rttMs: tenths(link.stats().rttMs), outageMs: tenths(outageMs) };
  const after = outageMs === 0 ? "" : ` after ${formatDuration(outageMs)} without a path`;
  reporter.event("path", fields, `the link now goes ${path} to ${remote}${after}`);
}

function reportClosed({ reporter }: CommandContext, link: Link, result: BridgeResult): void {
  const { sent, received, unreadBytes, transferMs, durationMs } = result;
  const { lossPct } = lossOf(link);
  if (unreadBytes > 0) {
    const prose = `the peer's program ended without reading ${unreadBytes} of the ${sent.bytes} bytes sent to it`;
    reporter.event("unread", { bytes: unreadBytes }, prose);
  }
  const lines = [
    `sent      ${sent.bytes} bytes${rateOf(sent.bytes, transferMs.sent)}  sha256 ${sent.sha256}`,
    `received  ${received.bytes} bytes${rateOf(received.bytes, transferMs.received)}  sha256 ${received.sha256}`,
    `closed after ${formatDuration(durationMs)}, ${lossPct} % of packets lost`,
  ];
  const fields = { sent, received, durationMs: tenths(durationMs), lossPct };
  reporter.event("closed", fields, lines.join("\n"));
}

function reportBroken({ reporter }: CommandContext, { sent, received, durationMs }: BridgeResult): void {
  const prose = `until then ${sent.bytes} bytes were sent and ${received.bytes} received`;
  reporter.event("broken", { sent, received, durationMs: tenths(durationMs) }, prose, "detail");
}

/** Reports the end of a link without a pipe. */
export function reportOver({ reporter }: CommandContext, link: Link, durationMs: number): void {
  const { lossPct } = lossOf(link);
  const prose = `closed after ${formatDuration(durationMs)}, ${lossPct} % of packets lost`;
  reporter.event("closed", { durationMs: tenths(durationMs), lossPct }, prose);
}

function lossOf(link: Link): { lossPct: number } {
  const { sentPackets, lostPackets } = link.stats();
  return { lossPct: sentPackets === 0 ? 0 : Math.round((10_000 * lostPackets) / sentPackets) / 100 };
}

/** By default, only on a terminal through which no data flows. */
function wantsProgress({ reporter }: CommandContext, options: LinkOptions): boolean {
  if (options.progress !== undefined) return options.progress;
  if (!reporter.isTerminal || reporter.json || reporter.quiet || options.exec) return false;
  return !isatty(0) || !isatty(1);
}

function startProgress({ reporter }: CommandContext, link: Link, joined: Bridge): () => void {
  const input = fstatSync(0);
  return showProgress(reporter, {
    sharesTerminal: isatty(1),
    ...(input.isFile() && { totalBytes: input.size }),
    sample: (): ProgressSample => ({
      atMs: performance.now(),
      sentBytes: joined.sentBytes,
      receivedBytes: joined.receivedBytes,
      rttMs: link.stats().rttMs,
      path: link.path,
    }),
  });
}

/** The rate, or an empty string for a transfer that took no measurable time. */
function rateOf(bytes: number, transferMs: number): string {
  return bytes === 0 || transferMs < 1 ? "" : ` (${formatBytes((1000 * bytes) / transferMs)}/s)`;
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

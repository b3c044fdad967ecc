/** `srudp bench`: measures the link to a peer. The peer is an ordinary `srudp listen --allow-bench`. */
import { type BenchResult, measure } from "../../app/bench.ts";
import { unlessAborted } from "../../platform/deadline.ts";
import type { CommandContext } from "../context.ts";
import { checkLinkOptions, type LinkOptions } from "../options/common-options.ts";
import { reportStart } from "../options/link-setup.ts";
import { resolvePeer } from "../options/peer-dialer.ts";
import { keepPeer, reportConnected } from "../pipe-link.ts";
import { printLines } from "../terminal/print-lines.ts";
import { CONNECT_TIMEOUT_MS } from "./run-connect.ts";

const USUAL_MS = 3000;

/** @returns the exit status */
export async function runBench(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions & { readonly seconds?: number },
): Promise<number> {
  checkLinkOptions(options, context.program);
  const { reporter, interrupt } = context;
  const { signal } = interrupt;
  reportStart(context);
  const dialer = await resolvePeer(context, operands, options);
  const link = await dialer.open({ timeoutMs: options.timeout ?? CONNECT_TIMEOUT_MS, signal, pipe: false });
  link.on("error", () => undefined);
  link.resume();
  reportConnected(context, link);
  try {
    await keepPeer(context, link, options, dialer.remember, dialer.address);
    const result = await unlessAborted(signal, measure(link, options.seconds ?? USUAL_MS));
    if (reporter.json) reporter.event("bench", result);
    else await printLines(linesOf(result));
  } catch (error) {
    link.reset();
    throw link.errored ?? error;
  }
  await link.close();
  return 0;
}

function linesOf({ upRate, downRate, roundTripMs, lossPct, path, mtuBytes }: BenchResult): string[] {
  const { median, p99, count } = roundTripMs;
  return [
    `to the peer    ${megabits(upRate)}, ${lossPct.toFixed(2)} % of packets lost`,
    `from the peer  ${megabits(downRate)}`,
    `round trip     ${median.toFixed(2)} ms median, ${p99.toFixed(2)} ms p99 of ${count}, one byte each`,
    `path           ${path}, packets of ${mtuBytes} bytes`,
  ];
}

function megabits(bytesPerSecond: number): string {
  return `${((8 * bytesPerSecond) / 1e6).toFixed(1)} Mbit/s`;
}

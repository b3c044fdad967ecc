/** The measurements as Markdown tables. */
import type { Measurement } from "./measure.ts";
import { describeRow, idealMbit, type LinkRow } from "./rows.ts";
import type { TransportName } from "./transport.ts";

const MEGABYTE = 1_000_000;
/** Above this share of all processors taken by others a figure says little. */
const OTHERS_TOLERATED = 0.25;
const NOTHING = "–";

/** A figure of a transfer that was cut off is marked: it never came to its end. */
function mbit(run: Measurement | undefined): string {
  if (run === undefined) return NOTHING;
  return run.goodputMbit.toFixed(1) + (run.isCut ? " (cut)" : "");
}

function megabytes(bytes: number): string {
  return (bytes / MEGABYTE).toFixed(1);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function print(head: readonly string[], rows: readonly (readonly string[])[]): void {
  console.log(`\n| ${head.join(" | ")} |`);
  console.log(`|${"---|".repeat(head.length)}`);
  for (const cells of rows) console.log(`| ${cells.join(" | ")} |`);
}

/** The run with the median goodput (the lower one of two). */
function medianRun(
  results: readonly Measurement[],
  link: LinkRow,
  transport: TransportName,
): Measurement | undefined {
  const runs = results.filter((result) => result.link === link.name && result.transport === transport);
  runs.sort((a, b) => a.goodputMbit - b.goodputMbit);
  return runs[(runs.length - 1) >> 1];
}

/** Prints goodput against the ideal, then what each transfer cost; both of the median runs. */
export function printTable(links: readonly LinkRow[], results: readonly Measurement[]): void {
  const rates: string[][] = [];
  const costs: string[][] = [];
  for (const link of links) {
    const ideal = idealMbit(link);
    const bbr = medianRun(results, link, "bbr");
    const cubic = medianRun(results, link, "cubic");
    const udx = medianRun(results, link, "udx");
    rates.push([
      `${link.name}: ${describeRow(link)}`,
      mbit(bbr),
      mbit(cubic),
      mbit(udx),
      link.kernelBbrMbit.toFixed(1),
      ideal.toFixed(1),
      bbr === undefined ? NOTHING : percent(bbr.goodputMbit / ideal),
      link.goalShare === undefined ? NOTHING : percent(link.goalShare),
    ]);
    for (const run of [bbr, cubic, udx]) if (run !== undefined) costs.push(costOf(run));
  }
  print(
    ["link", "BBR", "CUBIC", "UDX", "kernel BBR", "ideal", "BBR of ideal", "goal"].map((name, at) =>
      at > 0 && at < 6 ? `${name}, Mbit/s` : name,
    ),
    rates,
  );
  print(
    [
      "link",
      "transport",
      "handshake, ms",
      "sent, packets",
      "dropped by queue / line",
      "held lost (of which wrongly)",
      "sent again, MB",
      "datagram, bytes",
      "peak buffers, MB: sender / receiver",
      "peak resident, MB: sender / receiver",
      "CPU, s: sender / receiver / emulator",
    ],
    costs,
  );
  printDisturbance(results);
}

function costOf({ link, transport, handshakeMs, sender, receiver, emulator }: Measurement): string[] {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  return [
    link,
    transport,
    handshakeMs.toFixed(0),
    String(sender.sentPackets),
    `${emulator.up.queueFull} / ${emulator.up.lost}`,
    `${sender.lostPackets} (${transport === "udx" ? NOTHING : sender.spuriousLosses})`,
    megabytes(sender.retransmittedBytes),
    String(sender.mtuBytes),
    `${megabytes(sender.peakBufferedBytes)} / ${transport === "udx" ? NOTHING : megabytes(receiver.peakBufferedBytes)}`,
    `${megabytes(sender.peakResidentBytes)} / ${megabytes(receiver.peakResidentBytes)}`,
    `${seconds(sender.cpuMs)} / ${seconds(receiver.cpuMs)} / ${seconds(emulator.cpuMs)}`,
  ];
}

/** Says how far the figures can be trusted. */
function printDisturbance(results: readonly Measurement[]): void {
  if (results.length === 0) return;
  const most = (value: (run: Measurement) => number): string => percent(Math.max(...results.map(value)));
  const late = Math.max(...results.map(({ emulator }) => emulator.late1msShare));
  console.log(
    `\nOf all processors' time, at most ${most((run) => run.othersShare)} went to other work and ` +
      `${most((run) => run.busyShare)} to anything; the emulator sent at most ${percent(late)} of its datagrams ` +
      "more than 1 ms late.",
  );
  for (const run of results.filter(({ othersShare }) => othersShare > OTHERS_TOLERATED)) {
    console.log(
      `DISTURBED ${run.link}, ${run.transport}, seed ${run.seed}: others took ${percent(run.othersShare)}`,
    );
  }
}

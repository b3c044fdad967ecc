/** One transfer between two processes, measured at the receiver. */
import type { BenchPath } from "./path.ts";
import { PeerProcess } from "./peer-process.ts";
import { costOf } from "./processes.ts";

/** What a transfer came to. Of both ends all processes count, those included that make the bytes and take them. */
export interface Transfer {
  readonly gigabitsPerSecond: number;
  readonly cpuSecondsPerGigabyte: number;
  /** Of the processes that carry. */
  readonly senderMegabytes: number;
  readonly receiverMegabytes: number;
}

/**
 * @param contender of `contenders.ts`
 * @param environment of both ends
 * @throws where one end fails, or nothing has come within a minute
 */
export async function transfer(
  path: BenchPath,
  contender: string,
  environment: Readonly<Record<string, string>>,
  measuredMs: number,
): Promise<Transfer> {
  const task = { contender, address: path.address, amount: measuredMs };
  const receiver = new PeerProcess({ ...task, role: "receive" }, { launcher: path.receiver, environment });
  let sender: PeerProcess | undefined;
  try {
    const { port } = await receiver.says("ready");
    sender = new PeerProcess({ ...task, role: "send", port }, { launcher: path.sender, environment });
    const channels = { senders: [sender.pid], receivers: [receiver.pid] };
    return await Promise.race([watch(receiver, channels), sender.failure]);
  } finally {
    await sender?.stop();
    await receiver.stop();
  }
}

/** Process ids of those that carry, by end, and of those that only make the bytes or take them. */
export interface Carriers {
  readonly senders: readonly number[];
  readonly receivers: readonly number[];
  readonly helpers?: readonly number[];
}

/** Waits for what `counter` counts, and for what it costs meanwhile. */
export async function watch(
  counter: PeerProcess,
  { senders, receivers, helpers = [] }: Carriers,
): Promise<Transfer> {
  const all = [...senders, ...receivers, ...helpers];
  await counter.says("counting");
  const before = costOf(all);
  const { bytes, tookMs } = await counter.says("received");
  const cpuMs = costOf(all).cpuMs - before.cpuMs;
  return {
    gigabitsPerSecond: (bytes * 8) / tookMs / 1e6,
    cpuSecondsPerGigabyte: cpuMs / 1000 / (bytes / 1e9),
    senderMegabytes: costOf(senders).peakMegabytes,
    receiverMegabytes: costOf(receivers).peakMegabytes,
  };
}

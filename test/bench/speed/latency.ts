/** How long one byte takes there and back on an idle link, one trip after the other. */
import { endAll } from "../../lib/srudp-process.ts";
import { type BenchPath, LOOPBACK } from "./path.ts";
import { PeerProcess } from "./peer-process.ts";
import { quantile } from "./results.ts";
import type { TunnelKind } from "./tunnels.ts";

export interface Latency {
  readonly medianMs: number;
  readonly p99Ms: number;
}

const TRIPS = 3000;

/** @param tunnel between the two of kernel TCP, or none for a transport of `contenders.ts` by itself */
export async function latency(contender: string, tunnel?: TunnelKind): Promise<Latency> {
  const path: BenchPath = LOOPBACK;
  const echo = new PeerProcess({ role: "echo", contender, address: path.address });
  let ping: PeerProcess | undefined;
  try {
    const { port } = await echo.says("ready");
    const way = await tunnel?.open(path, port);
    try {
      const { address = path.address, port: ownPort = port } = way ?? {};
      ping = new PeerProcess({ role: "ping", contender, address, port: ownPort, amount: TRIPS });
      const { tookMs } = await ping.says("timed");
      return { medianMs: quantile(tookMs, 0.5), p99Ms: quantile(tookMs, 0.99) };
    } finally {
      await way?.close();
    }
  } finally {
    await ping?.stop();
    await echo.stop();
    await endAll();
  }
}

/** What a tunnel carries from one `iperf3` to another: bulk, and nothing of ours at its ends. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { startDaemon } from "../../lib/daemon.ts";
import { freePort } from "../../lib/forwarding.ts";
import { endAll } from "../../lib/srudp-process.ts";
import { WARM_UP_MS } from "./arrivals.ts";
import type { BenchPath } from "./path.ts";
import { costOf } from "./processes.ts";
import type { Transfer } from "./transfer.ts";
import type { TunnelKind } from "./tunnels.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 60_000;

/** Of `iperf3 --json`, what is used here; its processor shares are percents of the whole test. */
interface IperfReport {
  readonly error?: string;
  readonly end: {
    readonly sum_received: { readonly bytes: number; readonly seconds: number };
    readonly cpu_utilization_percent: { readonly host_total: number; readonly remote_total: number };
  };
}

/** @throws where a program fails, or nothing has come within a minute */
export async function throughTunnel(
  path: BenchPath,
  kind: TunnelKind,
  measuredMs: number,
): Promise<Transfer> {
  const port = await freePort();
  // Namespaces are ours alone; on the machine itself the server is to be seen by nobody else.
  const bind = path.isLoopback ? ["-B", path.address] : [];
  const server = await startDaemon("iperf3", ["-s", "-p", String(port), ...bind], port, {
    launcher: path.receiver,
  });
  try {
    const tunnel = await kind.open(path, port);
    try {
      // It knows whole seconds only.
      const [warmUp, measured] = [WARM_UP_MS, measuredMs].map((ms) => Math.max(1, Math.round(ms / 1000)));
      const words = ["-c", tunnel.address, "-p", String(tunnel.port), "-O", warmUp, "-t", measured, "-J"];
      const line = [...path.sender, "iperf3", ...words.map(String)];
      const both = [...tunnel.senders, ...tunnel.receivers];
      const before = costOf(both);
      const { stdout } = await run(line[0]!, line.slice(1), { timeout: TIMEOUT_MS });
      const report = JSON.parse(stdout) as IperfReport;
      if (report.error !== undefined) throw new Error(report.error);
      const { bytes, seconds } = report.end.sum_received;
      // iperf3 says nothing when its warm-up ends: the tunnel's share of the measured time counts.
      const tunnelSeconds =
        ((costOf(both).cpuMs - before.cpuMs) / 1000) * (measured! / (warmUp! + measured!));
      const { host_total, remote_total } = report.end.cpu_utilization_percent;
      const cpuSeconds = tunnelSeconds + (seconds * (host_total + remote_total)) / 100;
      return {
        gigabitsPerSecond: (bytes * 8) / seconds / 1e9,
        cpuSecondsPerGigabyte: cpuSeconds / (bytes / 1e9),
        senderMegabytes: costOf(tunnel.senders).peakMegabytes,
        receiverMegabytes: costOf(tunnel.receivers).peakMegabytes,
      };
    } finally {
      await tunnel.close();
    }
  } finally {
    server.kill("SIGKILL");
    await endAll();
  }
}

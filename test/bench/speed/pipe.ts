/** The command as a pipe: `source | srudp connect`, and `srudp listen | sink`, each over a path. */
import { closeSync } from "node:fs";
import { startPair } from "../../lib/pair.ts";
import { realPipe } from "../../lib/real-pipe.ts";
import { endAll } from "../../lib/srudp-process.ts";
import type { BenchPath } from "./path.ts";
import { PeerProcess } from "./peer-process.ts";
import { type Transfer, watch } from "./transfer.ts";

/** @throws where a process fails, one of the commands does not end well, or nothing has come within a minute */
export async function throughPipe(path: BenchPath, measuredMs: number): Promise<Transfer> {
  const [into, outOf] = [realPipe(), realPipe()];
  let sink: PeerProcess | undefined;
  let source: PeerProcess | undefined;
  try {
    const { connector, listener } = await startPair({
      dialer: async (port) => `${path.address}:${port}`,
      listen: { stdin: "nothing", stdout: outOf.writeEnd, launcher: path.receiver },
      connect: { stdin: into.readEnd, stdout: "nothing", launcher: path.sender },
    });
    sink = new PeerProcess({ role: "drain", amount: measuredMs }, { stdin: outOf.readEnd });
    source = new PeerProcess({ role: "pour", amount: measuredMs }, { stdout: into.writeEnd });
    // Only theirs are left, so that the end of one is seen by the next.
    for (const end of [into.readEnd, into.writeEnd, outOf.readEnd, outOf.writeEnd]) closeSync(end);
    const result = await watch(sink, {
      senders: [connector.pid],
      receivers: [listener.pid],
      helpers: [source.pid, sink.pid],
    });
    // Both have compared the hashes by then.
    const statuses = await Promise.all([connector.exit(), listener.exit()]);
    if (statuses.some((status) => status !== 0))
      throw new Error(`the pipe ended with ${statuses.join(", ")}`);
    return result;
  } finally {
    await source?.stop();
    await sink?.stop();
    await endAll();
  }
}

/** One end of a transfer, as a process of its own: `links.ts` starts two of them for each measurement. */
import { receivedBytes } from "./links/bytes.ts";
import { OwnTransport } from "./links/ours.ts";
import type {
  PeerAnswer,
  PeerOrder,
  TracePoint,
  TransferEnd,
  Transport,
  TransportName,
} from "./links/transport.ts";
import { UdxTransport } from "./links/udx.ts";

let end: TransferEnd | undefined;
const trace: TracePoint[] = [];

function say(answer: PeerAnswer): void {
  process.send!(answer);
}

/** The system's monotonic clock, which all processes share; `performance.now()` starts with each. */
function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

function transportOf(name: TransportName): Transport {
  return name === "udx" ? new UdxTransport() : new OwnTransport(name);
}

function traceEvery(intervalMs: number, startedMs: number): void {
  let lastMs = nowMs();
  const timer = setInterval(() => {
    const atMs = nowMs();
    if (end !== undefined) trace.push(end.trace(atMs - startedMs, atMs - lastMs - intervalMs));
    lastMs = atMs;
  }, intervalMs);
  timer.unref();
}

async function obey(order: PeerOrder): Promise<void> {
  switch (order.kind) {
    case "receive": {
      const transport = transportOf(order.transport);
      const { port, done } = await transport.receive(order.bytes, (connected) => {
        end = connected;
      });
      say({ kind: "listening", port });
      await done;
      say({ kind: "received", atMs: nowMs() });
      return;
    }
    case "send": {
      const { port, bytes, traceEveryMs } = order;
      const transport = transportOf(order.transport);
      const startedMs = nowMs();
      await transport.send(port, bytes, (connected) => {
        end = connected;
        say({ kind: "connected", startedMs, connectedMs: nowMs() });
        if (traceEveryMs > 0) traceEvery(traceEveryMs, startedMs);
      });
      return;
    }
    case "report":
      if (end === undefined) throw new Error("asked for a report without a link");
      say({ kind: "report", report: end.report(), trace, receivedBytes: receivedBytes(), atMs: nowMs() });
  }
}

process.on("message", (order: PeerOrder) => {
  obey(order).catch((error: unknown) =>
    say({ kind: "failed", reason: error instanceof Error ? error.message : String(error) }),
  );
});
process.on("disconnect", () => process.exit());
say({ kind: "ready" });

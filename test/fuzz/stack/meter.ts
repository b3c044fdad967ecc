/**
 * How long one input keeps the victim busy: the longest single turn of its engine, or of its endpoint with all
 * that hangs on it (links, forwards, the command). It is CPU time, so that a busy machine changes little.
 * Attackers in the same process are left out.
 */
import { Connection } from "../../../src/engine/connection/connection.ts";
import { Endpoint } from "../../../src/link/endpoint.ts";
import { primitives } from "../../../src/platform/crypto/provider.ts";

export class TurnMeter {
  /** Since the last `reset`, ms of CPU time. */
  longestMs = 0;
  /** Endpoints of attackers. */
  readonly foreign: Set<Endpoint> = new Set();
  readonly foreignConnections: WeakSet<Connection> = new WeakSet();

  /** From now on all connections and endpoints of this process are measured. */
  install(): void {
    const meter = this;
    const { handleDatagram } = Connection.prototype;
    Connection.prototype.handleDatagram = function (nowMs, path, bytes) {
      if (meter.foreignConnections.has(this)) return handleDatagram.call(this, nowMs, path, bytes);
      const start = process.cpuUsage();
      handleDatagram.call(this, nowMs, path, bytes);
      meter.#add(start);
    };
    const { flush } = Endpoint.prototype;
    Endpoint.prototype.flush = function () {
      if (meter.foreign.has(this)) return flush.call(this);
      const start = process.cpuUsage();
      flush.call(this);
      meter.#add(start);
    };
  }

  reset(): void {
    this.longestMs = 0;
  }

  #add(start: NodeJS.CpuUsage): void {
    const { user, system } = process.cpuUsage(start);
    const tookMs = (user + system) / 1000;
    if (tookMs > this.longestMs) this.longestMs = tookMs;
  }
}

export const meter: TurnMeter = new TurnMeter();

/** What a thousand full packets cost to seal on this machine at this moment, ms: the measure for all others. */
export function thousandPacketsMs(): number {
  const key = primitives().aead.key(new Uint8Array(32).fill(1));
  const packet = new Uint8Array(1300);
  let best = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 5; tries++) {
    const startMs = performance.now();
    for (let n = 0; n < 1000; n++) key.seal(packet, 0, 17, 1280, n);
    best = Math.min(best, performance.now() - startMs);
  }
  return best;
}

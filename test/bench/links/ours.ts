/** The library under test: a link by `connect` and `listen`, with a secret that both ends know. */
import { once } from "node:events";
import { Connection } from "../../../src/engine/connection/connection.ts";
import { connect, type Link, listen } from "../../../src/index.ts";
import { receiveAll, sendAll } from "./bytes.ts";
import type { Receiving, TracePoint, TransferEnd, Transport, TransportReport } from "./transport.ts";

const SECRET: Uint8Array = new Uint8Array(32).fill(7);
const TIMEOUT_MS = 20_000;

export class OwnTransport implements Transport {
  readonly #congestion: "bbr" | "cubic";

  constructor(congestion: "bbr" | "cubic") {
    this.#congestion = congestion;
  }

  async receive(bytes: number, whenConnected: (end: TransferEnd) => void): Promise<Receiving> {
    const gauge = new BufferGauge();
    const listener = await listen({ port: 0, secret: SECRET, congestion: this.#congestion });
    const done = (once(listener, "link") as Promise<[Link]>).then(async ([link]) => {
      whenConnected(new OwnEnd(link, gauge));
      await receiveAll(link, bytes);
    });
    return { port: listener.port, done };
  }

  async send(port: number, bytes: number, whenConnected: (end: TransferEnd) => void): Promise<void> {
    const gauge = new BufferGauge();
    const link = await connect({
      host: "127.0.0.1",
      port,
      secret: SECRET,
      congestion: this.#congestion,
      timeoutMs: TIMEOUT_MS,
    });
    whenConnected(new OwnEnd(link, gauge));
    await sendAll(link, bytes);
  }
}

class OwnEnd implements TransferEnd {
  readonly #link: Link;
  readonly #gauge: BufferGauge;

  constructor(link: Link, gauge: BufferGauge) {
    this.#link = link;
    this.#gauge = gauge;
  }

  report(): TransportReport {
    const { sentPackets, lostPackets, spuriousLosses, retransmittedBytes, mtuBytes } = this.#link.stats();
    const { peakBytes: peakBufferedBytes } = this.#gauge;
    return { sentPackets, lostPackets, spuriousLosses, retransmittedBytes, mtuBytes, peakBufferedBytes };
  }

  trace(atMs: number, lateMs: number): TracePoint {
    const stats = this.#link.stats();
    return {
      atMs,
      lateMs,
      phase: stats.congestionPhase,
      congestionWindowBytes: stats.congestionWindowBytes,
      bytesInFlight: stats.bytesInFlight,
      pacingRate: Number.isFinite(stats.pacingRate) ? stats.pacingRate : 0,
      rttMs: stats.rttMs,
      minRttMs: stats.minRttMs,
      sentBytes: stats.sentBytes,
      lostPackets: stats.lostPackets,
      bufferedBytes: this.#link.unacknowledgedBytes,
    };
  }
}

/**
 * Sees every byte that the engine holds, at the end of each of its turns. The library shows no engine, so
 * this looks over the shoulder of all that exist, of which a process under test has one.
 */
class BufferGauge {
  peakBytes = 0;

  constructor() {
    const gauge = this;
    const { pollTimeout } = Connection.prototype;
    Connection.prototype.pollTimeout = function (this: Connection): number {
      const { sending, receiving } = this.bufferedBytes;
      gauge.peakBytes = Math.max(gauge.peakBytes, sending + receiving);
      return pollTimeout.call(this);
    };
  }
}

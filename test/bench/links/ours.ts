/** The library under test: a link by `connect` and `listen`, with a secret that both ends know. */
import { once } from "node:events";
import { Connection, type ConnectionStats } from "../../../src/engine/connection.ts";
import { connect, type Link, listen } from "../../../src/index.ts";
import { BytePattern } from "../../lib/byte-pattern.ts";
import {
  CHUNK_BYTES,
  PATTERN_SEED,
  type Receiving,
  type TracePoint,
  type TransferEnd,
  type Transport,
  type TransportReport,
} from "./transport.ts";

const SECRET: Uint8Array = new Uint8Array(32).fill(7);
const TIMEOUT_MS = 20_000;

export class OwnTransport implements Transport {
  readonly #congestion: "bbr" | "cubic";

  constructor(congestion: "bbr" | "cubic") {
    this.#congestion = congestion;
  }

  async receive(bytes: number): Promise<Receiving> {
    const listener = await listen({ port: 0, secret: SECRET, congestion: this.#congestion });
    const gauge = new BufferGauge();
    const [link] = (await Promise.race([once(listener, "link"), noLinkYet(listener.port)])) as [Link | number];
    if (typeof link !== "number") throw new Error("a link before anybody was told of the port");
    const done = once(listener, "link").then(async (values) => {
      const accepted = (values as [Link])[0];
      await receiveAll(accepted, bytes);
      return new OwnEnd(accepted, gauge);
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
    const pattern = new BytePattern(PATTERN_SEED);
    for (let at = 0; at < bytes; at += CHUNK_BYTES) {
      if (!link.write(pattern.slice(at, Math.min(CHUNK_BYTES, bytes - at)))) await once(link, "drain");
    }
    link.end();
  }
}

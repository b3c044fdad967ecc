/**
 * UDX (udx-native), the transport of HyperDHT: BBR, no encryption, no handshake of its own. A question and an
 * answer by its plain messages stand for one, since a stream has to be told of its peer's address.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { rootFolder } from "../../lib/paths.ts";
import { type ByteStream, receiveAll, sendAll } from "./bytes.ts";
import type { Receiving, TracePoint, TransferEnd, Transport, TransportReport } from "./transport.ts";

interface UdxSocket {
  bind(port: number, host: string): void;
  address(): { port: number };
  setRecvBufferSize(bytes: number): void;
  setSendBufferSize(bytes: number): void;
  trySend(bytes: Uint8Array, port: number, host: string): void;
  once(event: "message", listener: (bytes: Uint8Array, from: { host: string; port: number }) => void): void;
  on(event: "message", listener: (bytes: Uint8Array, from: { host: string; port: number }) => void): void;
}

interface UdxStream extends ByteStream {
  connect(socket: UdxSocket, remoteId: number, port: number, host: string): void;
  readonly mtu: number;
  readonly rtt: number;
  readonly cwnd: number;
  readonly inflight: number;
  readonly retransmits: number;
  readonly bbrState: number;
  readonly packetsTransmitted: number;
  readonly bytesTransmitted: number;
  /** Writes that are not acknowledged yet hold their bytes in here. */
  readonly _wreqs: readonly { readonly buffer: Uint8Array | null; readonly buffers: Uint8Array[] | null }[];
}

interface Udx {
  createSocket(): UdxSocket;
  createStream(id: number): UdxStream;
}

const HOST = "127.0.0.1";
const SENDER_ID = 1;
const RECEIVER_ID = 2;
/** What ours asks for as well. */
const SOCKET_BUFFER_BYTES = 4 << 20;
const ASK_EVERY_MS = 250;
const GAUGE_EVERY_MS = 10;
const STATES = ["startup", "drain", "probeBandwidth", "probeRtt"];

const packageFile = new URL("test/bench/package.json", rootFolder);

export class UdxTransport implements Transport {
  readonly #udx: Udx;
  readonly #socket: UdxSocket;

  constructor() {
    const Class = createRequire(fileURLToPath(packageFile))("udx-native") as new () => Udx;
    this.#udx = new Class();
    this.#socket = this.#udx.createSocket();
    this.#socket.bind(0, HOST);
    this.#socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    this.#socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
  }

  receive(bytes: number, whenConnected: (end: TransferEnd) => void): Promise<Receiving> {
    const stream = this.#udx.createStream(RECEIVER_ID);
    whenConnected(new UdxEnd(stream));
    let isAsked = false;
    this.#socket.on("message", (question, { host, port }) => {
      if (!isAsked) stream.connect(this.#socket, SENDER_ID, port, host);
      isAsked = true;
      this.#socket.trySend(question, port, host);
    });
    return Promise.resolve({ port: this.#socket.address().port, done: receiveAll(stream, bytes) });
  }

  async send(port: number, bytes: number, whenConnected: (end: TransferEnd) => void): Promise<void> {
    const ask = (): void => this.#socket.trySend(Buffer.from("?"), port, HOST);
    const asking = setInterval(ask, ASK_EVERY_MS);
    ask();
    await new Promise<void>((resolve) => this.#socket.once("message", () => resolve()));
    clearInterval(asking);
    const stream = this.#udx.createStream(SENDER_ID);
    const end = new UdxEnd(stream);
    stream.connect(this.#socket, RECEIVER_ID, port, HOST);
    whenConnected(end);
    await sendAll(stream, bytes);
  }
}

class UdxEnd implements TransferEnd {
  readonly #stream: UdxStream;
  #peakBytes = 0;

  constructor(stream: UdxStream) {
    this.#stream = stream;
    setInterval(() => {
      this.#peakBytes = Math.max(this.#peakBytes, this.#bufferedBytes);
    }, GAUGE_EVERY_MS).unref();
  }

  report(): TransportReport {
    const { packetsTransmitted: sentPackets, retransmits, mtu: mtuBytes } = this.#stream;
    return {
      sentPackets,
      // It counts what it sends again and nothing else.
      lostPackets: retransmits,
      spuriousLosses: 0,
      retransmittedBytes: retransmits * mtuBytes,
      mtuBytes,
      peakBufferedBytes: this.#peakBytes,
    };
  }

  trace(atMs: number, lateMs: number): TracePoint {
    const stream = this.#stream;
    return {
      atMs,
      lateMs,
      phase: STATES[stream.bbrState] ?? String(stream.bbrState),
      congestionWindowBytes: stream.cwnd * stream.mtu,
      bytesInFlight: stream.inflight,
      pacingRate: 0,
      rttMs: stream.rtt,
      minRttMs: 0,
      sentBytes: stream.bytesTransmitted,
      lostPackets: stream.retransmits,
      bufferedBytes: this.#bufferedBytes,
    };
  }

  /** What the sender holds; what the receiver does, it does not tell. */
  get #bufferedBytes(): number {
    let bytes = 0;
    for (const { buffer, buffers } of this.#stream._wreqs) {
      if (buffer !== null) bytes += buffer.length;
      for (const part of buffers ?? []) bytes += part.length;
    }
    return bytes;
  }
}

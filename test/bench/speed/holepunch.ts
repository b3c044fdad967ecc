/**
 * HyperDHT's stream (`@hyperswarm/secret-stream` over `udx-native`), and UDX without its encryption. They are
 * installed by `test/bench/package.json`. The two ends learn of each other by a plain message instead of a DHT:
 * only the stream is measured.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { rootFolder } from "../../lib/paths.ts";
import { type Contender, type Writer, writeFor } from "./contender.ts";

interface UdxSocket {
  bind(port: number, host: string): void;
  address(): { port: number };
  setRecvBufferSize(bytes: number): void;
  setSendBufferSize(bytes: number): void;
  trySend(bytes: Uint8Array, port: number, host: string): void;
  on(event: "message", listener: (bytes: Uint8Array, from: { host: string; port: number }) => void): void;
}

interface UdxStream extends Writer {
  connect(socket: UdxSocket, remoteId: number, port: number, host: string): void;
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown;
  on(event: "error" | "open", listener: () => void): unknown;
  destroy(): void;
}

interface Udx {
  createSocket(): UdxSocket;
  createStream(id: number): UdxStream;
}

const IDS = { receiver: 2, sender: 1 } as const;
/** What ours asks for as well. */
const SOCKET_BUFFER_BYTES: number = 4 << 20;
const load: NodeJS.Require = createRequire(fileURLToPath(new URL("test/bench/package.json", rootFolder)));

export class Holepunch implements Contender {
  readonly #isEncrypted: boolean;
  readonly #udx: Udx;

  constructor(isEncrypted: boolean) {
    this.#isEncrypted = isEncrypted;
    const Class = load("udx-native") as new () => Udx;
    this.#udx = new Class();
  }

  async receive(address: string, onBytes: (byteLength: number) => void): Promise<number> {
    const socket = this.#socket(address);
    let isOpen = false;
    socket.on("message", (_bytes, from) => {
      socket.trySend(Buffer.from("come"), from.port, from.host);
      if (isOpen) return;
      isOpen = true;
      const raw = this.#udx.createStream(IDS.receiver);
      raw.connect(socket, IDS.sender, from.port, from.host);
      const stream = this.#wrap(raw, false);
      stream.on("data", ({ length }) => onBytes(length));
      stream.on("error", () => undefined);
    });
    return socket.address().port;
  }

  async send(address: string, port: number, forMs: number): Promise<void> {
    const socket = this.#socket("0.0.0.0");
    const answer = new Promise((resolve) => socket.on("message", resolve));
    socket.trySend(Buffer.from("may I"), port, address);
    await answer;
    const raw = this.#udx.createStream(IDS.sender);
    raw.connect(socket, IDS.receiver, port, address);
    const stream = this.#wrap(raw, true);
    stream.on("error", () => undefined);
    if (this.#isEncrypted) await new Promise<void>((resolve) => stream.on("open", resolve));
    await writeFor(stream, forMs);
    stream.destroy();
  }

  #wrap(raw: UdxStream, isInitiator: boolean): UdxStream {
    if (!this.#isEncrypted) return raw;
    const Secret = load("@hyperswarm/secret-stream") as new (
      isInitiator: boolean,
      raw: UdxStream,
    ) => UdxStream;
    return new Secret(isInitiator, raw);
  }

  #socket(address: string): UdxSocket {
    const socket = this.#udx.createSocket();
    socket.bind(0, address);
    socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
    socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
    return socket;
  }
}

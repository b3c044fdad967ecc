/**
 * HyperDHT's stream (`@hyperswarm/secret-stream` over `udx-native`), and UDX without its encryption. They are
 * installed by `test/bench/package.json`. The two ends learn of each other by a plain message instead of a DHT:
 * only the stream is measured.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { rootFolder } from "../../lib/paths.ts";
import type { Channel, Transport } from "./channel.ts";

interface UdxSocket {
  bind(port: number, host: string): void;
  address(): { port: number };
  setRecvBufferSize(bytes: number): void;
  setSendBufferSize(bytes: number): void;
  trySend(bytes: Uint8Array, port: number, host: string): void;
  on(event: "message", listener: (bytes: Uint8Array, from: { host: string; port: number }) => void): void;
}

interface UdxStream extends Channel {
  connect(socket: UdxSocket, remoteId: number, port: number, host: string): void;
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "open", listener: () => void): unknown;
}

interface Udx {
  createSocket(): UdxSocket;
  createStream(id: number): UdxStream;
}

/** Of the stream at the connecting end; the other end numbers its streams from here on, and says so. */
const FIRST_ID = 1;
/** What ours asks for as well. */
const SOCKET_BUFFER_BYTES: number = 4 << 20;
const load: NodeJS.Require = createRequire(fileURLToPath(new URL("test/bench/package.json", rootFolder)));

/** Those of its packages that are not installed. */
export function missingPackages(): string[] {
  return ["udx-native", "@hyperswarm/secret-stream"].filter((name) => {
    try {
      load.resolve(name);
      return false;
    } catch {
      return true;
    }
  });
}

export class Holepunch implements Transport {
  readonly #isEncrypted: boolean;
  readonly #udx: Udx;

  constructor(isEncrypted: boolean) {
    this.#isEncrypted = isEncrypted;
    const Class = load("udx-native") as new () => Udx;
    this.#udx = new Class();
  }

  async accept(address: string, onChannel: (channel: Channel) => void): Promise<number> {
    const socket = this.#socket(address);
    const ids = new Map<string, number>();
    socket.on("message", (_bytes, { host, port }) => {
      const visitor = `${host}:${port}`;
      const isNew = !ids.has(visitor);
      if (isNew) ids.set(visitor, FIRST_ID + 1 + ids.size);
      const id = ids.get(visitor)!;
      if (isNew) {
        const raw = this.#udx.createStream(id);
        raw.connect(socket, FIRST_ID, port, host);
        const stream = this.#wrap(raw, false);
        stream.on("error", () => undefined);
        onChannel(stream);
      }
      socket.trySend(Buffer.from(String(id)), port, host);
    });
    return socket.address().port;
  }

  async connect(address: string, port: number): Promise<Channel[]> {
    const socket = this.#socket(address === "127.0.0.1" ? address : "0.0.0.0");
    const answer = new Promise<Uint8Array>((resolve) => socket.on("message", resolve));
    socket.trySend(Buffer.from("may I"), port, address);
    const remoteId = Number(Buffer.from(await answer).toString());
    const raw = this.#udx.createStream(FIRST_ID);
    raw.connect(socket, remoteId, port, address);
    const stream = this.#wrap(raw, true);
    stream.on("error", () => undefined);
    if (this.#isEncrypted) await new Promise<void>((resolve) => stream.on("open", resolve));
    return [stream];
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

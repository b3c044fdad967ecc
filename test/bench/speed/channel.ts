/** What the measurements ask of whatever carries bytes from one process to another. */

/** A connection or a stream of one: of Node's streams what is needed here. */
export interface Channel {
  write(bytes: Uint8Array): boolean;
  once(event: "drain", listener: () => void): unknown;
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  /** Where there is such a thing: received bytes are needed no more. */
  recycle?(bytes: Uint8Array): void;
  destroy(): void;
}

export interface Transport {
  /** Takes connections at `address` from now on; resolves with the port. */
  accept(address: string, onChannel: (channel: Channel) => void): Promise<number>;
  /** Connects; resolves with the channels that bytes are spread over, mostly one. */
  connect(address: string, port: number): Promise<readonly Channel[]>;
}

/** Carries bytes one way, as fast as it goes. */
export interface SignallingChannel {
  /** Receives at `address`, telling of payload bytes as they come; resolves with the port. */
  receive(address: string, onBytes: (byteLength: number) => void): Promise<number>;
  /** Sends to a receiver for `forMs` from its first byte on. */
  send(address: string, port: number, forMs: number): Promise<void>;
}

/** What writers are handed, again and again: 64 KiB, as a file's reader or a socket gives them. */
export const CHUNK: Buffer = Buffer.alloc(65_536, 0x5a);

export function carrierOver(transport: Transport): SignallingChannel {
  return {
    receive: (address, onBytes) =>
      transport.accept(address, (channel) =>
        channel.on("data", (bytes) => {
          onBytes(bytes.length);
          channel.recycle?.(bytes);
        }),
      ),
    send: async (address, port, forMs) => {
      const channels = await transport.connect(address, port);
      await Promise.all(channels.map((channel) => writeFor(channel, forMs)));
      for (const channel of channels) channel.destroy();
    },
  };
}

/** Writes to `channel` for `forMs`, waiting whenever it asks for that; rejects with its error. */
function writeFor(channel: Channel, forMs: number): Promise<void> {
  const endsAtMs = performance.now() + forMs;
  return new Promise((resolve, reject) => {
    channel.on("error", reject);
    const go = (): void => {
      // A turn of the loop every 16 MiB at most: a stream that never asks to wait would let nobody else run.
      for (let i = 0; i < 256; i++) {
        if (performance.now() >= endsAtMs) {
          resolve();
          return;
        }
        if (!channel.write(CHUNK)) {
          channel.once("drain", go);
          return;
        }
      }
      setImmediate(go);
    };
    go();
  });
}

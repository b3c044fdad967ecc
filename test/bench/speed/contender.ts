/** What every contender of `npm run bench` has to do: carry bytes of one stream from one process to another. */

export interface Contender {
  /** Receives at `address`, telling of payload bytes as they come; resolves with the port. */
  receive(address: string, onBytes: (byteLength: number) => void): Promise<number>;
  /** Sends to a receiver, as fast as it goes, for `forMs` from its first byte on. */
  send(address: string, port: number, forMs: number): Promise<void>;
}

/** What writers are handed, again and again: 64 KiB, as a file's reader or a socket gives them. */
export const CHUNK: Buffer = Buffer.alloc(65_536, 0x5a);

/** Anything that is written to as Node's streams are. */
export interface Writer {
  write(bytes: Uint8Array): boolean;
  once(event: "drain", listener: () => void): unknown;
}

/** Writes to `stream` for `forMs`, waiting whenever it asks for that. */
export function writeFor(stream: Writer, forMs: number): Promise<void> {
  const endsAtMs = performance.now() + forMs;
  return new Promise((resolve) => {
    const go = (): void => {
      // A look at the clock every 16 MiB at most: streams that never ask to wait would not let it be looked at.
      for (let i = 0; i < 256; i++) {
        if (performance.now() >= endsAtMs) {
          resolve();
          return;
        }
        if (!stream.write(CHUNK)) {
          stream.once("drain", go);
          return;
        }
      }
      setImmediate(go);
    };
    go();
  });
}

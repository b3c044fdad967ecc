/** What the application at each end does, the same for every transport. */
import { once } from "node:events";
import { BytePattern } from "../../lib/byte-pattern.ts";

/** Bytes that the application writes at once. */
const CHUNK_BYTES: number = 64 * 1024;
/** What both ends know the bytes by; made beforehand, since that takes longer than a short round trip. */
const PATTERN: BytePattern = new BytePattern(6);

/** The part of `node:stream` Duplex that streamx has as well. */
export interface ByteStream {
  write(bytes: Uint8Array): boolean;
  end(): unknown;
  on(event: "data", listener: (bytes: Uint8Array) => void): unknown;
  once(event: "drain" | "error" | "end", listener: (error: Error) => void): unknown;
}

/** Writes `bytes` bytes as fast as the stream takes them, and ends it. */
export async function sendAll(stream: ByteStream, bytes: number): Promise<void> {
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    const hasRoom = stream.write(PATTERN.slice(at, Math.min(CHUNK_BYTES, bytes - at)));
    if (!hasRoom) await once(stream as unknown as NodeJS.EventEmitter, "drain");
  }
  stream.end();
}

/** Bytes that have come to this process so far. */
export function receivedBytes(): number {
  return received;
}
let received = 0;

/** Resolves when `bytes` bytes have come, each of them the right one. */
export function receiveAll(stream: ByteStream, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.on("data", (part) => {
      try {
        PATTERN.check(received, part);
      } catch (error) {
        reject(error);
      }
      received += part.length;
      if (received === bytes) resolve();
      if (received > bytes) reject(new Error(`${received - bytes} bytes too many`));
    });
    stream.once("error", reject);
    stream.once("end", () => reject(new Error(`ended after ${received} bytes`)));
  });
}

/** Counts and hashes the bytes of one direction, and measures their transfer time. */
import { createHash, type Hash } from "node:crypto";

/** How many bytes, and their SHA-256 in hexadecimal. */
export interface ByteDigestResult {
  readonly bytes: number;
  readonly sha256: string;
}

/** A longer pause is idle time, unless the direction is known to be waiting for its peer. */
const IDLE_AFTER_MS = 1000;

export class ByteDigest {
  bytes = 0;
  /** Time in which bytes were on their way: from the first on, without the pauses in which there was nothing to send. */
  transferMs = 0;
  #notedAtMs: number | undefined;
  readonly #hash: Hash = createHash("sha256");

  add(chunk: Uint8Array): void {
    this.noteTime(false);
    this.bytes += chunk.length;
    this.#hash.update(chunk);
  }

  /** Adds the time since the last call, however long it was where the direction `wasWaiting` for its peer. */
  noteTime(wasWaiting: boolean): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - (this.#notedAtMs ?? nowMs);
    this.#notedAtMs = nowMs;
    if (wasWaiting || elapsedMs < IDLE_AFTER_MS) this.transferMs += elapsedMs;
  }

  /** SHA-256 of the bytes so far, 32 bytes. */
  digest(): Uint8Array {
    return new Uint8Array(this.#hash.copy().digest());
  }

  result(): ByteDigestResult {
    return { bytes: this.bytes, sha256: Buffer.from(this.digest()).toString("hex") };
  }
}

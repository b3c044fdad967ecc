/** Counts and hashes the bytes of one direction, and measures their transfer time. */
import { createHash, type Hash } from "node:crypto";

/** The number of bytes, and their SHA-256 in hexadecimal. */
export interface ByteDigestResult {
  readonly bytes: number;
  readonly sha256: string;
}

/** A longer pause counts as idle time, unless the direction is known to be waiting for its peer. */
const IDLE_AFTER_MS = 1000;

export class ByteDigest {
  bytes = 0;
  /** Time during which bytes were in transit, from the first byte on, without the idle pauses. */
  transferMs = 0;
  #recordedAtMs: number | undefined;
  readonly #hash: Hash = createHash("sha256");

  add(chunk: Uint8Array): void {
    this.recordTime(false);
    this.bytes += chunk.length;
    this.#hash.update(chunk);
  }

  /**
   * Adds the time since the last call, unless it was an idle pause. With `wasWaiting`, the
   * direction was waiting for its peer and the time always counts.
   */
  recordTime(wasWaiting: boolean): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - (this.#recordedAtMs ?? nowMs);
    this.#recordedAtMs = nowMs;
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

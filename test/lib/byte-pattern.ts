/**
 * Bytes that nobody could mistake for others: byte n of a stream is known from n and the seed alone, so a
 * receiver can check gigabytes without holding them and say where the first wrong one stands.
 */
import { createHash } from "node:crypto";
import { Random } from "../sim/random.ts";

/** Prime, so that no power-of-two buffer size can hide a shift. */
const PERIOD_BYTES = 1_048_583;

export class BytePattern {
  readonly #period: Buffer;

  constructor(seed: number) {
    const period = new Random(seed, "pattern").bytes(PERIOD_BYTES);
    // Twice, so that any slice of up to one period is contiguous.
    this.#period = Buffer.concat([period, period]);
  }

  /** Bytes [at, at + length) of the stream, length ≤ 1 MiB; a view, not to be changed. */
  slice(at: number, length: number): Buffer {
    const from = at % PERIOD_BYTES;
    return this.#period.subarray(from, from + length);
  }

  /** Throws when `bytes` are not what stands at `at`. */
  check(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; done += PERIOD_BYTES) {
      const part = bytes.subarray(done, done + PERIOD_BYTES);
      const expected = this.slice(at + done, part.length);
      if (expected.equals(part)) continue;
      const wrong = part.findIndex((byte, n) => byte !== expected[n]);
      throw new Error(`the bytes differ from offset ${at + done + wrong} on`);
    }
  }

  /** SHA-256 (hex) of the first `length` bytes. */
  sha256(length: number): string {
    const hash = createHash("sha256");
    for (let at = 0; at < length; at += PERIOD_BYTES)
      hash.update(this.slice(at, Math.min(PERIOD_BYTES, length - at)));
    return hash.digest("hex");
  }
}

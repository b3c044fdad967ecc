/** Counts the bytes of one direction and hashes them on the way. */
import { createHash, type Hash } from "node:crypto";

/** How many bytes, and their SHA-256 in hexadecimal. */
export interface TallyResult {
  readonly bytes: number;
  readonly sha256: string;
}

export class Tally {
  bytes = 0;
  readonly #hash: Hash = createHash("sha256");

  add(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
  }

  /** SHA-256 of the bytes so far, 32 bytes. */
  digest(): Uint8Array {
    return new Uint8Array(this.#hash.copy().digest());
  }

  result(): TallyResult {
    return { bytes: this.bytes, sha256: Buffer.from(this.digest()).toString("hex") };
  }
}

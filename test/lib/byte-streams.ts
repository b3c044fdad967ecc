/** The two ends that a test holds of a process: its stdin to write, its stdout to read no further than asked. */
import { finished, type Readable, type Writable } from "node:stream";
import type { BytePattern } from "./byte-pattern.ts";
import { pause, within } from "./deadline.ts";

const TIMEOUT_MS = 30_000;
const CHUNK_BYTES = 65_536;
/** A writer that got rid of nothing for so long is held back. */
const STALLED_MS = 400;

/** A process's stdin. */
export class Input {
  /** Bytes handed over so far. */
  writtenBytes = 0;
  readonly #stream: Writable | null;
  readonly #name: string;
  #error: Error | undefined;

  constructor(stream: Writable | null, name: string) {
    this.#stream = stream;
    this.#name = name;
    // A process that went away breaks the pipe: told to whoever writes next.
    stream?.on("error", (error) => {
      this.#error = error;
    });
  }

  /** Resolves when the pipe has taken all of `bytes`. */
  write(bytes: string | Uint8Array): Promise<void> {
    this.writtenBytes += Buffer.byteLength(bytes);
    return within(this.#write(bytes), TIMEOUT_MS, () => `${this.#name}: stdin takes nothing`);
  }

  /** The first `length` bytes of `pattern`, or as many as follow before `isOver`. Held back by the reader alone. */
  async pump(pattern: BytePattern, length: number, isOver: () => boolean = () => false): Promise<void> {
    const end = this.writtenBytes + length;
    while (this.writtenBytes < end && !isOver()) {
      const chunk = pattern.slice(this.writtenBytes, Math.min(CHUNK_BYTES, end - this.writtenBytes));
      this.writtenBytes += chunk.length;
      await this.#write(chunk);
    }
  }

  /** Writes `pattern` until nothing more is taken: the other side stopped reading and that has come through. */
  async fill(pattern: BytePattern): Promise<void> {
    for (;;) {
      const chunk = pattern.slice(this.writtenBytes, CHUNK_BYTES);
      this.writtenBytes += chunk.length;
      const isTaken = this.#write(chunk).then(() => true);
      if (!(await Promise.race([isTaken, pause(STALLED_MS).then(() => false)]))) {
        // The last chunk stays with the stream and goes out when there is room.
        isTaken.catch(() => {});
        return;
      }
    }
  }

  end(): void {
    this.#stream?.end();
  }

  /** Closes this end without waiting for what is still to be written. */
  close(): void {
    this.#stream?.destroy();
  }

  #write(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#stream === null) return reject(new Error(`${this.#name}: no stdin`));
      if (this.#error !== undefined) return reject(this.#error);
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** A process's stdout. What is not asked for stays in the pipe and holds the writer back. */
export class Output {
  /** Bytes taken so far. */
  takenBytes = 0;
  readonly #stream: Readable | null;
  readonly #name: string;
  #left: Buffer[] = [];
  #leftBytes = 0;
  #isOver = false;
  #wake: () => void = () => {};

  constructor(stream: Readable | null, name: string) {
    this.#stream = stream;
    this.#name = name;
    if (stream === null) return;
    // Listening makes the stream fill its own small buffer and no more.
    stream.on("readable", () => this.#wake());
    finished(stream, { writable: false }, () => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** The next `length` bytes; rejects when the end comes before them. */
  async take(length: number): Promise<Buffer> {
    while (this.#leftBytes < length) {
      const chunk = await this.#chunk(() => `${this.#leftBytes} of ${length} bytes`);
      if (chunk === undefined)
        throw new Error(`${this.#name}: stdout ended ${length - this.#leftBytes} bytes early`);
      this.#left.push(chunk);
      this.#leftBytes += chunk.length;
    }
    const all = Buffer.concat(this.#left);
    this.#left = [all.subarray(length)];
    this.#leftBytes -= length;
    this.takenBytes += length;
    return all.subarray(0, length);
  }

  async takeText(length: number): Promise<string> {
    return (await this.take(length)).toString();
  }

  /** Resolves at the end of the output; rejects when anything comes before it. */
  async end(): Promise<void> {
    const chunk = this.#leftBytes > 0 ? this.#left[0] : await this.#chunk(() => "the end");
    if (chunk !== undefined)
      throw new Error(`${this.#name}: ${chunk.length} bytes on stdout where the end was due`);
  }

  /** Everything up to the end. */
  async rest(): Promise<Buffer> {
    const chunks = this.#left;
    for (;;) {
      const chunk = await this.#chunk(() => "the end");
      if (chunk === undefined) break;
      chunks.push(chunk);
    }
    this.#left = [];
    this.#leftBytes = 0;
    const all = Buffer.concat(chunks);
    this.takenBytes += all.length;
    return all;
  }

  /** Checks everything up to the end against `pattern` without keeping it, and returns how many bytes came in all. */
  async check(
    pattern: BytePattern,
    onChunk?: (totalBytes: number) => Promise<void> | undefined,
    timeoutMs: number = TIMEOUT_MS,
  ): Promise<number> {
    for (const left of this.#left) this.#compare(pattern, left);
    this.#left = [];
    this.#leftBytes = 0;
    for (;;) {
      const chunk = await this.#chunk(() => "the end", timeoutMs);
      if (chunk === undefined) return this.takenBytes;
      this.#compare(pattern, chunk);
      await onChunk?.(this.takenBytes);
    }
  }

  /** Closes this end: the process's next write fails. */
  close(): void {
    this.#stream?.destroy();
  }

  #compare(pattern: BytePattern, chunk: Buffer): void {
    pattern.check(this.takenBytes, chunk);
    this.takenBytes += chunk.length;
  }

  /** The next bytes in whatever portion they come, `undefined` at the end. */
  async #chunk(expected: () => string, timeoutMs: number = TIMEOUT_MS): Promise<Buffer | undefined> {
    const stream = this.#stream;
    if (stream === null) throw new Error(`${this.#name}: no stdout`);
    for (;;) {
      const chunk = stream.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#isOver) return undefined;
      const stirred = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await within(stirred, timeoutMs, () => `${this.#name}: nothing on stdout, waiting for ${expected()}`);
    }
  }
}

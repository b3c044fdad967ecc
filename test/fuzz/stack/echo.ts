/** An honest stream to something that sends back what comes, with every byte looked at. */
import type { Duplex } from "node:stream";
import { equalBytes } from "../../../src/base/bytes.ts";
import { broken } from "../target.ts";

export class EchoStream {
  readonly #stream: Duplex;
  #awaited: Uint8Array = new Uint8Array(0);
  #at = 0;
  #done: () => void = () => undefined;
  #failed: (error: Error) => void = () => undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", (bytes: Uint8Array) => this.#take(bytes));
    stream.on("error", (error) => this.#failed(error));
    stream.on("close", () => this.#failed(new Error("the honest stream has ended")));
  }

  /** Sends `bytes` and waits until they are back. */
  exchange(bytes: Uint8Array): Promise<void> {
    this.#awaited = bytes;
    this.#at = 0;
    return new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#failed = reject;
      this.#stream.write(bytes);
    });
  }

  #take(bytes: Uint8Array): void {
    const end = this.#at + bytes.length;
    try {
      if (end > this.#awaited.length || !equalBytes(bytes, this.#awaited.subarray(this.#at, end)))
        broken("the honest peer got other bytes than it sent");
    } catch (error) {
      this.#failed(error as Error);
      return;
    }
    this.#at = end;
    if (end === this.#awaited.length) this.#done();
  }
}

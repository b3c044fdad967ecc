/**
 * One UDP flow on the link: datagrams keep their boundaries and may get lost, as they may without us.
 *
 * A stream stands for the flow, and tells where it leads and when it is over. Datagrams travel as the link's own,
 * with the stream's number before them; those that are too long for that, and all until the peer has answered,
 * travel as pieces on the stream.
 */
import { concatBytes } from "../../base/bytes.ts";
import { Reader } from "../../base/reader.ts";
import { varintBytes, writeVarint } from "../../base/varint.ts";
import type { Link } from "../../net/link.ts";
import type { Stream } from "../../net/stream.ts";
import { readPiece } from "./head-reader.ts";

/** Longest UDP payload. */
const DATAGRAM_LIMIT_BYTES = 65_535;
/** What may wait on the stream before further datagrams are dropped, as a full queue drops them. */
const WAITING_LIMIT_BYTES = 512 * 1024;

export class FlowChannel {
  /** Monotonic time of the last datagram either way. */
  lastAtMs: number = performance.now();
  readonly #link: Link;
  readonly #stream: Stream;
  readonly #deliver: (bytes: Uint8Array) => void;
  #isConfirmed = false;

  /** @param deliver takes each datagram of the peer */
  constructor(link: Link, stream: Stream, deliver: (bytes: Uint8Array) => void) {
    this.#link = link;
    this.#stream = stream;
    this.#deliver = deliver;
  }

  get streamId(): number {
    return this.#stream.streamId;
  }

  send(bytes: Uint8Array): void {
    this.lastAtMs = performance.now();
    const { streamId } = this;
    const whole = varintBytes(streamId) + bytes.length;
    if (this.#isConfirmed && whole <= this.#link.maxDatagramBytes) {
      this.#link.send(withNumber(streamId, bytes));
    } else if (this.#stream.writableLength < WAITING_LIMIT_BYTES && this.#stream.writable) {
      this.#stream.write(withNumber(bytes.length, bytes));
    }
  }

  handleDatagram(bytes: Uint8Array): void {
    this.lastAtMs = performance.now();
    this.#deliver(bytes);
  }

  /** Both sides know the flow: reads the pieces on the stream until it ends. */
  async run(): Promise<void> {
    this.#isConfirmed = true;
    try {
      for (;;) this.handleDatagram(await readPiece(this.#stream, DATAGRAM_LIMIT_BYTES));
    } catch {
      // The flow is over.
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** The flow and the payload of a datagram of the link; undefined when it is none of a flow. */
export function readFlowDatagram(bytes: Uint8Array): { streamId: number; payload: Uint8Array } | undefined {
  const reader = new Reader(bytes);
  const streamId = reader.varint();
  return reader.ok ? { streamId, payload: reader.rest() } : undefined;
}

function withNumber(value: number, bytes: Uint8Array): Uint8Array {
  const head = new Uint8Array(varintBytes(value));
  writeVarint(head, 0, value);
  return concatBytes(head, bytes);
}

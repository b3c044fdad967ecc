/**
 * One UDP flow on the link. Datagrams keep their boundaries and may be lost, as on a direct path.
 *
 * A stream represents the flow: it names the target, and its end is the end of the flow. Datagrams
 * travel as unreliable datagrams of the link, prefixed with the number of the stream. Datagrams
 * that are too long for that travel as length-prefixed pieces on the stream, and so do all
 * datagrams until the peer has answered.
 */
import { concatBytes } from "../../../base/bytes.ts";
import { SrudpError } from "../../../base/errors.ts";
import { Reader } from "../../../base/reader.ts";
import { varintBytes, writeVarint } from "../../../base/varint.ts";
import type { Link } from "../../../link/link.ts";
import type { Stream } from "../../../link/stream.ts";
import { readPiece } from "../head-reader.ts";

/** Maximum UDP payload. */
const DATAGRAM_LIMIT_BYTES = 65_535;
/**
 * Bytes that may wait on the stream. Beyond that, datagrams are dropped, as a full queue drops
 * them.
 */
const WAITING_LIMIT_BYTES = 512 * 1024;

export interface FlowOptions {
  /** Receives each datagram of the peer while the flow is open; must not throw. */
  readonly deliver: (bytes: Uint8Array) => void;
  /** Called once, when the flow closes for any reason. */
  readonly onClose: () => void;
}

/** The flows of one link by stream ID, for dispatching the link's datagrams. */
export type Flows = Map<number, UdpAssociation>;

/** Owns the stream of a flow and its entry in the flow table of the link. No method throws. */
export class UdpAssociation {
  /** Monotonic time of the last datagram in either direction. */
  lastAtMs: number = performance.now();
  readonly #link: Link;
  readonly #stream: Stream;
  readonly #flows: Flows;
  readonly #options: FlowOptions;
  #isConfirmed = false;
  #isClosed = false;

  /** @param stream open, or already closed; the flow of a closed stream is closed */
  constructor(link: Link, stream: Stream, flows: Flows, options: FlowOptions) {
    this.#link = link;
    this.#stream = stream;
    this.#flows = flows;
    this.#options = options;
    flows.set(stream.streamId, this);
    // A stream that was reset before this call emits no further event, so the flow would never be
    // freed.
    if (stream.destroyed) this.close();
    else stream.once("close", () => this.close());
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  send(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.lastAtMs = performance.now();
    const { streamId } = this.#stream;
    const whole = varintBytes(streamId) + bytes.length;
    if (this.#isConfirmed && whole <= this.#link.maxDatagramBytes) {
      this.#link.send(withNumber(streamId, bytes));
    } else if (this.#stream.writableLength < WAITING_LIMIT_BYTES && this.#stream.writable) {
      this.#stream.write(withNumber(bytes.length, bytes));
    }
  }

  handleDatagram(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.lastAtMs = performance.now();
    this.#options.deliver(bytes);
  }

  /**
   * Reads the pieces on the stream until it ends. Called once both sides know the flow.
   *
   * @returns why the peer's target refused the flow (ERR_TARGET_…); undefined for every other end
   */
  async run(): Promise<SrudpError | undefined> {
    this.#isConfirmed = true;
    try {
      for (;;) this.handleDatagram(await readPiece(this.#stream, DATAGRAM_LIMIT_BYTES));
    } catch (thrown) {
      return thrown instanceof SrudpError && thrown.code.startsWith("ERR_TARGET_") ? thrown : undefined;
    } finally {
      this.close();
    }
  }

  /** Frees everything, once. @param error its code resets the stream */
  close(error?: SrudpError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { streamId } = this.#stream;
    if (this.#flows.get(streamId) === this) this.#flows.delete(streamId);
    this.#stream.destroy(error);
    this.#options.onClose();
  }
}

/**
 * The stream ID and the payload of a datagram of the link, or undefined if it belongs to no flow.
 */
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

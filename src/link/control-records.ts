/**
 * The kinds of streams, and the records of the control stream.
 *
 * Each stream begins with its kind, a varint. On the control stream records follow. Each record has
 * a type and a length, both varints, and a body. Unknown types are ignored, so that later versions
 * can add types. `forward-records.ts` defines the records of forwarding.
 */
import { concatBytes, copyBytes } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { varintBytes, writeVarint } from "../base/varint.ts";

/** First varint of every stream. */
export const STREAM_KIND = { pipe: 1, control: 2, application: 3, forward: 4, bench: 5 } as const;

/**
 * The bytes of one stream that the peer's output accepted: all of them, or those before the output
 * stopped.
 */
export interface Receipt {
  readonly streamId: number;
  readonly bytes: number;
  /** SHA-256 of those bytes, 32 bytes. */
  readonly sha256: Uint8Array;
}

/** Control records of the pipe, besides the receipt. */
export const PIPE_RECORD = {
  /** Empty body. The sender's end of the pipe is a program, and the program has exited. */
  programEnded: 32,
} as const;

/** Type of the record that carries a receipt. */
export const RECEIPT_TYPE = 1;
const SHA256_BYTES = 32;
/**
 * Longer than any record that this version defines. The limit bounds the bytes that a peer can make
 * this side buffer.
 */
const RECORD_LIMIT_BYTES = 4096;
const MAX_VARINT_BYTES = 8;
const NO_BYTES: Uint8Array = new Uint8Array(0);

/** Encodes the first bytes of a stream. */
export function encodeKind(kind: number): Uint8Array {
  const bytes = new Uint8Array(varintBytes(kind));
  writeVarint(bytes, 0, kind);
  return bytes;
}

/** Encodes a control record of any type. */
export function encodeRecord(type: number, body: Uint8Array): Uint8Array {
  const record = new Uint8Array(varintBytes(type) + varintBytes(body.length) + body.length);
  const at = writeVarint(record, 0, type);
  record.set(body, writeVarint(record, at, body.length));
  return record;
}

/** Encodes a receipt as a control record. */
export function encodeReceipt(receipt: Receipt): Uint8Array {
  const body = new Uint8Array(varintBytes(receipt.streamId) + varintBytes(receipt.bytes) + SHA256_BYTES);
  const at = writeVarint(body, 0, receipt.streamId);
  body.set(receipt.sha256, writeVarint(body, at, receipt.bytes));
  return encodeRecord(RECEIPT_TYPE, body);
}

/** A record of the control stream. */
export type ControlRecord =
  | { readonly kind: "receipt"; readonly receipt: Receipt }
  /** Any other type. `body` is a copy. */
  | { readonly kind: "other"; readonly type: number; readonly body: Uint8Array };

/** Reassembles the records of a control stream from the pieces that arrive. */
export class ControlReader {
  readonly #reader: Reader = new Reader();
  #bytes: Uint8Array = NO_BYTES;
  #at = 0;

  /** Adds received bytes. Call `next` until it returns undefined before `bytes` are reused. */
  push(bytes: Uint8Array): void {
    const isEmpty = this.#at === this.#bytes.length;
    this.#bytes = isEmpty ? bytes : concatBytes(this.#bytes.subarray(this.#at), bytes);
    this.#at = 0;
  }

  /**
   * The next record, or undefined until more bytes arrive. @throws SrudpError ERR_PROTOCOL for an
   * invalid record
   */
  next(): ControlRecord | undefined {
    const bytes = this.#bytes;
    const at = this.#at;
    const reader = this.#reader;
    reader.reset(bytes, at, bytes.length);
    const type = reader.varint();
    const length = reader.varint();
    if (!reader.ok) {
      // Two varints fit into 16 bytes. With that many bytes, the head is not incomplete but
      // invalid.
      if (bytes.length - at >= 2 * MAX_VARINT_BYTES) throw new SrudpError("ERR_PROTOCOL", "control record");
    } else {
      if (length > RECORD_LIMIT_BYTES) throw new SrudpError("ERR_PROTOCOL", "control record too long");
      if (reader.remaining >= length) {
        this.#at = reader.at + length;
        const body = reader.take(length);
        if (type === RECEIPT_TYPE) return { kind: "receipt", receipt: decodeReceipt(body) };
        return { kind: "other", type, body: copyBytes(body) };
      }
    }
    this.#bytes = copyBytes(bytes, at);
    this.#at = 0;
    return undefined;
  }
}

function decodeReceipt(body: Uint8Array): Receipt {
  const reader = new Reader(body);
  const streamId = reader.varint();
  const bytes = reader.varint();
  const sha256 = reader.take(SHA256_BYTES).slice();
  if (!reader.ok || reader.remaining > 0) throw new SrudpError("ERR_PROTOCOL", "receipt");
  return { streamId, bytes, sha256 };
}

/**
 * What streams are for, and the records of the control stream.
 *
 * Each stream opens with its kind, a varint. The control stream then carries records: type and length as
 * varints, and the body. Types that nobody here knows are passed over, so that later versions may add some;
 * `forward-wire.ts` has those that forwarding adds.
 */
import { concatBytes, copyBytes } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { varintBytes, writeVarint } from "../base/varint.ts";

/** First varint of every stream. */
export const STREAM_KIND = { pipe: 1, control: 2, application: 3, forward: 4, bench: 5 } as const;

/** What the peer's output took of one stream: all its bytes, or those up to where it stopped. */
export interface Receipt {
  readonly streamId: number;
  readonly bytes: number;
  /** SHA-256 of those bytes, 32 bytes. */
  readonly sha256: Uint8Array;
}

/** Control records of the pipe, beside the receipt. */
export const PIPE_RECORD = {
  /** Empty body: the sender's end of the pipe is a program, and it has ended by itself. */
  programEnded: 32,
} as const;

/** Type of the record that carries a receipt. */
export const RECEIPT_TYPE = 1;
const SHA256_BYTES = 32;
/** Longer than any record that this version knows: a peer that announces more is not building one up here. */
const RECORD_LIMIT_BYTES = 4096;
const MAX_VARINT_BYTES = 8;

/** The stream's first bytes. */
export function encodeKind(kind: number): Uint8Array {
  const bytes = new Uint8Array(varintBytes(kind));
  writeVarint(bytes, 0, kind);
  return bytes;
}

/** A control record of any type. */
export function encodeRecord(type: number, body: Uint8Array): Uint8Array {
  const record = new Uint8Array(varintBytes(type) + varintBytes(body.length) + body.length);
  const at = writeVarint(record, 0, type);
  record.set(body, writeVarint(record, at, body.length));
  return record;
}

/** The control record of `receipt`. */
export function encodeReceipt(receipt: Receipt): Uint8Array {
  const body = new Uint8Array(varintBytes(receipt.streamId) + varintBytes(receipt.bytes) + SHA256_BYTES);
  const at = writeVarint(body, 0, receipt.streamId);
  body.set(receipt.sha256, writeVarint(body, at, receipt.bytes));
  return encodeRecord(RECEIPT_TYPE, body);
}

/** Who takes the records of a control stream. */
export interface RecordTaker {
  handleReceipt(receipt: Receipt): void;
  /** Any other type; `body` is a copy. */
  handleRecord(type: number, body: Uint8Array): void;
}

/** Puts the records of a control stream together from the pieces that arrive. */
export class ControlReader {
  readonly #taker: RecordTaker;
  readonly #reader: Reader = new Reader();
  #held: Uint8Array = new Uint8Array(0);

  constructor(taker: RecordTaker) {
    this.#taker = taker;
  }

  /** Takes the next bytes in. @throws SrudpError ERR_PROTOCOL for a record that no honest peer sends */
  take(bytes: Uint8Array): void {
    const all = this.#held.length === 0 ? bytes : concatBytes(this.#held, bytes);
    let at = 0;
    for (;;) {
      const reader = this.#reader;
      reader.reset(all, at, all.length);
      const type = reader.varint();
      const length = reader.varint();
      if (!reader.ok) {
        // Two varints fit into 16 bytes: with those in hand the head is not incomplete but senseless.
        if (all.length - at >= 2 * MAX_VARINT_BYTES) throw new SrudpError("ERR_PROTOCOL", "control record");
        break;
      }
      if (length > RECORD_LIMIT_BYTES) throw new SrudpError("ERR_PROTOCOL", "control record too long");
      if (reader.remaining < length) break;
      at = reader.at + length;
      const body = reader.take(length);
      if (type === RECEIPT_TYPE) this.#taker.handleReceipt(decodeReceipt(body));
      else this.#taker.handleRecord(type, copyBytes(body));
    }
    this.#held = copyBytes(all, at);
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

/**
 * What streams are for, and the records of the control stream.
 *
 * Each stream opens with its kind, a varint. The control stream then carries records: type and length as
 * varints, and the body. Types that are not known are passed over, so that later versions may add some.
 */
import { concatBytes } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { varintBytes, writeVarint } from "../base/varint.ts";

/** First varint of every stream. */
export const STREAM_KIND = { pipe: 1, control: 2, forward: 3 } as const;

/** What the peer's output took of one stream: all its bytes, or those up to where it stopped. */
export interface Receipt {
  readonly streamId: number;
  readonly bytes: number;
  /** SHA-256 of those bytes, 32 bytes. */
  readonly sha256: Uint8Array;
}

const RECEIPT_TYPE = 1;
const SHA256_BYTES = 32;
/** Longer than any record that this version knows: a peer that announces more is not building one up here. */
const RECORD_LIMIT_BYTES = 4096;
const VARINT_MOST_BYTES = 8;

/** The stream's first bytes. */
export function encodeKind(kind: number): Uint8Array {
  const bytes = new Uint8Array(varintBytes(kind));
  writeVarint(bytes, 0, kind);
  return bytes;
}

/** The control record of `receipt`. */
export function encodeReceipt(receipt: Receipt): Uint8Array {
  const length = varintBytes(receipt.streamId) + varintBytes(receipt.bytes) + SHA256_BYTES;
  const record = new Uint8Array(varintBytes(RECEIPT_TYPE) + varintBytes(length) + length);
  let at = writeVarint(record, 0, RECEIPT_TYPE);
  at = writeVarint(record, at, length);
  at = writeVarint(record, at, receipt.streamId);
  at = writeVarint(record, at, receipt.bytes);
  record.set(receipt.sha256, at);
  return record;
}

/** Puts the records of a control stream together from the pieces that arrive. */
export class ControlReader {
  readonly #onReceipt: (receipt: Receipt) => void;
  readonly #reader: Reader = new Reader();
  #held: Uint8Array = new Uint8Array(0);

  constructor(onReceipt: (receipt: Receipt) => void) {
    this.#onReceipt = onReceipt;
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
        if (all.length - at >= 2 * VARINT_MOST_BYTES) throw new SrudpError("ERR_PROTOCOL", "control record");
        break;
      }
      if (length > RECORD_LIMIT_BYTES) throw new SrudpError("ERR_PROTOCOL", "control record too long");
      if (reader.remaining < length) break;
      at = reader.at + length;
      if (type === RECEIPT_TYPE) this.#onReceipt(decodeReceipt(reader.take(length)));
    }
    this.#held = all.slice(at);
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

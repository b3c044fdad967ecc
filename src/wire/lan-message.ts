/**
 * Multicast messages between two peers on one network: the rendezvous point at which the sender
 * waits, and its sealed blob.
 *
 *     0        4         5      6               38               46         48
 *     +--------+---------+------+---------------+----------------+----------+---------
 *     | "SRDP" | version | side | rendezvous    | digest of the  | length   | blob …
 *     |        |         |      | point, 32     | peer's newest  |          |
 *     +--------+---------+------+---------------+----------------+----------+---------
 */
import { copyBytes, equalBytes, utf8Encode, writeU16 } from "../base/bytes.ts";
import { Reader } from "../base/reader.ts";
import { BLOB_LIMIT_BYTES, DIGEST_BYTES, type MailboxSide, POINT_NAME_BYTES } from "./mailbox-messages.ts";

const MAGIC: Uint8Array = utf8Encode("SRDP");
const VERSION = 0;
const HEAD_BYTES: number = MAGIC.length + 2 + POINT_NAME_BYTES + DIGEST_BYTES + 2;

export interface LanMessage {
  readonly side: MailboxSide;
  /** Identifies the rendezvous point on LAN signalling channels only, 32 bytes. */
  readonly point: Uint8Array;
  /** Digest of the peer's newest blob that the sender has; zeros if it has none. */
  readonly peerDigest: Uint8Array;
  /** Empty if there is none yet. */
  readonly blob: Uint8Array;
}

export function encodeLanMessage({ side, point, peerDigest, blob }: LanMessage): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + blob.length);
  bytes.set(MAGIC);
  bytes[MAGIC.length] = VERSION;
  bytes[MAGIC.length + 1] = side;
  let at = MAGIC.length + 2;
  bytes.set(point, at);
  at += POINT_NAME_BYTES;
  bytes.set(peerDigest, at);
  at = writeU16(bytes, at + DIGEST_BYTES, blob.length);
  bytes.set(blob, at);
  return bytes;
}

/** The message in exactly these `bytes`, with copied fields; undefined for any other bytes. */
export function decodeLanMessage(bytes: Uint8Array): LanMessage | undefined {
  const reader = new Reader(bytes);
  const isOurs = equalBytes(reader.take(MAGIC.length), MAGIC) && reader.u8() === VERSION;
  const side = reader.u8();
  const point = reader.take(POINT_NAME_BYTES);
  const peerDigest = reader.take(DIGEST_BYTES);
  const length = reader.u16();
  const blob = reader.take(length);
  if (!isOurs || !reader.ok || reader.remaining > 0 || length > BLOB_LIMIT_BYTES) return undefined;
  if (side !== 0 && side !== 1) return undefined;
  return { side, point: copyBytes(point), peerDigest: copyBytes(peerDigest), blob: copyBytes(blob) };
}

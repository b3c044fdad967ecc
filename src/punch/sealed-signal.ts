/**
 * A signal as stored by a signalling channel: sealed, so that the channel can neither read, change
 * nor reflect it.
 */
import { utf8Encode } from "../base/bytes.ts";
import { LABELS, labelOf } from "../crypto/labels.ts";
import { openBlob, sealBlob } from "../crypto/sealed-blob.ts";
import type { PunchRole } from "../wire/check.ts";
import { decodeSignal, encodeSignal, type Signal } from "../wire/signal.ts";

const NONCE_BYTES = 24;

/**
 * At most 936 bytes.
 *
 * @param key 32 bytes, derived for the rendezvous point
 */
export function sealSignal(
  key: Uint8Array,
  random: (byteLength: number) => Uint8Array,
  signal: Signal,
): Uint8Array {
  return sealBlob(key, random(NONCE_BYTES), contextOf(signal.role), encodeSignal(signal));
}

/** The signal sealed by the peer, whose role is `author`; undefined for any other bytes. */
export function openSignal(key: Uint8Array, author: PunchRole, blob: Uint8Array): Signal | undefined {
  const bytes = openBlob(key, contextOf(author), blob);
  const signal = bytes === undefined ? undefined : decodeSignal(bytes);
  return signal?.role === author ? signal : undefined;
}

// The role is in the associated data, so a reflected local signal does not open.
function contextOf(role: PunchRole): Uint8Array {
  return utf8Encode(labelOf(LABELS.signal, role));
}

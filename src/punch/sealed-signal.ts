/** A signal as it lies with a carrier: sealed, so that the carrier can neither read nor change nor turn it round. */
import { utf8Encode } from "../base/bytes.ts";
import { LABELS, labelOf } from "../crypto/labels.ts";
import { openBlob, sealBlob } from "../crypto/sealed-blob.ts";
import type { PunchRole } from "../wire/check.ts";
import { decodeSignal, encodeSignal, type Signal } from "../wire/signal.ts";

const NONCE_BYTES = 24;

/**
 * At most 936 bytes.
 *
 * @param key 32 bytes of the meeting place
 */
export function sealSignal(
  key: Uint8Array,
  random: (byteLength: number) => Uint8Array,
  signal: Signal,
): Uint8Array {
  return sealBlob(key, random(NONCE_BYTES), contextOf(signal.role), encodeSignal(signal));
}

/** The signal that the other side, whose role is `author`, sealed; undefined for anything else. */
export function openSignal(key: Uint8Array, author: PunchRole, blob: Uint8Array): Signal | undefined {
  const bytes = openBlob(key, contextOf(author), blob);
  const signal = bytes === undefined ? undefined : decodeSignal(bytes);
  return signal?.role === author ? signal : undefined;
}

// The role is in the associated data: one's own signal that comes back does not open.
function contextOf(role: PunchRole): Uint8Array {
  return utf8Encode(labelOf(LABELS.signal, role));
}

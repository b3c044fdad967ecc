/** What places and blobs are known by, to servers and their clients. */
import { createHash } from "node:crypto";
import { copyBytes } from "../base/bytes.ts";
import { DIGEST_BYTES } from "../wire/mailbox-messages.ts";

/** What a map knows the bytes of a name by. */
export function nameKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}

/** Names a blob. */
export function digestOf(blob: Uint8Array): Uint8Array {
  return copyBytes(createHash("sha256").update(blob).digest(), 0, DIGEST_BYTES);
}

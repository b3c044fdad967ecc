/** The names of rendezvous points and blobs, for servers and clients. */
import { createHash } from "node:crypto";
import { copyBytes } from "../base/bytes.ts";
import { DIGEST_BYTES } from "../wire/mailbox-messages.ts";

/** The map key for the bytes of a name. */
export function nameKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}

/** The name of a blob: its digest. */
export function digestOf(blob: Uint8Array): Uint8Array {
  return copyBytes(createHash("sha256").update(blob).digest(), 0, DIGEST_BYTES);
}

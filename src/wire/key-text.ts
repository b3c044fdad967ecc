/**
 * Keys and secrets as text: bech32m, whose checksum finds every slip of a hand that copies.
 *
 *     srudp1…   public key of an identity: may be shown to anyone
 *     srudps1…  256-bit secret that two sides share beforehand: confidential
 *     srudpi1…  secret key of an identity, as its file holds it: confidential, never leaves the machine
 *
 * A prefix of its own for each keeps one from being taken for another.
 */
import { bech32m } from "@scure/base"; // BIP 350
import { type ErrorCode, SrudpError } from "../base/errors.ts";

/** Bytes of a key or a secret. */
const KEY_BYTES = 32;

const PUBLIC = "srudp";
const SECRET = "srudps";
const IDENTITY = "srudpi";
/** Longest text that is looked at; a secret takes 65 characters. */
const MAX_TEXT_LENGTH = 200;

/** `srudp1…` of a 32-byte public key. */
export function encodeKey(publicKey: Uint8Array): string {
  return encode(PUBLIC, publicKey);
}

/**
 * The 32 bytes of a public key.
 *
 * @throws SrudpError ERR_KEY_FORMAT; the text is never repeated in it
 */
export function decodeKey(text: string): Uint8Array {
  return decode(PUBLIC, text, "ERR_KEY_FORMAT");
}

/** `srudp1` and the first eight characters that differ: enough to compare by eye, for logs and prose. */
export function shortKey(publicKey: Uint8Array): string {
  return `${encodeKey(publicKey).slice(0, PUBLIC.length + 1 + 8)}…`;
}

/** `srudps1…` of a 32-byte shared secret. */
export function encodeSecret(secret: Uint8Array): string {
  return encode(SECRET, secret);
}

/**
 * The 32 bytes of a shared secret.
 *
 * @throws SrudpError ERR_SECRET_FORMAT; the text is never repeated in it
 */
export function decodeSecret(text: string): Uint8Array {
  return decode(SECRET, text, "ERR_SECRET_FORMAT");
}

/** `srudpi1…` of an identity's 32-byte secret key. */
export function encodeIdentity(secretKey: Uint8Array): string {
  return encode(IDENTITY, secretKey);
}

/**
 * The 32 bytes of an identity's secret key.
 *
 * @throws SrudpError ERR_KEY_FILE; the text is never repeated in it
 */
export function decodeIdentity(text: string): Uint8Array {
  return decode(IDENTITY, text, "ERR_KEY_FILE");
}

function encode(prefix: string, bytes: Uint8Array): string {
  if (bytes.length !== KEY_BYTES) throw new SrudpError("ERR_INTERNAL", `A key of ${bytes.length} bytes`);
  return bech32m.encodeFromBytes(prefix, bytes);
}

function decode(prefix: string, text: string, code: ErrorCode): Uint8Array {
  // Not trim(), which takes a byte order mark for a blank: a file that begins with one is to be refused.
  const trimmed = text.length > MAX_TEXT_LENGTH ? "" : text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
  // The library's own error quotes its input, which may be a secret: it is neither passed on nor chained.
  const words = bech32m.decodeUnsafe(trimmed);
  const bytes = words === undefined ? undefined : bech32m.fromWordsUnsafe(words.words);
  if (words === undefined || !(bytes instanceof Uint8Array) || bytes.length !== KEY_BYTES)
    throw new SrudpError(code);
  if (words.prefix !== prefix) throw new SrudpError(code, KINDS[words.prefix]);
  return bytes;
}

/** What stands before the sentence when a text is sound but of another kind. */
const KINDS: Readonly<Record<string, string>> = {
  [PUBLIC]: "This is a public key",
  [SECRET]: "This is a shared secret, which nobody else may see",
  [IDENTITY]: "This is the secret key of an identity, which nobody else may see",
};

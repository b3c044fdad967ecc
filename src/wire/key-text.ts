/**
 * Keys and secrets as text: bech32m, whose checksum detects copying mistakes.
 *
 *     srudp1…   public key of an identity: not confidential
 *     srudps1…  256-bit pre-shared secret of two peers: confidential
 *     srudpi1…  secret key of an identity, as stored in its file: confidential, never leaves the machine
 *
 * Each kind has its own prefix, so that one is not mistaken for another.
 */
import { bech32m } from "@scure/base"; // BIP 350
import { type ErrorCode, SrudpError } from "../base/errors.ts";

/** Bytes of a key or a secret. */
const KEY_BYTES = 32;

const PUBLIC = "srudp";
const SECRET = "srudps";
const IDENTITY = "srudpi";
/** Longer texts are rejected unread. A secret has 65 characters. */
const MAX_TEXT_LENGTH = 200;

/** `srudp1…` of a 32-byte public key. */
export function encodeKey(publicKey: Uint8Array): string {
  return encode(PUBLIC, publicKey);
}

/**
 * The 32 bytes of a public key.
 *
 * @throws SrudpError ERR_KEY_FORMAT; the message never repeats the text
 */
export function decodeKey(text: string): Uint8Array {
  return decode(PUBLIC, text, "ERR_KEY_FORMAT");
}

/**
 * `srudp1` and the first eight characters after it: enough to compare by eye, for logs and
 * messages.
 */
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
 * @throws SrudpError ERR_SECRET_FORMAT; the message never repeats the text
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
 * @throws SrudpError ERR_KEY_FILE; the message never repeats the text
 */
export function decodeIdentity(text: string): Uint8Array {
  return decode(IDENTITY, text, "ERR_KEY_FILE");
}

function encode(prefix: string, bytes: Uint8Array): string {
  if (bytes.length !== KEY_BYTES) throw new SrudpError("ERR_INTERNAL", `A key of ${bytes.length} bytes`);
  return bech32m.encodeFromBytes(prefix, bytes);
}

function decode(prefix: string, text: string, code: ErrorCode): Uint8Array {
  // Not trim(), which treats a byte order mark as a blank: a file that begins with one must be
  // refused.
  const trimmed = text.length > MAX_TEXT_LENGTH ? "" : text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, "");
  // The library's error quotes its input, which may be a secret, so it is neither shown nor
  // chained.
  const words = bech32m.decodeUnsafe(trimmed);
  const bytes = words === undefined ? undefined : bech32m.fromWordsUnsafe(words.words);
  if (words === undefined || !(bytes instanceof Uint8Array) || bytes.length !== KEY_BYTES)
    throw new SrudpError(code);
  if (words.prefix !== prefix) throw new SrudpError(code, KINDS[words.prefix]);
  return bytes;
}

/** Prepended to the message when a text is valid but of another kind. */
const KINDS: Readonly<Record<string, string>> = {
  [PUBLIC]: "This is a public key",
  [SECRET]: "This is a shared secret, which nobody else may see",
  [IDENTITY]: "This is the secret key of an identity, which nobody else may see",
};

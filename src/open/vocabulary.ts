/**
 * Re-exports that callers of this layer need: errors, and the text formats of codes, keys and
 * secrets.
 */
export { ERRORS, type ErrorCode, type ErrorOrigin, type ErrorRow, SrudpError } from "../base/errors.ts";
export type { KeyPair } from "../crypto/primitives.ts";
export { completeWord, generateCode, parseCode } from "../wire/code.ts";
export { decodeKey, decodeSecret, encodeKey, encodeSecret } from "../wire/key-text.ts";

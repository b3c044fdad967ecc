/** What a caller needs of the layers below: errors, and codes, keys and secrets as text. */
export { ERRORS, type ErrorCode, type ErrorOrigin, type ErrorRow, SrudpError } from "../base/errors.ts";
export type { KeyPair } from "../crypto/primitives.ts";
export { completeWord, generateCode, parseCode } from "../wire/code.ts";
export { decodeKey, decodeSecret, encodeKey, encodeSecret } from "../wire/key-text.ts";

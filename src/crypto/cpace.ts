/**
 * CPace, suite CPACE-X25519-SHA512: derives a strong key from a code or passphrase that two people
 * share. An attacker can test one guess per run.
 *
 * The symmetric variant (`_oc`): there are no roles, so either side may begin. Key confirmation is
 * not part of this module; the tag of the handshake's first Noise message provides it.
 * Read first: draft-irtf-cfrg-cpace-21 §7, §8.2.
 */
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes, equalBytes, utf8Encode } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import { mapToCurve25519 } from "./elligator2.ts";
import { type X25519, X25519_BYTES } from "./primitives.ts";

const DOMAIN = utf8Encode("CPace255"); // §8.2
const KEY_DOMAIN = utf8Encode("CPace255_ISK"); // §7.2
const ORDERED_TAG = utf8Encode("oc"); // §6.3
/** Input block of SHA-512. */
const BLOCK_BYTES = 128;

export interface CpaceOptions {
  /** The low-entropy secret, including its domain label; any length. PRS in the draft. */
  readonly password: Uint8Array;
  /** Context that both sides know and do not send. CI in the draft. */
  readonly channelId: Uint8Array;
  /** Public, fresh for this run, and known to both sides before it. sid in the draft. */
  readonly sessionId: Uint8Array;
  /** The local side's public data, sent along with its share. ADa in the draft. */
  readonly associatedData: Uint8Array;
  /** 32 random bytes, fresh for this run; copied. */
  readonly scalar: Uint8Array;
  readonly x25519: X25519;
}

/** One side of one run. */
export class Cpace {
  /** The public share, 32 bytes, to be sent with the associated data. */
  readonly share: Uint8Array;
  readonly #x25519: X25519;
  readonly #sessionId: Uint8Array;
  readonly #transcriptPart: Uint8Array;
  /** Undefined once a key was derived. */
  #scalar: Uint8Array | undefined;

  constructor(options: CpaceOptions) {
    if (options.scalar.length !== X25519_BYTES) throw new SrudpError("ERR_INTERNAL", "a scalar has 32 bytes");
    const generator = cpaceGenerator(options.password, options.channelId, options.sessionId);
    const share = options.x25519.sharedSecret(options.scalar, generator);
    // A hash that maps to a point of low order is as unlikely as guessing a 250-bit key.
    if (share === undefined) throw new SrudpError("ERR_INTERNAL", "the CPace generator is of low order");
    this.share = share;
    this.#x25519 = options.x25519;
    this.#sessionId = Uint8Array.from(options.sessionId);
    this.#transcriptPart = lengthValueConcat(share, options.associatedData);
    this.#scalar = Uint8Array.from(options.scalar);
  }

  /**
   * The intermediate session key, 64 bytes. Both sides derive the same key only if password,
   * channel, session and transcript are equal.
   *
   * Returns undefined, and the run continues, for a share of the wrong length, a point of low
   * order, or the local share reflected; none of these tests a guess. Throws ERR_INTERNAL once a
   * key was returned: a second answer to the same share would be a second guess.
   */
  finish(peerShare: Uint8Array, peerAssociatedData: Uint8Array): Uint8Array | undefined {
    if (this.#scalar === undefined) throw new SrudpError("ERR_INTERNAL", "this CPace run is over");
    if (peerShare.length !== X25519_BYTES || isSamePoint(peerShare, this.share)) return undefined;
    const secret = this.#x25519.sharedSecret(this.#scalar, peerShare);
    if (secret === undefined) return undefined;
    this.#scalar.fill(0);
    this.#scalar = undefined;
    const peerPart = lengthValueConcat(peerShare, peerAssociatedData);
    return intermediateKey(this.#sessionId, secret, orderedConcat(this.#transcriptPart, peerPart));
  }
}

/** The generator (u-coordinate, 32 bytes) derived from the password. §8.1, §8.2 */
export function cpaceGenerator(
  password: Uint8Array,
  channelId: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  const headBytes = lengthValueConcat(DOMAIN).length + lengthValueConcat(password).length;
  // The first hash block holds only domain, password and padding, for any length of the password.
  const padding = new Uint8Array(Math.max(0, BLOCK_BYTES - headBytes - 1));
  const hash = sha512(lengthValueConcat(DOMAIN, password, padding, channelId, sessionId));
  return mapToCurve25519(hash.subarray(0, X25519_BYTES));
}

/** The key of a run, derived from the shared point and the exchanged shares. §7.2 */
export function intermediateKey(
  sessionId: Uint8Array,
  secret: Uint8Array,
  transcript: Uint8Array,
): Uint8Array {
  return sha512(concatBytes(lengthValueConcat(KEY_DOMAIN, sessionId, secret), transcript));
}

/** Each part, preceded by its length in LEB128. §6.3, lv_cat */
export function lengthValueConcat(...parts: readonly Uint8Array[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const part of parts) {
    const length: number[] = [];
    let rest = part.length;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) length.push((rest % 0x80) | 0x80);
    length.push(rest);
    pieces.push(Uint8Array.from(length), part);
  }
  return concatBytes(...pieces);
}

/**
 * Concatenates both strings, the lexicographically larger first, so that neither side chooses the
 * order. §6.3, o_cat
 */
export function orderedConcat(a: Uint8Array, b: Uint8Array): Uint8Array {
  return isLarger(a, b) ? concatBytes(ORDERED_TAG, a, b) : concatBytes(ORDERED_TAG, b, a);
}

/**
 * Whether a received share equals a computed one. The computed share has bit 255 clear; X25519
 * ignores that bit. RFC 7748 §5
 */
function isSamePoint(received: Uint8Array, computed: Uint8Array): boolean {
  const canonical = Uint8Array.from(received);
  canonical[X25519_BYTES - 1]! &= 0x7f;
  return equalBytes(canonical, computed);
}

function isLarger(a: Uint8Array, b: Uint8Array): boolean {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! > b[i]!;
  return a.length > b.length;
}

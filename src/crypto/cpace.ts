/**
 * CPace, suite CPACE-X25519-SHA512: from a code or passphrase that two people share to a key that nobody
 * else has, at one guess per run for whoever tries.
 *
 * The symmetric variant (`_oc`): no roles, so both sides may begin. Key confirmation is not part of this; the
 * handshake gets it from the tag of its first Noise message.
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
  /** The low-entropy secret, domain label included; any length. PRS of the draft. */
  readonly password: Uint8Array;
  /** What both sides know of the channel and neither sends. CI of the draft. */
  readonly channelId: Uint8Array;
  /** Public, fresh for this run, and known to both before it. sid of the draft. */
  readonly sessionId: Uint8Array;
  /** This side's public data, sent along with its share. ADa of the draft. */
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
  /** Undefined once a key was made. */
  #scalar: Uint8Array | undefined;

  constructor(options: CpaceOptions) {
    if (options.scalar.length !== X25519_BYTES) throw new SrudpError("ERR_INTERNAL", "a scalar has 32 bytes");
    const generator = cpaceGenerator(options.password, options.channelId, options.sessionId);
    const share = options.x25519.sharedSecret(options.scalar, generator);
    // A hash that maps to a point of low order is as likely as guessing a 250-bit key.
    if (share === undefined) throw new SrudpError("ERR_INTERNAL", "the CPace generator is of low order");
    this.share = share;
    this.#x25519 = options.x25519;
    this.#sessionId = Uint8Array.from(options.sessionId);
    this.#transcriptPart = lengthValueConcat(share, options.associatedData);
    this.#scalar = Uint8Array.from(options.scalar);
  }

  /**
   * The intermediate session key, 64 bytes, equal on both sides only if password, channel, session and
   * transcript are. Undefined, and the run goes on, for a share of the wrong length, a point of low order and
   * the own share sent back (none of which tests a guess). Throws ERR_INTERNAL once a key was returned: a
   * second answer to the same share would be a second guess.
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

/** The generator (u-coordinate, 32 bytes) that the password picks. §8.1, §8.2 */
export function cpaceGenerator(
  password: Uint8Array,
  channelId: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  const headBytes = lengthValueConcat(DOMAIN).length + lengthValueConcat(password).length;
  // The first hash block holds nothing but domain, password and padding, whatever the password's length.
  const padding = new Uint8Array(Math.max(0, BLOCK_BYTES - headBytes - 1));
  const hash = sha512(lengthValueConcat(DOMAIN, password, padding, channelId, sessionId));
  return mapToCurve25519(hash.subarray(0, X25519_BYTES));
}

/** The key of a run from what both sides computed and exchanged. §7.2 */
export function intermediateKey(
  sessionId: Uint8Array,
  secret: Uint8Array,
  transcript: Uint8Array,
): Uint8Array {
  return sha512(concatBytes(lengthValueConcat(KEY_DOMAIN, sessionId, secret), transcript));
}

/** Each part behind its length in LEB128. §6.3, lv_cat */
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

/** Both strings in an order that neither side chooses, the lexicographically larger first. §6.3, o_cat */
export function orderedConcat(a: Uint8Array, b: Uint8Array): Uint8Array {
  return isLarger(a, b) ? concatBytes(ORDERED_TAG, a, b) : concatBytes(ORDERED_TAG, b, a);
}

/** Whether a received share is a computed one, whose bit 255 is clear; X25519 ignores that bit. RFC 7748 §5 */
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

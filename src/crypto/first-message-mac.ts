/**
 * Protects a responder before any keys exist. mac1 shows that a peer knows the responder's key or
 * secret. A cookie shows that the peer receives packets at its source address.
 *
 * After WireGuard (Donenfeld, NDSS 2017, §5.3, §5.4.4, §5.4.7). Deviates: the cookie is sealed
 * under a key derived from the initiator's own random values instead of the responder's public key,
 * because in code mode neither side knows the other's key. An attacker that does not see the first
 * message cannot forge a cookie for it.
 */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8Encode, writeU16 } from "../base/bytes.ts";
import { LABELS } from "./labels.ts";

/** Length of mac1, of a cookie, and of the field that proves possession of the cookie. */
export const GATE_MAC_BYTES = 16;
/** Length of the nonce of a sealed cookie: random nonces are safe at this length. */
export const COOKIE_NONCE_BYTES = 24;

const KEY_BYTES = 32;
const GATE_LABEL = { secret: LABELS.gateSecret, key: LABELS.gateKey, public: LABELS.gatePublic };
const COOKIE_LABEL: Uint8Array = utf8Encode(LABELS.cookie);

/**
 * The secret from which a gate key is derived: a shared secret, the responder's public key, or
 * nothing.
 */
export type GateKind = "secret" | "key" | "public";

/**
 * The key (32 bytes) of mac1. Never derived from a code: an attacker could then test all codes
 * against one first message.
 */
export function gateKey(kind: GateKind, material: Uint8Array = new Uint8Array(0)): Uint8Array {
  return hkdf(sha256, material, undefined, utf8Encode(GATE_LABEL[kind]), KEY_BYTES);
}

/** HMAC-SHA256 under one key, truncated to 16 bytes. The key's blocks are hashed only once. */
export class GateMac {
  readonly #keyed: ReturnType<typeof hmac.create>;

  constructor(key: Uint8Array) {
    this.#keyed = hmac.create(sha256, key);
  }

  /** 16 bytes over `covered`. */
  of(covered: Uint8Array): Uint8Array {
    return this.#keyed.clone().update(covered).digest().subarray(0, GATE_MAC_BYTES);
  }
}

/** Identifies one attempt of an initiator; random, and visible only on the path. */
export interface Attempt {
  readonly tieBreak: Uint8Array;
  readonly sourceId: Uint8Array;
}

/** The cookie for this attempt from this address, under the responder's current secret. */
export function cookieOf(secret: GateMac, attempt: Attempt, address: string, port: number): Uint8Array {
  const portBytes = new Uint8Array(2);
  writeU16(portBytes, 0, port);
  return secret.of(concatBytes(attempt.tieBreak, attempt.sourceId, portBytes, utf8Encode(address)));
}

/** The field that proves possession of the cookie. It covers mac1, which covers the message. */
export function proofOfCookie(cookie: Uint8Array, mac1: Uint8Array): Uint8Array {
  return new GateMac(cookie).of(mac1);
}

/** The cookie with its tag (32 bytes), bound to the message that it answers. */
export function sealCookie(
  attempt: Attempt,
  mac1: Uint8Array,
  nonce: Uint8Array,
  cookie: Uint8Array,
): Uint8Array {
  return xchacha20poly1305(sealKeyOf(attempt), nonce, mac1).encrypt(cookie);
}

/** The cookie; undefined if it was not sealed for this message. */
export function openCookie(
  attempt: Attempt,
  mac1: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  try {
    return xchacha20poly1305(sealKeyOf(attempt), nonce, mac1).decrypt(sealed);
  } catch {
    // The packet's layout fixes the lengths, so the tag did not match.
    return undefined;
  }
}

function sealKeyOf({ tieBreak, sourceId }: Attempt): Uint8Array {
  return hmac(sha256, COOKIE_LABEL, concatBytes(tieBreak, sourceId));
}

/**
 * Where two peers meet: what they share, turned into a name that says nothing about it and into the keys
 * that go with the place.
 *
 * A code has few bits, so its place is made by scrypt with the time in the salt: whoever sees the name of a
 * place pays 0.3 s and 64 MiB for each code tried, and no table helps, since it is good for ten minutes. All
 * else that two can share (a Diffie-Hellman secret, a ticket's psk, a link's exporter) has 256 bits.
 *
 * Clocks differ and time runs on, so each side uses its own span of time and the nearer neighbour: two whose
 * clocks are less than half a span apart have one in common. Those of a clock that is further off come on top, where
 * a rendezvous server has told the time (`reach/wall-clocks.ts`).
 */
import { hkdfSync } from "node:crypto";
import { concatBytes, utf8Encode, writeU48 } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { LABELS } from "../../crypto/labels.ts";
import type { KeyPair } from "../../crypto/primitives.ts";
import { nodePrimitives } from "../../platform/crypto/node-provider.ts";
import type { RendezvousPoint } from "./channel.ts";

/** A code's places change every ten minutes, which is as long as a code lives. */
export const CODE_SPAN_MS = 600_000;
/** Those of two that know each other's keys, every hour. */
export const PAIR_SPAN_MS = 3_600_000;

/** 64 MiB and about 0.34 s on one core. RFC 7914 §6 */
const CODE_COST = { N: 2 ** 16, r: 8, p: 2, dkLen: 32 };
const KEY_BYTES = 32;

/**
 * The two places of a code, the likelier one first and without waiting for the other.
 *
 * @param code in normal form
 * @param nowMs UTC in ms
 * @param known spans whose places are known and left out; new ones are added before the work for them begins
 */
export async function* pointsOfCode(
  code: string,
  nowMs: number,
  known: Set<number> = new Set(),
): AsyncGenerator<RendezvousPoint, void, void> {
  const password = utf8Encode(code);
  for (const span of spansAround(nowMs, CODE_SPAN_MS)) {
    if (known.has(span)) continue;
    known.add(span);
    const root = await nodePrimitives.scrypt(password, salted(LABELS.pointOfCode, span), CODE_COST);
    yield derivePoint(root, LABELS.pointOfCode, endOf(span, CODE_SPAN_MS));
  }
}

/**
 * The two places of two peers that have each other's public keys, the likelier one first.
 *
 * @param own this side's key pair
 * @param peerKey the peer's public key, 32 bytes
 * @param nowMs UTC in ms
 * @param known as in `pointsOfCode`
 * @throws SrudpError ERR_KEY_FORMAT for a key that has no secret in common with any other
 */
export function pointsOfPair(
  localKeys: KeyPair,
  peerKey: Uint8Array,
  nowMs: number,
  known: Set<number> = new Set(),
): RendezvousPoint[] {
  const shared = nodePrimitives.x25519.sharedSecret(localKeys.secretKey, peerKey);
  if (shared === undefined) throw new SrudpError("ERR_KEY_FORMAT");
  // The secret alone would be the same for a key and its negative: the keys themselves belong to the name.
  const keys = inOrder(localKeys.publicKey, peerKey);
  const spans = spansAround(nowMs, PAIR_SPAN_MS).filter((span) => !known.has(span));
  return spans.map((span) => {
    known.add(span);
    const root = expand(concatBytes(shared, ...keys), salted(LABELS.pointOfPair, span), "root");
    return derivePoint(root, LABELS.pointOfPair, endOf(span, PAIR_SPAN_MS));
  });
}

/**
 * The place of a ticket.
 *
 * @param psk its 32 bytes
 * @param expiresAtMs when the ticket expires, UTC in ms
 */
export function pointOfTicket(psk: Uint8Array, expiresAtMs: number): RendezvousPoint {
  return derivePoint(psk, LABELS.pointOfTicket, expiresAtMs);
}

/**
 * Where the two ends of a link find each other again when their path has died.
 *
 * @param exporter 32 secret bytes that the handshake gave both ends
 */
export function pointOfLink(exporter: Uint8Array): RendezvousPoint {
  return derivePoint(exporter, LABELS.pointOfLink, Infinity);
}

/** The secret name of the relay's room that goes with a place; nothing that a carrier shows leads to it. */
export function roomOfPoint(point: RendezvousPoint): Uint8Array {
  return expand(point.seed, new Uint8Array(0), LABELS.relayRoom);
}

function derivePoint(root: Uint8Array, label: string, expiresAtMs: number): RendezvousPoint {
  const salt = utf8Encode(label);
  return {
    id: expand(root, salt, "id"),
    seed: expand(root, salt, "seed"),
    sealKey: expand(root, salt, "seal"),
    checkKey: expand(root, salt, "check"),
    expiresAtMs,
  };
}

/** HKDF-SHA256.  // RFC 5869 */
function expand(secret: Uint8Array, salt: Uint8Array, label: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, salt, label, KEY_BYTES));
}

/** The span that `nowMs` falls into, and the neighbour that is nearer to it. */
function spansAround(nowMs: number, spanMs: number): [number, number] {
  const localKeys = Math.floor(nowMs / spanMs);
  const isFirstHalf = nowMs - localKeys * spanMs < spanMs / 2;
  return [localKeys, isFirstHalf ? localKeys - 1 : localKeys + 1];
}

/** When the last peer with a right clock leaves the place of a span: half a span behind its end. */
function endOf(span: number, spanMs: number): number {
  return (span + 1.5) * spanMs;
}

function salted(label: string, span: number): Uint8Array {
  const bytes = new Uint8Array(6);
  writeU48(bytes, 0, span);
  return concatBytes(utf8Encode(label), bytes);
}

/** Both sides have to put the keys in the same order. */
function inOrder(a: Uint8Array, b: Uint8Array): [Uint8Array, Uint8Array] {
  return Buffer.compare(a, b) < 0 ? [a, b] : [b, a];
}

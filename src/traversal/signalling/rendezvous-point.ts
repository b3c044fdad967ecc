/**
 * Derives rendezvous points: from a secret that two peers share to a name that reveals nothing
 * about it, and to the keys that belong to the point.
 *
 * A code has few bits, so its point is derived by scrypt with the time in the salt: an attacker who
 * sees a point's name pays 0.3 s and 64 MiB for each code tried, and no table helps, since a point
 * is valid for ten minutes. All other shared secrets (a Diffie-Hellman result, a ticket's PSK, a
 * link's exporter) have 256 bits.
 *
 * Clocks differ and time passes, so each side uses the current span of time and the nearer
 * neighbour: two sides whose clocks differ by less than half a span share a span. Points of a
 * server's clock that differs by more are added (`wall-clocks.ts`).
 */
import { hkdfSync } from "node:crypto";
import { concatBytes, utf8Encode, writeU48 } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { LABELS } from "../../crypto/labels.ts";
import type { KeyPair } from "../../crypto/primitives.ts";
import { nodePrimitives } from "../../platform/crypto/node-provider.ts";
import type { RendezvousPoint } from "./channel.ts";

/** A code's points change every ten minutes, which is the lifetime of a code. */
export const CODE_SPAN_MS = 600_000;
/** The points of two paired peers change every hour. */
export const PAIR_SPAN_MS = 3_600_000;

/** 64 MiB and about 0.34 s on one core.  // RFC 7914 §6 */
const CODE_COST = { N: 2 ** 16, r: 8, p: 2, dkLen: 32 };
const KEY_BYTES = 32;

/**
 * The two points of a code, the likelier one first, yielded before the second is derived.
 *
 * @param code in normal form
 * @param nowMs UTC in ms
 * @param known spans whose points are already derived; skipped here. New ones are added before
 * their derivation begins
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
 * The two points of two peers that have each other's public keys, the likelier one first.
 *
 * @param peerKey the peer's public key, 32 bytes
 * @param nowMs UTC in ms
 * @param known as in `pointsOfCode`
 * @throws SrudpError ERR_KEY_FORMAT for a key of low order
 */
export function pointsOfPair(
  localKeys: KeyPair,
  peerKey: Uint8Array,
  nowMs: number,
  known: Set<number> = new Set(),
): RendezvousPoint[] {
  const shared = nodePrimitives.x25519.sharedSecret(localKeys.secretKey, peerKey);
  if (shared === undefined) throw new SrudpError("ERR_KEY_FORMAT");
  // A key and its negative give the same shared secret: the public keys are hashed too.
  const keys = inOrder(localKeys.publicKey, peerKey);
  const spans = spansAround(nowMs, PAIR_SPAN_MS).filter((span) => !known.has(span));
  return spans.map((span) => {
    known.add(span);
    const root = expand(concatBytes(shared, ...keys), salted(LABELS.pointOfPair, span), "root");
    return derivePoint(root, LABELS.pointOfPair, endOf(span, PAIR_SPAN_MS));
  });
}

/**
 * The rendezvous point of a ticket.
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
 * @param exporter 32 secret bytes exported from the handshake
 */
export function pointOfLink(exporter: Uint8Array): RendezvousPoint {
  return derivePoint(exporter, LABELS.pointOfLink, Infinity);
}

/**
 * The secret name of the relay room that belongs to a point; it cannot be derived from what a
 * channel sees.
 */
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

/** The span that contains `nowMs`, and the nearer neighbour. */
function spansAround(nowMs: number, spanMs: number): [number, number] {
  const localKeys = Math.floor(nowMs / spanMs);
  const isFirstHalf = nowMs - localKeys * spanMs < spanMs / 2;
  return [localKeys, isFirstHalf ? localKeys - 1 : localKeys + 1];
}

/** When the last peer with a correct clock leaves the point of a span: half a span after its end. */
function endOf(span: number, spanMs: number): number {
  return (span + 1.5) * spanMs;
}

function salted(label: string, span: number): Uint8Array {
  const bytes = new Uint8Array(6);
  writeU48(bytes, 0, span);
  return concatBytes(utf8Encode(label), bytes);
}

/** Sorts the keys, so that both sides hash them in the same order. */
function inOrder(a: Uint8Array, b: Uint8Array): [Uint8Array, Uint8Array] {
  return Buffer.compare(a, b) < 0 ? [a, b] : [b, a];
}

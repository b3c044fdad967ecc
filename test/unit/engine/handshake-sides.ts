/** Two sides of a handshake for tests: seeded, on `node:crypto` for speed, with hands to forge what they send. */
import { utf8Encode } from "../../../src/base/bytes.ts";
import { packetIntegrity } from "../../../src/crypto/integrity.ts";
import type { KeyPair } from "../../../src/crypto/primitives.ts";
import { Handshake, type HandshakeConfig, type Mode } from "../../../src/engine/handshake/handshake.ts";
import { nodePrimitives } from "../../../src/platform/crypto/node-provider.ts";
import { HANDSHAKE_BYTES, INTEGRITY_BYTES, NOTICE_BYTES } from "../../../src/wire/handshake-packet.ts";
import { Random } from "../../sim/random.ts";

export const MODES_UNDER_TEST: readonly Mode[] = ["key", "secret", "code", "passphrase", "ticket"];

/** One of each, the same on both sides. */
export const CREDENTIALS = {
  key: true,
  secret: new Random(1, "secret").bytes(32),
  ticket: new Random(2, "ticket").bytes(32),
  code: utf8Encode("42-ocean-lizard-maple"),
  passphrase: utf8Encode("a long enough passphrase"),
} as const;

export function keyPair(seed: number): KeyPair {
  const secretKey = new Random(seed, "key pair").bytes(32);
  return { secretKey, publicKey: nodePrimitives.x25519.publicKey(secretKey) };
}

export const INITIATOR_KEYS: KeyPair = keyPair(101);
export const RESPONDER_KEYS: KeyPair = keyPair(102);

/** A configuration whose random bytes depend on `seed` alone. */
export function configOf(seed: number, changes: Partial<HandshakeConfig>): HandshakeConfig {
  const random = new Random(seed, "handshake");
  return {
    role: "initiator",
    credentials: CREDENTIALS,
    primitives: nodePrimitives,
    random: (byteLength) => random.bytes(byteLength),
    identity: changes.role === "responder" ? RESPONDER_KEYS : INITIATOR_KEYS,
    connectionId: random.bytes(8),
    parameters: utf8Encode(`parameters of the ${changes.role ?? "initiator"}`),
    verifyPeer: () => "accept",
    ...changes,
  };
}

export function newInitiator(mode: Mode, changes: Partial<HandshakeConfig> = {}, seed = 1): Handshake {
  return new Handshake(configOf(seed, { role: "initiator", mode, ...changes }));
}

export function newResponder(changes: Partial<HandshakeConfig> = {}, seed = 2): Handshake {
  return new Handshake(configOf(seed, { role: "responder", ...changes }));
}

/** An initiator that may respond, and whose first tie-break is this one. */
export function newRival(
  mode: Mode,
  tieBreak: Uint8Array,
  changes: Partial<HandshakeConfig> = {},
  seed = 1,
): Handshake {
  const config = configOf(seed, { mode, mayRespond: true, ...changes });
  let drawn = false;
  const random = (byteLength: number): Uint8Array => {
    if (byteLength !== 16 || drawn) return config.random(byteLength);
    drawn = true;
    return Uint8Array.from(tieBreak);
  };
  return new Handshake({ ...config, random });
}

/** The first message of a fresh initiator. */
export function started(initiator: Handshake, now = 0): Uint8Array {
  initiator.start(now);
  return initiator.pollTransmit()!;
}

/** What `to` answers to `bytes`. */
export function answer(to: Handshake, bytes: Uint8Array, now = 0): Uint8Array | undefined {
  to.handlePacket(now, bytes);
  return to.pollTransmit();
}

/** Carries packets to and fro without loss until there are none, starting with one for `to`; returns them all. */
export function carry(first: Uint8Array | undefined, to: Handshake, from: Handshake, now = 0): Uint8Array[] {
  const carried: Uint8Array[] = [];
  let packet = first;
  for (let target = to; packet !== undefined; target = target === to ? from : to) {
    carried.push(packet);
    packet = answer(target, packet, now);
  }
  return carried;
}

/** A whole handshake over a perfect path: every packet of it, in order. */
export function complete(initiator: Handshake, responder: Handshake, now = 0): Uint8Array[] {
  return carry(started(initiator, now), responder, initiator, now);
}

/** The same bytes with another integrity field, as somebody on the way can make it. */
export function resealed(bytes: Uint8Array): Uint8Array {
  const sealed = Uint8Array.from(bytes);
  const isNotice = sealed.length === NOTICE_BYTES;
  const idAt = isNotice ? 2 : 11;
  const end = (isNotice ? NOTICE_BYTES : HANDSHAKE_BYTES) - INTEGRITY_BYTES;
  sealed.set(packetIntegrity(sealed.slice(idAt, idAt + 8), sealed.slice(0, end)), end);
  return sealed;
}

/** `bytes` with those at `at` replaced, and the integrity field made right again. */
export function edited(
  bytes: Uint8Array,
  at: number,
  replacement: Uint8Array | readonly number[],
): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.set(replacement, at);
  return resealed(copy);
}

/** A copy with one bit turned over; nothing else is put right. */
export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[bit >>> 3]! ^= 1 << (bit & 7);
  return copy;
}

/** Where the fields of a handshake packet stand. */
export const AT = {
  destinationId: 3,
  sourceId: 11,
  lowest: 19,
  highest: 20,
  mode: 21,
  features: 22,
  tieBreak: 24,
  body: 42,
} as const;

/** Fails unless both ends are established under the same keys, with opposite roles. */
export function assertLinked(a: Handshake, b: Handshake): void {
  const mine = a.keys;
  const theirs = b.keys;
  if (mine === undefined || theirs === undefined) {
    throw new Error(`not linked: ${a.role} ${a.stage} (${a.failure}), ${b.role} ${b.stage} (${b.failure})`);
  }
  const same = (x: Uint8Array, y: Uint8Array): boolean => Buffer.compare(x, y) === 0;
  const holds =
    same(mine.sendKey, theirs.receiveKey) &&
    same(mine.receiveKey, theirs.sendKey) &&
    !same(mine.sendKey, mine.receiveKey) &&
    same(mine.handshakeHash, theirs.handshakeHash) &&
    same(mine.rekeySecret, theirs.rekeySecret) &&
    same(mine.exporterSecret, theirs.exporterSecret) &&
    !same(mine.exporterSecret, mine.rekeySecret) &&
    mine.role !== theirs.role &&
    mine.role === a.role &&
    theirs.role === b.role &&
    mine.version === theirs.version &&
    mine.mode === theirs.mode;
  if (!holds) throw new Error("both are established, but not with each other");
}

/**
 * Handshake packets and notices: whole ones come back field by field, damaged ones are refused, and forged
 * ones with a right integrity field (anybody can make it) are refused or well-formed.
 */
import {
  decodeHandshakePacket,
  decodeNotice,
  encodeHandshakePacket,
  encodeNotice,
  HANDSHAKE_BODY_BYTES,
  HANDSHAKE_BYTES,
  HANDSHAKE_KINDS,
  INTEGRITY_BYTES,
  MODES,
  NOTICE_BYTES,
  TIE_BREAK_BYTES,
} from "../../src/wire/handshake-packet.ts";
import { checksum } from "../sim/primitives.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const REASONS = ["refused", "busy", "version"] as const;
const REASON_BYTES = REASONS.length + 1;
const HANDSHAKE_INTEGRITY_AT = HANDSHAKE_BYTES - INTEGRITY_BYTES;
const NOTICE_INTEGRITY_AT = NOTICE_BYTES - INTEGRITY_BYTES;
const changed = new Uint8Array(2 * HANDSHAKE_BYTES);
const body = new Uint8Array(HANDSHAKE_BODY_BYTES);

export const handshakePackets: FuzzTarget = {
  name: "handshake-packet",
  inputsPerRun: 300,
  weight: 3,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 3) {
      const bytes = comesBack(random);
      isRefusedWhenDamaged(random, bytes);
      isWellFormedWhenForged(random, bytes);
    }
  },
};

export const notices: FuzzTarget = {
  name: "notice",
  inputsPerRun: 900,
  weight: 3,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 3) {
      const lowest = random.below(256);
      const notice = {
        reason: random.pick(REASONS),
        destinationId: random.bytes(8),
        versions: { lowest, highest: random.integer(lowest, 255) },
      };
      const bytes = encodeNotice(notice, mac);
      const back = decodeNotice(bytes, mac);
      if (back === undefined) return broken("a whole notice was refused");
      same(back.reason, notice.reason, "the reason");
      same(back.versions.lowest, lowest, "the lowest version");
      same(back.versions.highest, notice.versions.highest, "the highest version");
      sameBytes(back.destinationId, notice.destinationId, "the destination ID");

      changed.set(bytes);
      const length = random.mutate(changed, NOTICE_BYTES);
      const isSame = length === NOTICE_BYTES && equal(changed, bytes);
      if (!isSame && decodeNotice(changed.subarray(0, length), mac) !== undefined) broken("damage was taken");

      random.fill(changed, 0, 12);
      changed[0] = random.oneIn(8) ? changed[0]! : 0xe0;
      changed[1] = random.below(REASON_BYTES + 2);
      changed.set(
        mac(changed.subarray(2, 10), changed.subarray(0, NOTICE_INTEGRITY_AT)),
        NOTICE_INTEGRITY_AT,
      );
      const forged = decodeNotice(changed.subarray(0, NOTICE_BYTES), mac);
      const isSound =
        changed[0] === 0xe0 &&
        changed[1]! >= 1 &&
        changed[1]! <= REASONS.length &&
        changed[10]! <= changed[11]!;
      same(forged !== undefined, isSound, "whether a forged notice is taken");
    }
  },
};

function comesBack(random: Xorshift): Uint8Array {
  const lowest = random.below(256);
  const bodyBytes = random.oneIn(8) ? HANDSHAKE_BODY_BYTES - random.below(2) : random.below(200);
  random.fill(body, 0, Math.min(bodyBytes, 32));
  const sourceId = random.bytes(8);
  sourceId[0]! |= 1;
  const packet = {
    kind: random.pick(HANDSHAKE_KINDS),
    destinationId: random.oneIn(3) ? new Uint8Array(8) : random.bytes(8),
    sourceId,
    versions: { lowest, highest: random.integer(lowest, 255) },
    mode: random.pick(MODES),
    features: random.below(65_536),
    tieBreak: random.bytes(TIE_BREAK_BYTES),
    body: body.subarray(0, bodyBytes),
  };
  const bytes = encodeHandshakePacket(packet, mac);
  same(bytes.length, HANDSHAKE_BYTES, "the length");
  const back = decodeHandshakePacket(bytes, mac);
  if (back === undefined) return broken("a whole packet was refused");
  same(back.kind, packet.kind, "the kind");
  same(back.mode, packet.mode, "the mode");
  same(back.features, packet.features, "the features");
  same(back.versions.lowest, lowest, "the lowest version");
  same(back.versions.highest, packet.versions.highest, "the highest version");
  sameBytes(back.destinationId, packet.destinationId, "the destination ID");
  sameBytes(back.sourceId, packet.sourceId, "the source ID");
  sameBytes(back.tieBreak, packet.tieBreak, "the tie-break");
  sameBytes(back.body, packet.body, "the body");
  return bytes;
}

function isRefusedWhenDamaged(random: Xorshift, bytes: Uint8Array): void {
  changed.set(bytes);
  const length = random.mutate(changed, HANDSHAKE_BYTES);
  if (length === HANDSHAKE_BYTES && equal(changed, bytes)) return;
  if (decodeHandshakePacket(changed.subarray(0, length), mac) !== undefined) broken("damage was taken");
}

function isWellFormedWhenForged(random: Xorshift, bytes: Uint8Array): void {
  changed.set(bytes);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    changed[random.below(random.oneIn(2) ? 44 : HANDSHAKE_INTEGRITY_AT)] = random.u32();
  }
  const covered = changed.subarray(0, HANDSHAKE_INTEGRITY_AT);
  changed.set(mac(changed.subarray(11, 19), covered), HANDSHAKE_INTEGRITY_AT);
  const packet = decodeHandshakePacket(changed.subarray(0, HANDSHAKE_BYTES), mac);
  if (packet === undefined) return;
  const { versions } = packet;
  if (versions.lowest > versions.highest || packet.body.length > HANDSHAKE_BODY_BYTES)
    broken("nonsense was taken");
  if (packet.sourceId.every((byte) => byte === 0)) broken("a source ID of zero was taken");
  // Nothing of a received buffer may be kept.
  for (const kept of [packet.body, packet.sourceId, packet.destinationId, packet.tieBreak]) {
    if (kept.buffer === changed.buffer) broken("a view of the received bytes was kept");
  }
}

/** Stands for the HMAC, which the codec is handed: 64 bits that depend on every byte. */
function mac(connectionId: Uint8Array, covered: Uint8Array): Uint8Array {
  const tag = new Uint8Array(INTEGRITY_BYTES);
  const words = new Uint32Array(tag.buffer);
  words[0] = checksum(covered, 0, covered.length, checksum(connectionId, 0, 8, 1));
  words[1] = checksum(covered, 0, covered.length, words[0] ^ 0x1234567);
  words[2] = words[0] ^ words[1];
  words[3] = ~words[2];
  return tag;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (actual.length !== expected.length || !equal(actual, expected)) broken(`${what} changed`);
}

/**
 * Handshakes in the middle of junk: before each genuine packet come damaged copies of it, some with an integrity
 * field that was made right again, and notices that nobody meant. Nothing is thrown, no side gives up, and the
 * genuine packets still make the link.
 */
import { packetIntegrity } from "../../src/crypto/integrity.ts";
import type { Connection } from "../../src/engine/connection/connection.ts";
import { encodeNotice, HANDSHAKE_BYTES, INTEGRITY_BYTES } from "../../src/wire/handshake-packet.ts";
import { toyPrimitives } from "../sim/primitives.ts";
import { newConnection, PATH } from "./malicious-peer.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

/** noise1, noise2 and noise3; each with so many damaged copies in front of it. */
const MESSAGES = 3;
const COPIES = 20;
const MAX_MESSAGES = 200;
const SOURCE_ID_AT = 11;
const INTEGRITY_AT = HANDSHAKE_BYTES - INTEGRITY_BYTES;
const REASONS = ["refused", "busy", "version"] as const;
const transmit = { buffer: new Uint8Array(64 * 1200), length: 0, segmentBytes: 0, path: PATH };

export const damagedHandshakes: FuzzTarget = {
  name: "damaged-handshake",
  inputsPerRun: MESSAGES * COPIES,
  weight: 1.5,
  run(random) {
    const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
    const initiator = newConnection(toyPrimitives, "initiator", draw);
    const responder = newConnection(toyPrimitives, "responder", draw);
    const queue: { to: Connection; bytes: Uint8Array }[] = [];
    collect(initiator, responder, queue);
    for (let delivered = 0; queue.length > 0; delivered++) {
      if (delivered > MAX_MESSAGES) broken("the two never come to rest");
      const { to, bytes } = queue.shift()!;
      const other = to === initiator ? responder : initiator;
      for (let copies = delivered < MESSAGES ? COPIES : 0; copies > 0; copies--) {
        to.handleDatagram(0, PATH, damaged(random, bytes));
        if (to.state !== "handshaking" && to.state !== "established") broken(`junk made it ${to.state}`);
        collect(to, other, queue);
      }
      to.handleDatagram(0, PATH, bytes);
      collect(to, other, queue);
    }
    same(initiator.state, "established", "the initiator's state");
    same(responder.state, "established", "the responder's state");
    same(Buffer.compare(initiator.peer!.sendKey, responder.peer!.receiveKey), 0, "the key to the responder");
    same(Buffer.compare(initiator.peer!.receiveKey, responder.peer!.sendKey), 0, "the key to the initiator");
    if (responder.stats.droppedPackets < COPIES / 2) broken("hardly anything was damaged");
  },
};

function collect(from: Connection, to: Connection, queue: { to: Connection; bytes: Uint8Array }[]): void {
  while (from.pollTransmit(0, transmit)) {
    if (queue.length > MAX_MESSAGES) broken("junk is answered without end");
    queue.push({ to, bytes: transmit.buffer.slice(0, transmit.length) });
  }
}

function damaged(random: Xorshift, genuine: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(genuine.length + 100);
  bytes.set(genuine);
  if (random.oneIn(8)) return notice(random, genuine);
  if (random.oneIn(8)) {
    random.fill(bytes, 0, 1300);
    bytes[0] = 0xd0 | random.below(6);
    return bytes;
  }
  const length = random.mutate(bytes, genuine.length);
  if (length === HANDSHAKE_BYTES && random.oneIn(2)) {
    const covered = bytes.subarray(0, INTEGRITY_AT);
    bytes.set(packetIntegrity(bytes.subarray(SOURCE_ID_AT, SOURCE_ID_AT + 8), covered), INTEGRITY_AT);
  }
  return bytes.subarray(0, length);
}

/** A notice that answers `genuine`, as anybody on the way can make it; or one that answers nothing. */
function notice(random: Xorshift, genuine: Uint8Array): Uint8Array {
  // Destination and source of a packet stand one after the other.
  const at = random.pick([SOURCE_ID_AT - 8, SOURCE_ID_AT]);
  const lowest = random.below(256);
  const destinationId = random.oneIn(4) ? random.bytes(8) : genuine.slice(at, at + 8);
  const versions = { lowest, highest: random.integer(lowest, 255) };
  return encodeNotice({ reason: random.pick(REASONS), destinationId, versions }, packetIntegrity);
}

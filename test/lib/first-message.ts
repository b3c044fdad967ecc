/** First messages of handshakes that nobody will finish: well-formed, gate and integrity fields right. */
import { randomBytes } from "node:crypto";
import { GateMac, gateKey } from "../../src/crypto/first-message-mac.ts";
import { packetIntegrity } from "../../src/crypto/integrity.ts";
import {
  encodeHandshakePacket,
  type Mode,
  type VersionRange,
  WIRE_VERSION,
} from "../../src/wire/handshake-packet.ts";

export interface ForgedFirst {
  readonly mode: Mode;
  readonly versions?: VersionRange;
  readonly sourceId?: Uint8Array;
  /** The key of mac1: the public one when absent. */
  readonly gate?: Uint8Array;
  readonly random?: (byteLength: number) => Uint8Array;
}

/** What `mode` begins with, 1200 bytes, random where an honest one is random. */
export function forgedFirst({
  mode,
  versions,
  sourceId,
  gate,
  random = randomBytes,
}: ForgedFirst): Uint8Array {
  const isPake = mode === "code" || mode === "passphrase";
  const mac = new GateMac(gate ?? gateKey("public"));
  return encodeHandshakePacket(
    {
      kind: isPake ? "pakeOpen" : "noise1",
      destinationId: new Uint8Array(8),
      sourceId: sourceId ?? random(8),
      versions: versions ?? { lowest: WIRE_VERSION, highest: WIRE_VERSION },
      mode,
      features: 0,
      tieBreak: random(16),
      body: random(isPake || mode === "key" ? 32 : 48),
    },
    packetIntegrity,
    (covered) => ({ mac1: mac.of(covered), proof: undefined }),
  );
}

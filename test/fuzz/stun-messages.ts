/**
 * STUN messages: whatever comes is read or refused without an exception, and what is read back out of a
 * message that was written is what went in.
 */
import { toHex } from "../../src/base/bytes.ts";
import {
  parseStun,
  STUN_ATTRIBUTE,
  STUN_CLASS,
  STUN_METHOD,
  type StunMac,
  type StunMessage,
  StunWriter,
} from "../../src/wire/stun.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const TYPES: readonly number[] = Object.values(STUN_ATTRIBUTE);
const METHODS = Object.values(STUN_METHOD);
const CLASSES = Object.values(STUN_CLASS);
const KEY = new Uint8Array(16).fill(3);

/** No hash at all, but it depends on every byte and its place, which is what matters here. */
const mac: StunMac = (key, bytes) => {
  const out = new Uint8Array(20).fill(key[0]!);
  for (const [i, byte] of bytes.entries()) out[i % 20] = Math.imul(out[i % 20]!, 31) + byte + i;
  return out;
};

export const stunMessages: FuzzTarget = {
  name: "stun-messages",
  inputsPerRun: 200,
  weight: 1,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 2) {
      const { bytes, values } = written(random);
      const message = parseStun(bytes);
      if (message === undefined) return broken(`refused what was written: ${toHex(bytes)}`);
      for (const [type, value] of values) {
        same(toHex(message.attribute(type) ?? new Uint8Array(0)), toHex(value), `attribute ${type}`);
      }
      if (!message.isIntact(KEY, mac)) broken(`integrity of ${toHex(bytes)}`);
      readAll(damaged(random, bytes));
    }
  },
};

function written(random: Xorshift): { bytes: Uint8Array; values: Map<number, Uint8Array> } {
  const values = new Map<number, Uint8Array>();
  const writer = new StunWriter(random.pick(METHODS), random.pick(CLASSES), random.bytes(12));
  for (let count = random.below(6); count > 0; count--) {
    const type = random.below(0x10000);
    if (TYPES.includes(type) || values.has(type)) continue;
    const value = random.bytes(random.below(random.oneIn(8) ? 700 : 24));
    values.set(type, value);
    writer.attribute(type, value);
  }
  writer.integrity(KEY, mac);
  if (random.oneIn(2)) writer.fingerprint();
  return { bytes: writer.finish(), values };
}

/** Wrong bits, another length, or attributes of known types with any value. */
function damaged(random: Xorshift, bytes: Uint8Array): Uint8Array {
  if (random.oneIn(3)) {
    const writer = new StunWriter(random.pick(METHODS), random.pick(CLASSES), random.bytes(12));
    for (let count = random.below(8); count > 0; count--)
      writer.attribute(
        random.pick(TYPES.filter((type) => type !== STUN_ATTRIBUTE.fingerprint)),
        random.bytes(random.below(40)),
      );
    return writer.finish();
  }
  const copy = Uint8Array.from(bytes);
  for (let count = 1 + random.below(3); count > 0; count--)
    copy[random.below(copy.length)] = random.below(256);
  return random.oneIn(4) ? copy.subarray(0, random.below(copy.length + 1)) : copy;
}

function readAll(bytes: Uint8Array): void {
  const message: StunMessage | undefined = parseStun(bytes);
  if (message === undefined) return;
  for (const type of TYPES) {
    const address = message.xorAddress(type) ?? message.address(type);
    if (address !== undefined && (address.port > 65535 || address.address === ""))
      broken("an address out of range");
    message.text(type);
    message.u32(type);
  }
  const { error } = message;
  if (error !== undefined && !(error.code >= 0 && error.code < 1000)) broken(`error code ${error.code}`);
  message.unknownRequired(new Set(TYPES));
  message.isIntact(KEY, mac);
  message.isIntactSha256(KEY, mac);
}

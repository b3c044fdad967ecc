/** Transport parameters: they come back, and whatever a peer makes of them is refused with its code or within bounds. */
import { SrudpError } from "../../src/base/errors.ts";
import { varintBytes, writeVarint } from "../../src/base/varint.ts";
import {
  DEFAULT_PARAMETERS,
  decodeParameters,
  encodeParameters,
  type TransportParameters,
} from "../../src/engine/connection/transport-parameters.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const NAMES = Object.keys(DEFAULT_PARAMETERS) as (keyof TransportParameters)[];
const bytes = new Uint8Array(512);

export const parameters: FuzzTarget = {
  name: "parameters",
  inputsPerRun: 800,
  weight: 4,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 4) {
      const given = { ...DEFAULT_PARAMETERS };
      for (const name of NAMES) if (random.oneIn(2)) given[name] = random.magnitude();
      if (random.oneIn(2)) given.maxUdpPayloadBytes = 1200 + random.below(64_000);
      if (random.oneIn(2)) given.maxAckDelayMs = random.below(2 ** 14 + 1);
      const encoded = encodeParameters(given);
      const isSound = given.maxUdpPayloadBytes >= 1200 && given.maxAckDelayMs <= 2 ** 14;
      const decoded = decode(encoded);
      same(decoded !== undefined, isSound, "whether parameters are taken");
      if (decoded !== undefined) for (const name of NAMES) same(decoded[name], given[name], name);

      bytes.set(encoded);
      decode(bytes.subarray(0, random.mutate(bytes, encoded.length)));
      decode(bytes.subarray(0, invented(random)));
      // A value longer than its length says.
      const value = 64 + Math.floor(random.magnitude() / 2);
      let at = writeVarint(bytes, 0, random.pick([0x01, 0x03, 0x04, 0x05, 0x08, 0x0b, 0x20]));
      at = writeVarint(bytes, at, random.below(varintBytes(value)));
      writeVarint(bytes, at, value);
      if (decode(bytes.subarray(0, at + bytes[1]!)) !== undefined)
        broken("a value that was cut short was taken");
    }
  },
};

/** Parameters in any order, unknown ones, the same twice, values of the wrong length. */
function invented(random: Xorshift): number {
  let at = 0;
  for (let count = random.below(20); count > 0 && at < 400; count--) {
    const value = random.oneIn(4) ? random.below(3) : random.magnitude();
    at = writeVarint(bytes, at, random.oneIn(8) ? random.magnitude() : random.below(0x24));
    at = writeVarint(bytes, at, random.oneIn(8) ? random.below(10) : varintBytes(value));
    at = writeVarint(bytes, at, value);
  }
  return at;
}

function decode(encoded: Uint8Array): TransportParameters | undefined {
  let decoded: TransportParameters;
  try {
    decoded = decodeParameters(encoded);
  } catch (error) {
    if (error instanceof SrudpError && error.code === "ERR_PARAMETER") return undefined;
    throw error;
  }
  for (const name of NAMES) {
    const value = decoded[name];
    if (!Number.isSafeInteger(value) || value < 0) broken(`${name} is ${value}`);
  }
  same(Object.keys(decoded).length, NAMES.length, "the number of parameters");
  if (decoded.maxUdpPayloadBytes < 1200) broken("packets shorter than the floor");
  return decoded;
}

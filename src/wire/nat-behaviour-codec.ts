/**
 * The behaviour of the NATs in front of a peer, in the terms of RFC 4787, as far as it was
 * detected.
 *
 *     0        1        2          4          6          8
 *     +--------+--------+----------+----------+----------+
 *     |mmffpppb|hh.....d| port step| block low| block    |     m mapping, f filtering, p port pattern, b block
 *     |        |        | (signed) |          | high     |     given, h hairpin, d hard
 *     +--------+--------+----------+----------+----------+
 */
import { writeU16 } from "../base/bytes.ts";
import type { Reader } from "../base/reader.ts";

/** What a mapping or a filter depends on.  // RFC 4787 §4.1, §5 */
export const DEPENDENCES = [
  "unknown",
  "endpointIndependent",
  "addressDependent",
  "addressAndPortDependent",
] as const;
export type Dependence = (typeof DEPENDENCES)[number];

/** How the public port relates to the local one.  // RFC 4787 §4.2 */
export const PORT_PATTERNS = ["unknown", "preserved", "consistent", "sequential", "random"] as const;
export type PortPattern = (typeof PORT_PATTERNS)[number];

export interface NatBehaviour {
  readonly mapping: Dependence;
  readonly filtering: Dependence;
  readonly portPattern: PortPattern;
  /** Difference between the ports of two consecutive mappings, if they are sequential. */
  readonly portStep?: number;
  /** The range of all observed public ports, both ends inclusive: a port-block CGN. */
  readonly portBlock?: { readonly low: number; readonly high: number };
  /** Whether a packet sent from inside to the NAT's public address comes back in. */
  readonly hairpin?: boolean;
  /**
   * Each remote address sees a different, unpredictable port: the pair needs birthday probing or a
   * relay.
   */
  readonly isHard: boolean;
}

/** The behaviour assumed before any detection. */
export const UNKNOWN_BEHAVIOUR: NatBehaviour = {
  mapping: "unknown",
  filtering: "unknown",
  portPattern: "unknown",
  isHard: false,
};

export const NAT_BEHAVIOUR_BYTES = 8;

const HAIRPIN_KNOWN = 0x80;
const HAIRPIN = 0x40;
const HARD = 0x01;
const BLOCK_GIVEN = 0x01;

/** Writes 8 bytes and returns the index after them. */
export function writeNatBehaviour(bytes: Uint8Array, at: number, nat: NatBehaviour): number {
  const { portBlock, hairpin } = nat;
  bytes[at] =
    (DEPENDENCES.indexOf(nat.mapping) << 6) |
    (DEPENDENCES.indexOf(nat.filtering) << 4) |
    (PORT_PATTERNS.indexOf(nat.portPattern) << 1) |
    (portBlock === undefined ? 0 : BLOCK_GIVEN);
  bytes[at + 1] =
    (hairpin === undefined ? 0 : HAIRPIN_KNOWN | (hairpin ? HAIRPIN : 0)) | (nat.isHard ? HARD : 0);
  writeU16(bytes, at + 2, nat.portStep ?? 0);
  writeU16(bytes, at + 4, portBlock?.low ?? 0);
  return writeU16(bytes, at + 6, portBlock?.high ?? 0);
}

/**
 * Reads the next 8 bytes. Values of a later version that this version does not know are read as
 * unknown.
 */
export function readNatBehaviour(reader: Reader): NatBehaviour {
  const first = reader.u8();
  const second = reader.u8();
  const step = (reader.u16() << 16) >> 16;
  const low = reader.u16();
  const high = reader.u16();
  return {
    mapping: DEPENDENCES[first >>> 6]!,
    filtering: DEPENDENCES[(first >>> 4) & 3]!,
    portPattern: PORT_PATTERNS[(first >>> 1) & 7] ?? "unknown",
    ...(step === 0 ? {} : { portStep: step }),
    ...((first & BLOCK_GIVEN) === 0 || low > high ? {} : { portBlock: { low, high } }),
    ...((second & HAIRPIN_KNOWN) === 0 ? {} : { hairpin: (second & HAIRPIN) !== 0 }),
    isHard: (second & HARD) !== 0,
  };
}

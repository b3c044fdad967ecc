/**
 * A candidate: an address at which a peer may be reachable, and how the address was learned.
 *
 *     0        1        3                 7 or 19
 *     +--------+--------+-----------------+
 *     |kkkk t f| port   | address         |     kkkk kind, t through a tunnel, f IPv6
 *     +--------+--------+-----------------+
 */
import { writeU16 } from "../base/bytes.ts";
import type { Reader } from "../base/reader.ts";
import { IPV4_BYTES, IPV6_BYTES, ipFromBytes, ipToBytes } from "./ip-address.ts";

/** How a candidate was learned; the index is the number on the wire.  // RFC 8445 §5.1.1 */
export const CANDIDATE_KINDS = [
  "host",
  "serverReflexive",
  "portMapped",
  "predicted",
  "peerReflexive",
  "relayed",
] as const;
export type CandidateKind = (typeof CANDIDATE_KINDS)[number];

export interface Candidate {
  readonly kind: CandidateKind;
  /** As the sockets report it: dotted IPv4, or IPv6 according to RFC 5952 without brackets. */
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
  /** The address belongs to another tunnel (WireGuard, Tailscale …); tried last. */
  readonly isTunnel?: boolean;
}

/** Maximum length of an encoded candidate. */
export const CANDIDATE_BYTES_LIMIT: number = 3 + IPV6_BYTES;

const TUNNEL_BIT = 2;
const V6_BIT = 1;

/**
 * Writes `candidate` at `at` and returns the index after it. Returns `at` itself if the address is
 * not a plain IP address (a zone means nothing to the peer) or does not match its declared family.
 */
export function writeCandidate(bytes: Uint8Array, at: number, candidate: Candidate): number {
  const address = ipToBytes(candidate.address);
  if (address?.length !== (candidate.family === 6 ? IPV6_BYTES : IPV4_BYTES)) return at;
  const kind = CANDIDATE_KINDS.indexOf(candidate.kind);
  bytes[at] =
    (kind << 4) | (candidate.isTunnel === true ? TUNNEL_BIT : 0) | (candidate.family === 6 ? V6_BIT : 0);
  const addressAt = writeU16(bytes, at + 1, candidate.port);
  bytes.set(address, addressAt);
  return addressAt + address.length;
}

/**
 * The next candidate; undefined if none can be read, or if its kind is unknown and it was skipped.
 */
export function readCandidate(reader: Reader): Candidate | undefined {
  const first = reader.u8();
  const port = reader.u16();
  const family = (first & V6_BIT) === 0 ? 4 : 6;
  const address = reader.take(family === 6 ? IPV6_BYTES : IPV4_BYTES);
  const kind = CANDIDATE_KINDS[first >>> 4];
  if (!reader.ok || kind === undefined) return undefined;
  const candidate: Candidate = { kind, address: ipFromBytes(address), port, family };
  return (first & TUNNEL_BIT) === 0 ? candidate : { ...candidate, isTunnel: true };
}

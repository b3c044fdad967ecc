/**
 * A signal: what one side tells the other through a meeting place, so that they can reach each other.
 *
 *     0        1        2          4                20           26           34       35
 *     +--------+--------+----------+----------------+------------+------------+--------+---------------+
 *     | version| .oraa..| gener-   | session nonce  | sent at    | NAT        | count  | candidates    |
 *     |        |        | ation    | 128 bits       | seconds    | 8 bytes    |        | 7 or 19 each  |
 *     +--------+--------+----------+----------------+------------+------------+--------+---------------+
 *
 * `o`: the sender has sent its low-TTL openings to the candidates of the other's signal of this
 * generation; `r`: it is the responder; `a`: the attempt less one. The bytes are made to be sealed and are padded with zeros, so that
 * their length tells a carrier little. Larger than a carrier takes they never get: BEP 44 allows 1000 bytes.
 */
import { copyBytes, writeU16, writeU48 } from "../base/bytes.ts";
import { Reader } from "../base/reader.ts";
import { CANDIDATE_BYTES_LIMIT, type Candidate, readCandidate, writeCandidate } from "./candidate-codec.ts";
import { PUNCH_ROLES, type PunchRole } from "./check.ts";
import {
  NAT_BEHAVIOUR_BYTES,
  type NatBehaviour,
  readNatBehaviour,
  writeNatBehaviour,
} from "./nat-behaviour-codec.ts";

/** The version that this code speaks. */
export const SIGNAL_VERSION = 0;
export const SESSION_NONCE_BYTES = 16;
/** Longest signal; sealed it has 40 bytes more. */
export const SIGNAL_BYTES_LIMIT = 896;
/** Most candidates of a signal. */
export const SIGNAL_CANDIDATES_LIMIT = 64;

/** Lengths of signals are multiples of this. */
const PADDED_TO_BYTES = 128;
const HAS_OPENED = 0x40;
const RESPONDER = 0x20;
const ATTEMPT_SHIFT = 3;
const ATTEMPT_MASK = 0x03;
const CANDIDATES_AT: number = 27 + NAT_BEHAVIOUR_BYTES;

export interface Signal {
  /** Who made it. */
  readonly role: PunchRole;
  /** Counts the beginnings, of either side: 1 … 65535. */
  readonly generation: number;
  /** Which in a row of fruitless attempts this is, 1 … 4: from the second on, each has sockets of its own. */
  readonly attempt: number;
  /** 16 random bytes for the life of the sender's agent: another nonce is another process, or another run. */
  readonly sessionNonce: Uint8Array;
  /** UTC seconds when it was made, for the order among signals of one sender and for doctors. */
  readonly sentAtS: number;
  readonly nat: NatBehaviour;
  /** In order of preference: the last are left out where they do not fit. */
  readonly candidates: readonly Candidate[];
  readonly hasOpened: boolean;
}

/** The bytes of `signal`, 128 to 896; candidates that do not fit or are no IP addresses are left out. */
export function encodeSignal(signal: Signal): Uint8Array {
  const bytes = new Uint8Array(SIGNAL_BYTES_LIMIT);
  bytes[0] = SIGNAL_VERSION;
  bytes[1] =
    (signal.hasOpened ? HAS_OPENED : 0) |
    (signal.role === "responder" ? RESPONDER : 0) |
    (((signal.attempt - 1) & ATTEMPT_MASK) << ATTEMPT_SHIFT);
  writeU16(bytes, 2, signal.generation);
  bytes.set(signal.sessionNonce, 4);
  writeU48(bytes, 20, signal.sentAtS);
  writeNatBehaviour(bytes, 26, signal.nat);
  let at = CANDIDATES_AT;
  let count = 0;
  for (const candidate of signal.candidates) {
    if (count === SIGNAL_CANDIDATES_LIMIT || at + CANDIDATE_BYTES_LIMIT > SIGNAL_BYTES_LIMIT) break;
    const next = writeCandidate(bytes, at, candidate);
    if (next !== at) count++;
    at = next;
  }
  bytes[CANDIDATES_AT - 1] = count;
  return bytes.subarray(0, Math.ceil(at / PADDED_TO_BYTES) * PADDED_TO_BYTES);
}

/** The signal in these bytes, whose author is proved already; undefined for what is none, or of another version. */
export function decodeSignal(bytes: Uint8Array): Signal | undefined {
  if (bytes.length > SIGNAL_BYTES_LIMIT) return undefined;
  const reader = new Reader(bytes);
  const version = reader.u8();
  const flags = reader.u8();
  const generation = reader.u16();
  const sessionNonce = copyBytes(reader.take(SESSION_NONCE_BYTES));
  const sentAtS = reader.u48();
  const nat = readNatBehaviour(reader);
  const count = reader.u8();
  if (version !== SIGNAL_VERSION || generation === 0 || count > SIGNAL_CANDIDATES_LIMIT) return undefined;
  const candidates: Candidate[] = [];
  for (let i = 0; i < count && reader.ok; i++) {
    const candidate = readCandidate(reader);
    if (candidate !== undefined) candidates.push(candidate);
  }
  if (!reader.ok || !reader.rest().every((byte) => byte === 0)) return undefined;
  return {
    role: PUNCH_ROLES[(flags & RESPONDER) === 0 ? 0 : 1],
    generation,
    attempt: 1 + ((flags >>> ATTEMPT_SHIFT) & ATTEMPT_MASK),
    sessionNonce,
    sentAtS,
    nat,
    candidates,
    hasOpened: (flags & HAS_OPENED) !== 0,
  };
}

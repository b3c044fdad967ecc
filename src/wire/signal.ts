/**
 * A signal: the message that a peer leaves at a rendezvous point, so that the other peer can
 * connect to it.
 *
 *     0        1        2          4                20           26           34       35
 *     +--------+--------+----------+----------------+------------+------------+--------+---------------+
 *     | version| .oraa..| gener-   | session nonce  | sent at    | NAT        | count  | candidates    |
 *     |        |        | ation    | 128 bits       | seconds    | 8 bytes    |        | 7 or 19 each  |
 *     +--------+--------+----------+----------------+------------+------------+--------+---------------+
 *
 * `o`: the sender has sent its low-TTL openings to the candidates of the peer's signal of this
 * generation. `r`: the sender is the responder. `a`: the attempt minus one. The bytes are sealed
 * before they are sent. They are padded with zeros, so that their length reveals little to a
 * signalling channel. Their limit keeps them below the 1000 bytes that BEP 44 allows.
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

/** The version that this code implements. */
export const SIGNAL_VERSION = 0;
export const SESSION_NONCE_BYTES = 16;
/** Maximum length of a signal. Sealing adds 40 bytes. */
export const SIGNAL_BYTES_LIMIT = 896;
/** Maximum number of candidates in a signal. */
export const SIGNAL_CANDIDATES_LIMIT = 64;

/** Lengths of signals are multiples of this value. */
const PADDED_TO_BYTES = 128;
const HAS_OPENED = 0x40;
const RESPONDER = 0x20;
const ATTEMPT_SHIFT = 3;
const ATTEMPT_MASK = 0x03;
const CANDIDATES_AT: number = 27 + NAT_BEHAVIOUR_BYTES;

export interface Signal {
  /** The role of the sender. */
  readonly role: PunchRole;
  /** Counts the attempts started by either side: 1 … 65535. */
  readonly generation: number;
  /**
   * Number of this attempt in a series of failed ones, 1 … 4. From the second on, each attempt uses
   * new sockets.
   */
  readonly attempt: number;
  /**
   * 16 random bytes for the lifetime of the sender's agent. A different nonce means a different
   * process or run.
   */
  readonly sessionNonce: Uint8Array;
  /** Creation time, UTC seconds: orders the signals of one sender, and helps diagnosis. */
  readonly sentAtS: number;
  readonly nat: NatBehaviour;
  /** In order of preference. The last ones are omitted if they do not fit. */
  readonly candidates: readonly Candidate[];
  readonly hasOpened: boolean;
}

/**
 * The bytes of `signal`, 128 to 896. Candidates that do not fit or are not IP addresses are
 * omitted.
 */
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

/**
 * The signal in these bytes, whose author is already authenticated; undefined for any other bytes
 * or another version.
 */
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

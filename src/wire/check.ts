/**
 * Connectivity checks: small packets with which two peers find out which pairs of addresses can
 * exchange datagrams.
 *
 *     0        1        2          4             12       13        15             31        32       48
 *     +--------+--------+----------+-------------+--------+---------+--------------+---------+--------+
 *     |1110100a| role   | gener-   | transaction | family | port    | address      | zero    | MAC    |
 *     |        |        | ation    | 64 bits     | 0 4 6  |         | 128 bits     |         | 128 b. |
 *     +--------+--------+----------+-------------+--------+---------+--------------+---------+--------+
 *
 * `a` is 1 in a response. A response repeats the request except for the role and the address, which
 * is the observed source address of the request (IPv4 in the first four bytes). Both packets are 48
 * bytes, so a response is never larger than its request. The MAC covers all bytes before it, under
 * a key that only the two peers have. This layer does no hashing, so the caller passes in the
 * function that computes the MAC. The role prevents a peer from answering its own request when that
 * request is reflected.
 */
import { copyBytes, equalBytes, writeU16 } from "../base/bytes.ts";
import { Reader } from "../base/reader.ts";
import { ipFromBytes, ipToBytes } from "./ip-address.ts";
import { CHECK_REQUEST, CHECK_RESPONSE } from "./packet.ts";

/** Length of a check request or response. */
export const CHECK_BYTES = 48;
export const CHECK_TRANSACTION_BYTES = 8;
export const CHECK_MAC_BYTES = 16;

const MAC_AT: number = CHECK_BYTES - CHECK_MAC_BYTES;
const OBSERVED_AT = 12;

/** The peer that made a packet or a signal; the index is the number on the wire. */
export const PUNCH_ROLES = ["initiator", "responder"] as const;
export type PunchRole = (typeof PUNCH_ROLES)[number];

export interface Check {
  readonly kind: "request" | "response";
  /** The role of the sender. */
  readonly role: PunchRole;
  /** The number of the sender's attempt, from 1. Informational only. */
  readonly generation: number;
  readonly transaction: Uint8Array;
  /**
   * The observed source address of the request, in a response; undefined if it is not an IP address
   * (a relay's).
   */
  readonly observed?: { readonly address: string; readonly port: number } | undefined;
}

/** Computes 16 bytes over `covered`, under the key of the checks. */
export type CheckMac = (covered: Uint8Array) => Uint8Array;

/** The 48 bytes of `check`. */
export function encodeCheck(check: Check, mac: CheckMac): Uint8Array {
  const bytes = new Uint8Array(CHECK_BYTES);
  bytes[0] = check.kind === "request" ? CHECK_REQUEST : CHECK_RESPONSE;
  bytes[1] = PUNCH_ROLES.indexOf(check.role);
  writeU16(bytes, 2, check.generation);
  bytes.set(check.transaction, 4);
  const observed = check.observed === undefined ? undefined : ipToBytes(check.observed.address);
  if (observed !== undefined) {
    bytes[OBSERVED_AT] = observed.length === 4 ? 4 : 6;
    writeU16(bytes, OBSERVED_AT + 1, check.observed!.port);
    bytes.set(observed, OBSERVED_AT + 3);
  }
  bytes.set(mac(bytes.subarray(0, MAC_AT)), MAC_AT);
  return bytes;
}

/** Whether these bytes have the form of a check. The MAC is not verified. */
export function looksLikeCheck(bytes: Uint8Array): boolean {
  return bytes.length === CHECK_BYTES && (bytes[0] === CHECK_REQUEST || bytes[0] === CHECK_RESPONSE);
}

/** The check in exactly these `bytes`; undefined for any other bytes, or if the MAC is wrong. */
export function decodeCheck(bytes: Uint8Array, mac: CheckMac): Check | undefined {
  if (!looksLikeCheck(bytes)) return undefined;
  const role = PUNCH_ROLES[bytes[1]!];
  if (role === undefined || !equalBytes(mac(bytes.subarray(0, MAC_AT)), bytes.subarray(MAC_AT)))
    return undefined;
  const reader = new Reader(bytes);
  reader.take(2);
  const generation = reader.u16();
  const transaction = copyBytes(reader.take(CHECK_TRANSACTION_BYTES));
  const family = reader.u8();
  const port = reader.u16();
  const address = ipFromBytes(reader.take(family === 6 ? 16 : 4));
  return {
    kind: bytes[0] === CHECK_REQUEST ? "request" : "response",
    role,
    generation,
    transaction,
    ...(family === 4 || family === 6 ? { observed: { address, port } } : {}),
  };
}

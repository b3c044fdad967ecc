/**
 * Messages between peers and a rendezvous server: the mailbox, in which two peers leave sealed
 * blobs for each other, and the relay. The same bytes are sent as a UDP datagram or a binary
 * WebSocket message.
 *
 *     0        1         2             10          26          58     59
 *     +--------+---------+-------------+-----------+-----------+------+--------------
 *     |1111kkkk| version | transaction | cookie    | point     | side | …            request
 *     |        |         | 8 bytes     | 16 bytes  | 32 bytes  |      |
 *     +--------+---------+-------------+-----------+-----------+------+--------------
 *     |1111kkkk| version | transaction | point 32, side, …                            reply
 *     +--------+---------+-------------+----------------------------------------------
 *     |1111kkkk| session, 8 bytes      | payload                                      relayed datagram
 *     +--------+-----------------------+----------------------------------------------
 *
 * A cookie proves that the sender receives packets at its address. Before that, the server sends
 * nothing but a cookie, which is no larger than the smallest request. The layouts are in
 * `docs/protocol.md`. `point` is the name of the rendezvous point.
 */
import { copyBytes, writeU16, writeU32, writeU48 } from "../base/bytes.ts";
import { Reader } from "../base/reader.ts";
import { kindOf, PACKET_RENDEZVOUS, subkindOf } from "./packet.ts";

export const MAILBOX_VERSION = 0;

export const TRANSACTION_BYTES = 8;
export const COOKIE_BYTES = 16;
/** Length of the name of a rendezvous point, and of a relay room. */
export const POINT_NAME_BYTES = 32;
/** Length of a blob's digest: the first bytes of its SHA-256. All zero means no blob. */
export const DIGEST_BYTES = 8;
/** Length of the ID of a relayed connection. */
export const SESSION_BYTES = 8;
/** Size of the largest blob that a mailbox accepts. */
export const BLOB_LIMIT_BYTES = 1024;
/** Bytes that relaying adds to a datagram. */
export const RELAY_HEAD_BYTES: number = 1 + SESSION_BYTES;

/** Low nibble of the first byte. */
export const MAILBOX_KIND = {
  hello: 0,
  cookie: 1,
  meet: 2,
  state: 3,
  leave: 4,
  refused: 5,
  relayOpen: 6,
  relayState: 7,
  relayed: 8,
  relayClose: 9,
} as const;

const REPLY_HEAD_BYTES: number = 2 + TRANSACTION_BYTES;
const HELLO_BYTES: number = REPLY_HEAD_BYTES + COOKIE_BYTES;
const TIME_BYTES = 6;
const TIMED_HELLO_BYTES: number = HELLO_BYTES + TIME_BYTES;
const REQUEST_HEAD_BYTES: number = HELLO_BYTES + POINT_NAME_BYTES + 1;
const MEET_HEAD_BYTES: number = REQUEST_HEAD_BYTES + 2 * DIGEST_BYTES + 2;

/** Why a server refuses a request. */
export const REFUSAL = { full: 1, tooMany: 2, noRelay: 3, quota: 4 } as const;
export type Refusal = (typeof REFUSAL)[keyof typeof REFUSAL];

/** The role at the rendezvous point: 0 the initiator, 1 the responder. */
export type MailboxSide = 0 | 1;

interface RequestHead {
  readonly transaction: Uint8Array;
  readonly cookie: Uint8Array;
  readonly point: Uint8Array;
  readonly side: MailboxSide;
}

/** Requests a cookie, and whether a peer is present. */
export interface Hello {
  readonly kind: "hello";
  readonly transaction: Uint8Array;
  /** Also requests the server's time. The request is then as long as the answer. */
  readonly wantsTime?: true;
}

/**
 * Leaves a blob, requests the peer's, and keeps both the registration and a NAT's mapping alive.
 */
export interface Meet extends RequestHead {
  readonly kind: "meet";
  /** Digest of the blob that the sender has left before, or leaves with this request. */
  readonly localDigest: Uint8Array;
  /** Digest of the peer's newest blob that the sender has. */
  readonly peerDigest: Uint8Array;
  /** Empty if the server is assumed to have the blob. */
  readonly blob: Uint8Array;
}

/** Removes the sender's blob. */
export interface Leave extends RequestHead {
  readonly kind: "leave";
}

/** Requests one end of a relayed connection, and keeps it. The point is the room's name. */
export interface RelayOpen extends RequestHead {
  readonly kind: "relayOpen";
}

/** Releases one end of a relayed connection. */
export interface RelayClose extends RequestHead {
  readonly kind: "relayClose";
}

export type MailboxRequest = Hello | Meet | Leave | RelayOpen | RelayClose;

/** Identifies one side of a rendezvous point: the receiver's. */
interface ReplyHead {
  readonly transaction: Uint8Array;
  readonly point: Uint8Array;
  readonly side: MailboxSide;
}

export interface CookieReply {
  readonly kind: "cookie";
  readonly transaction: Uint8Array;
  readonly cookie: Uint8Array;
  /** The server's clock, UTC in ms; absent if it was not requested, or from an older server. */
  readonly timeMs?: number;
}

/**
 * The state of a rendezvous point. Also sent unsolicited, with a transaction of zeros, when the
 * peer's blob has changed.
 */
export interface MailboxState extends ReplyHead {
  readonly kind: "state";
  /** Digest of the receiver's blob that the server has. */
  readonly localDigest: Uint8Array;
  readonly peerDigest: Uint8Array;
  /** The peer's blob; empty if the receiver already has it or there is none. */
  readonly blob: Uint8Array;
}

export interface Refused extends ReplyHead {
  readonly kind: "refused";
  readonly reason: number;
}

export interface RelayState extends ReplyHead {
  readonly kind: "relayState";
  /** The ID of this end in relayed datagrams. */
  readonly session: Uint8Array;
  readonly isPeerPresent: boolean;
  /** The rate limit of each direction, bytes per second. */
  readonly rateBytes: number;
}

export type MailboxReply = CookieReply | MailboxState | Refused | RelayState;

export function encodeRequest(request: MailboxRequest): Uint8Array {
  if (request.kind === "hello") {
    return head(MAILBOX_KIND.hello, request.wantsTime ? TIMED_HELLO_BYTES : HELLO_BYTES, request.transaction);
  }
  const blobBytes = request.kind === "meet" ? request.blob.length : 0;
  const bytes = head(
    MAILBOX_KIND[request.kind],
    request.kind === "meet" ? MEET_HEAD_BYTES + blobBytes : REQUEST_HEAD_BYTES,
    request.transaction,
  );
  bytes.set(request.cookie, REPLY_HEAD_BYTES);
  bytes.set(request.point, HELLO_BYTES);
  bytes[REQUEST_HEAD_BYTES - 1] = request.side;
  if (request.kind === "meet") writeBlobs(bytes, REQUEST_HEAD_BYTES, request);
  return bytes;
}

/** The request in `bytes`, with fields as views; undefined for any other bytes. */
export function decodeRequest(bytes: Uint8Array): MailboxRequest | undefined {
  const reader = readerBehindHead(bytes);
  if (reader === undefined) return undefined;
  const kind = subkindOf(bytes[0]!);
  const transaction = reader.take(TRANSACTION_BYTES);
  const cookie = reader.take(COOKIE_BYTES);
  if (kind === MAILBOX_KIND.hello) {
    if (!reader.ok) return undefined;
    const hello: Hello = { kind: "hello", transaction };
    return bytes.length >= TIMED_HELLO_BYTES ? { ...hello, wantsTime: true } : hello;
  }
  const point = reader.take(POINT_NAME_BYTES);
  const side = reader.u8();
  if (!reader.ok || (side !== 0 && side !== 1)) return undefined;
  const fields: RequestHead = { transaction, cookie, point, side };
  switch (kind) {
    case MAILBOX_KIND.meet: {
      const blobs = readBlobs(reader);
      return blobs === undefined ? undefined : { kind: "meet", ...fields, ...blobs };
    }
    case MAILBOX_KIND.leave:
      return { kind: "leave", ...fields };
    case MAILBOX_KIND.relayOpen:
      return { kind: "relayOpen", ...fields };
    case MAILBOX_KIND.relayClose:
      return { kind: "relayClose", ...fields };
    default:
      return undefined;
  }
}

export function encodeReply(reply: MailboxReply): Uint8Array {
  if (reply.kind === "cookie") {
    const { timeMs } = reply;
    const length = timeMs === undefined ? HELLO_BYTES : TIMED_HELLO_BYTES;
    const bytes = head(MAILBOX_KIND.cookie, length, reply.transaction);
    bytes.set(reply.cookie, REPLY_HEAD_BYTES);
    if (timeMs !== undefined) writeU48(bytes, HELLO_BYTES, timeMs);
    return bytes;
  }
  const at = REPLY_HEAD_BYTES + POINT_NAME_BYTES + 1;
  const bytes = head(MAILBOX_KIND[reply.kind], at + bodyBytes(reply), reply.transaction);
  bytes.set(reply.point, REPLY_HEAD_BYTES);
  bytes[at - 1] = reply.side;
  if (reply.kind === "state") writeBlobs(bytes, at, reply);
  else if (reply.kind === "refused") bytes[at] = reply.reason;
  else {
    bytes.set(reply.session, at);
    bytes[at + SESSION_BYTES] = reply.isPeerPresent ? 1 : 0;
    writeU32(bytes, at + SESSION_BYTES + 1, Math.min(reply.rateBytes, 0xffffffff));
  }
  return bytes;
}

/** The reply in `bytes`, with fields as views; undefined for any other bytes. */
export function decodeReply(bytes: Uint8Array): MailboxReply | undefined {
  const reader = readerBehindHead(bytes);
  if (reader === undefined) return undefined;
  const kind = subkindOf(bytes[0]!);
  const transaction = reader.take(TRANSACTION_BYTES);
  if (kind === MAILBOX_KIND.cookie) {
    const cookie = reader.take(COOKIE_BYTES);
    if (!reader.ok) return undefined;
    const reply: CookieReply = { kind: "cookie", transaction, cookie };
    return reader.remaining >= TIME_BYTES ? { ...reply, timeMs: reader.u48() } : reply;
  }
  const point = reader.take(POINT_NAME_BYTES);
  const side = reader.u8();
  if (!reader.ok || (side !== 0 && side !== 1)) return undefined;
  const fields: ReplyHead = { transaction, point, side };
  if (kind === MAILBOX_KIND.state) {
    const blobs = readBlobs(reader);
    return blobs === undefined ? undefined : { kind: "state", ...fields, ...blobs };
  }
  if (kind === MAILBOX_KIND.refused) {
    const reason = reader.u8();
    return reader.ok ? { kind: "refused", ...fields, reason } : undefined;
  }
  if (kind !== MAILBOX_KIND.relayState) return undefined;
  const session = reader.take(SESSION_BYTES);
  const isPeerPresent = reader.u8() === 1;
  const rateBytes = reader.u32();
  return reader.ok ? { kind: "relayState", ...fields, session, isPeerPresent, rateBytes } : undefined;
}

/** Whether `bytes` are a relayed datagram. Its payload begins at `RELAY_HEAD_BYTES`. */
export function isRelayed(bytes: Uint8Array): boolean {
  return bytes.length > RELAY_HEAD_BYTES && bytes[0] === (PACKET_RENDEZVOUS | MAILBOX_KIND.relayed);
}

/** The session of a relayed datagram, as a view. */
export function sessionOfRelayed(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(1, RELAY_HEAD_BYTES);
}

/** Writes the header of a relayed datagram to the beginning of `bytes`. */
export function writeRelayHead(bytes: Uint8Array, session: Uint8Array): void {
  bytes[0] = PACKET_RENDEZVOUS | MAILBOX_KIND.relayed;
  bytes.set(session, 1);
}

function head(kind: number, length: number, transaction: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = PACKET_RENDEZVOUS | kind;
  bytes[1] = MAILBOX_VERSION;
  bytes.set(transaction, 2);
  return bytes;
}

function readerBehindHead(bytes: Uint8Array): Reader | undefined {
  if (bytes.length < 2 || kindOf(bytes[0]!) !== PACKET_RENDEZVOUS || bytes[1] !== MAILBOX_VERSION) {
    return undefined;
  }
  const reader = new Reader(bytes);
  reader.at = 2;
  return reader;
}

interface Blobs {
  readonly localDigest: Uint8Array;
  readonly peerDigest: Uint8Array;
  readonly blob: Uint8Array;
}

function bodyBytes(reply: MailboxState | Refused | RelayState): number {
  if (reply.kind === "state") return 2 * DIGEST_BYTES + 2 + reply.blob.length;
  return reply.kind === "refused" ? 1 : SESSION_BYTES + 1 + 4;
}

function writeBlobs(bytes: Uint8Array, at: number, { localDigest, peerDigest, blob }: Blobs): void {
  bytes.set(localDigest, at);
  bytes.set(peerDigest, at + DIGEST_BYTES);
  const behind = writeU16(bytes, at + 2 * DIGEST_BYTES, blob.length);
  bytes.set(blob, behind);
}

function readBlobs(reader: Reader): Blobs | undefined {
  const localDigest = reader.take(DIGEST_BYTES);
  const peerDigest = reader.take(DIGEST_BYTES);
  const length = reader.u16();
  const blob = reader.take(length);
  if (!reader.ok || length > BLOB_LIMIT_BYTES) return undefined;
  return { localDigest, peerDigest, blob: copyBytes(blob) };
}

/**
 * STUN messages, and TURN messages, which use the same format.
 * // RFC 8489 §5, §14; RFC 8656 §18; RFC 5780 §7
 *
 *     0                   4                   8                            20
 *     +---------+---------+-------------------+----------------------------+------------------------
 *     |00 type  | length  | 0x2112A442        | transaction ID, 96 bits    | attributes, each padded
 *     +---------+---------+-------------------+----------------------------+------------------------
 *
 * The input is untrusted: `parseStun` returns undefined for anything that is not a message, and the
 * accessors of a message return undefined for absent or invalid attributes. This layer does no
 * hashing, so the caller passes in the keyed hashes.
 */
import { copyBytes, equalBytes, utf8Decode, utf8Encode, writeU16, writeU32 } from "../base/bytes.ts";
import { crc32 } from "./crc32.ts";
import { IPV4_BYTES, IPV6_BYTES, ipFromBytes, ipToBytes } from "./ip-address.ts";
import { STUN_FIRST_BYTE_LIMIT } from "./packet.ts";

export const STUN_HEADER_BYTES = 20;
export const STUN_TRANSACTION_ID_BYTES = 12;
export const STUN_MAGIC_COOKIE = 0x2112a442;

export const STUN_METHOD = {
  binding: 0x001,
  allocate: 0x003,
  refresh: 0x004,
  send: 0x006,
  data: 0x007,
  createPermission: 0x008,
  channelBind: 0x009,
} as const;

export const STUN_CLASS = { request: 0, indication: 1, success: 2, error: 3 } as const;
export type StunClass = (typeof STUN_CLASS)[keyof typeof STUN_CLASS];

/** Attribute types. A receiver that does not know a type below 0x8000 must refuse the message. */
export const STUN_ATTRIBUTE = {
  mappedAddress: 0x0001,
  changeRequest: 0x0003,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  channelNumber: 0x000c,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedAddressFamily: 0x0017,
  requestedTransport: 0x0019,
  dontFragment: 0x001a,
  messageIntegritySha256: 0x001c,
  passwordAlgorithm: 0x001d,
  xorMappedAddress: 0x0020,
  software: 0x8022,
  alternateServer: 0x8023,
  fingerprint: 0x8028,
  responseOrigin: 0x802b,
  otherAddress: 0x802c,
} as const;

/**
 * Bits of CHANGE-REQUEST: from which address or port the server should answer.  // RFC 5780 §7.2
 */
export const STUN_CHANGE = { address: 0x04, port: 0x02 } as const;

/** A keyed hash: HMAC-SHA1 for MESSAGE-INTEGRITY, HMAC-SHA256 for MESSAGE-INTEGRITY-SHA256. */
export type StunMac = (key: Uint8Array, bytes: Uint8Array) => Uint8Array;

/** An address in a message. */
export interface StunAddress {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
}

const SHA1_BYTES = 20;
const SHA256_BYTES = 32;
/** Length of the shortest permitted truncation of the SHA-256 form.  // RFC 8489 §14.6 */
const MIN_SHA256_BYTES = 16;
/**
 * "STUN": distinguishes the fingerprint from the CRC-32 of other protocols on the same port.
 * // RFC 8489 §14.7
 */
const FINGERPRINT_MASK = 0x5354554e;
const FINGERPRINT_TOTAL_BYTES = 8;
const ATTRIBUTE_HEAD_BYTES = 4;

interface Attribute {
  readonly type: number;
  /** Offset of the attribute's header in the message. */
  readonly at: number;
  readonly value: Uint8Array;
}

/** A received message. It refers to the bytes that it was parsed from. */
export class StunMessage {
  readonly method: number;
  readonly class: StunClass;
  readonly transactionId: Uint8Array;
  readonly #bytes: Uint8Array;
  readonly #attributes: readonly Attribute[];

  constructor(bytes: Uint8Array, attributes: readonly Attribute[]) {
    const type = (bytes[0]! << 8) | bytes[1]!;
    this.class = (((type >>> 7) & 2) | ((type >>> 4) & 1)) as StunClass;
    this.method = (type & 0x000f) | ((type >>> 1) & 0x0070) | ((type >>> 2) & 0x0f80);
    this.transactionId = bytes.subarray(8, STUN_HEADER_BYTES);
    this.#bytes = bytes;
    this.#attributes = attributes;
  }

  /** The value of the first attribute of this type, as a view. */
  attribute(type: number): Uint8Array | undefined {
    return this.#find(type)?.value;
  }

  text(type: number): string | undefined {
    const value = this.attribute(type);
    return value === undefined ? undefined : utf8Decode(value);
  }

  u32(type: number): number | undefined {
    const value = this.attribute(type);
    if (value === undefined || value.length !== 4) return undefined;
    return readU32(value, 0);
  }

  /** An address in plain form, such as OTHER-ADDRESS. */
  address(type: number): StunAddress | undefined {
    return this.#readAddress(type, undefined);
  }

  /**
   * An address under the exclusive-or that hides it from NATs that rewrite payloads, such as
   * XOR-MAPPED-ADDRESS.
   */
  xorAddress(type: number): StunAddress | undefined {
    return this.#readAddress(type, this.#bytes.subarray(4, STUN_HEADER_BYTES));
  }

  /**
   * The sender's address as the server saw it: XOR-MAPPED-ADDRESS, or its equivalent from servers
   * before RFC 5389.
   */
  get mappedAddress(): StunAddress | undefined {
    return this.xorAddress(STUN_ATTRIBUTE.xorMappedAddress) ?? this.address(STUN_ATTRIBUTE.mappedAddress);
  }

  /** ERROR-CODE: 300–699, and its reason. */
  get error(): { readonly code: number; readonly reason: string } | undefined {
    const value = this.attribute(STUN_ATTRIBUTE.errorCode);
    if (value === undefined || value.length < 4) return undefined;
    const code = (value[2]! & 7) * 100 + value[3]!;
    return { code, reason: utf8Decode(value.subarray(4)) };
  }

  /** Comprehension-required attribute types that are not in `known`.  // RFC 8489 §6.3 */
  unknownRequired(known: ReadonlySet<number>): number[] {
    return this.#attributes.map(({ type }) => type).filter((type) => type < 0x8000 && !known.has(type));
  }

  /**
   * Whether the message has a valid MESSAGE-INTEGRITY under `key`; `mac` is HMAC-SHA1.
   * // RFC 8489 §14.5
   */
  isIntact(key: Uint8Array, mac: StunMac): boolean {
    const found = this.#find(STUN_ATTRIBUTE.messageIntegrity);
    if (found?.value.length !== SHA1_BYTES) return false;
    return equalBytes(found.value, mac(key, this.#coveredBytes(found)));
  }

  /**
   * Like `isIntact`, for MESSAGE-INTEGRITY-SHA256, which may be truncated; `mac` is HMAC-SHA256.
   * // RFC 8489 §14.6
   */
  isIntactSha256(key: Uint8Array, mac: StunMac): boolean {
    const found = this.#find(STUN_ATTRIBUTE.messageIntegritySha256);
    const length = found?.value.length ?? 0;
    if (found === undefined || length < MIN_SHA256_BYTES || length > SHA256_BYTES) return false;
    return equalBytes(found.value, mac(key, this.#coveredBytes(found)).subarray(0, length));
  }

  #find(type: number): Attribute | undefined {
    return this.#attributes.find((attribute) => attribute.type === type);
  }

  /**
   * The bytes that an integrity attribute covers: everything before it, with a length field that
   * ends after it.
   */
  #coveredBytes(attribute: Attribute): Uint8Array {
    const covered = copyBytes(this.#bytes, 0, attribute.at);
    writeU16(covered, 2, attribute.at + ATTRIBUTE_HEAD_BYTES + attribute.value.length - STUN_HEADER_BYTES);
    return covered;
  }

  #readAddress(type: number, mask: Uint8Array | undefined): StunAddress | undefined {
    const value = this.attribute(type);
    if (value === undefined || value.length < 4) return undefined;
    const family = value[1] === 1 ? 4 : value[1] === 2 ? 6 : undefined;
    if (family === undefined || value.length !== 4 + (family === 4 ? IPV4_BYTES : IPV6_BYTES))
      return undefined;
    const plain = copyBytes(value);
    if (mask !== undefined) applyMask(plain, 0, mask);
    const port = (plain[2]! << 8) | plain[3]!;
    return { address: ipFromBytes(plain.subarray(4)), port, family };
  }
}

/**
 * Parses the message in exactly these `bytes`; undefined if they are not a message, or if the
 * fingerprint is wrong.
 */
export function parseStun(bytes: Uint8Array): StunMessage | undefined {
  if (!looksLikeStun(bytes) || stunMessageBytes(bytes) !== bytes.length) return undefined;
  const attributes: Attribute[] = [];
  let isSealed = false;
  for (let at = STUN_HEADER_BYTES; at < bytes.length; ) {
    const type = (bytes[at]! << 8) | bytes[at + 1]!;
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const valueAt = at + ATTRIBUTE_HEAD_BYTES;
    if (valueAt + length > bytes.length) return undefined;
    const isFingerprint = type === STUN_ATTRIBUTE.fingerprint;
    if (isFingerprint && !isFingerprintRight(bytes, at, length)) return undefined;
    // The integrity attribute does not cover attributes after it, so anyone may have added them.
    const isIntegrity =
      type === STUN_ATTRIBUTE.messageIntegrity || type === STUN_ATTRIBUTE.messageIntegritySha256;
    if (!isSealed || isFingerprint || type === STUN_ATTRIBUTE.messageIntegritySha256)
      attributes.push({ type, at, value: bytes.subarray(valueAt, valueAt + length) });
    isSealed ||= isIntegrity;
    at = valueAt + padded(length);
  }
  return new StunMessage(bytes, attributes);
}

/**
 * Whether bytes that begin like this can be a STUN message. Used on sockets shared with other
 * protocols.
 */
export function looksLikeStun(bytes: Uint8Array): boolean {
  return (
    bytes.length >= STUN_HEADER_BYTES &&
    bytes[0]! < STUN_FIRST_BYTE_LIMIT &&
    (bytes[3]! & 3) === 0 &&
    readU32(bytes, 4) === STUN_MAGIC_COOKIE
  );
}

/** Length of the message whose header begins `bytes`. Splits a stream into messages. */
export function stunMessageBytes(bytes: Uint8Array): number {
  return STUN_HEADER_BYTES + ((bytes[2]! << 8) | bytes[3]!);
}

/** Builds a message attribute by attribute. `fingerprint` or an integrity attribute comes last. */
export class StunWriter {
  readonly transactionId: Uint8Array;
  #bytes: Uint8Array = new Uint8Array(FIRST_CAPACITY_BYTES);
  #end: number = STUN_HEADER_BYTES;

  /** @param transactionId 12 random bytes, or those of the request that the message answers */
  constructor(method: number, messageClass: StunClass, transactionId: Uint8Array) {
    const type =
      (method & 0x000f) |
      ((method & 0x0070) << 1) |
      ((method & 0x0f80) << 2) |
      ((messageClass & 1) << 4) |
      ((messageClass & 2) << 7);
    writeU16(this.#bytes, 0, type);
    writeU32(this.#bytes, 4, STUN_MAGIC_COOKIE);
    this.#bytes.set(transactionId, 8);
    this.transactionId = transactionId;
  }

  attribute(type: number, value: Uint8Array): this {
    const at = this.#end;
    const valueAt = at + ATTRIBUTE_HEAD_BYTES;
    this.#makeRoom(valueAt + padded(value.length));
    writeU16(this.#bytes, at, type);
    writeU16(this.#bytes, at + 2, value.length);
    this.#bytes.set(value, valueAt);
    this.#end = valueAt + padded(value.length);
    this.#writeLength(this.#end);
    return this;
  }

  text(type: number, text: string): this {
    return this.attribute(type, utf8Encode(text));
  }

  u32(type: number, value: number): this {
    const bytes = new Uint8Array(4);
    writeU32(bytes, 0, value);
    return this.attribute(type, bytes);
  }

  /** @param address an IPv4 or IPv6 address as text; throws a RangeError otherwise */
  address(type: number, address: string, port: number): this {
    return this.attribute(type, addressBytes(address, port));
  }

  xorAddress(type: number, address: string, port: number): this {
    const value = addressBytes(address, port);
    applyMask(value, 0, this.#bytes.subarray(4, STUN_HEADER_BYTES));
    return this.attribute(type, value);
  }

  error(code: number, reason: string): this {
    const text = utf8Encode(reason);
    const value = new Uint8Array(4 + text.length);
    value[2] = Math.floor(code / 100);
    value[3] = code % 100;
    value.set(text, 4);
    return this.attribute(STUN_ATTRIBUTE.errorCode, value);
  }

  /** Adds MESSAGE-INTEGRITY over everything written so far; `mac` is HMAC-SHA1. */
  integrity(key: Uint8Array, mac: StunMac): this {
    return this.#seal(STUN_ATTRIBUTE.messageIntegrity, SHA1_BYTES, key, mac);
  }

  /** Adds MESSAGE-INTEGRITY-SHA256 over everything written so far; `mac` is HMAC-SHA256. */
  integritySha256(key: Uint8Array, mac: StunMac): this {
    return this.#seal(STUN_ATTRIBUTE.messageIntegritySha256, SHA256_BYTES, key, mac);
  }

  fingerprint(): this {
    const at = this.#end;
    this.#writeLength(at + FINGERPRINT_TOTAL_BYTES);
    const crc = crc32(this.#bytes, 0, at);
    return this.u32(STUN_ATTRIBUTE.fingerprint, crc ^ FINGERPRINT_MASK);
  }

  /** The whole message, a new array. */
  finish(): Uint8Array {
    return copyBytes(this.#bytes, 0, this.#end);
  }

  #seal(type: number, length: number, key: Uint8Array, mac: StunMac): this {
    this.#writeLength(this.#end + ATTRIBUTE_HEAD_BYTES + length);
    return this.attribute(type, mac(key, copyBytes(this.#bytes, 0, this.#end)));
  }

  #writeLength(end: number): void {
    writeU16(this.#bytes, 2, end - STUN_HEADER_BYTES);
  }

  #makeRoom(end: number): void {
    if (end <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** Most outgoing messages are smaller. */
const FIRST_CAPACITY_BYTES = 160;

function addressBytes(address: string, port: number): Uint8Array {
  const ip = ipToBytes(address);
  if (ip === undefined) throw new RangeError("not an IP address");
  const value = new Uint8Array(4 + ip.length);
  value[1] = ip.length === IPV4_BYTES ? 1 : 2;
  writeU16(value, 2, port);
  value.set(ip, 4);
  return value;
}

/**
 * Applies the exclusive-or with cookie and transaction ID to the port and address of an attribute.
 * // RFC 8489 §14.2
 */
function applyMask(value: Uint8Array, at: number, mask: Uint8Array): void {
  value[at + 2]! ^= mask[0]!;
  value[at + 3]! ^= mask[1]!;
  for (let i = at + 4; i < value.length; i++) value[i]! ^= mask[i - at - 4]!;
}

function isFingerprintRight(bytes: Uint8Array, at: number, length: number): boolean {
  if (length !== 4 || at + FINGERPRINT_TOTAL_BYTES !== bytes.length) return false;
  return readU32(bytes, at + ATTRIBUTE_HEAD_BYTES) === (crc32(bytes, 0, at) ^ FINGERPRINT_MASK) >>> 0;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/**
 * Requests to a router for a public port: PCP and its predecessor NAT-PMP, on the same port of the
 * router.  // RFC 6887 §7, §11; RFC 6886 §3
 *
 *     PCP      |2|1 MAP | 0 |lifetime |local address (16)| nonce (12) |17| 0 |local port|public port|public address (16)|
 *     NAT-PMP  |0|1 UDP | 0 |local port|public port|lifetime|         |0|0 query public address|
 *
 * Answers repeat the request's fields, with the top bit of the second byte set, a result code and
 * the router's uptime.
 */
import { writeU16, writeU32 } from "../base/bytes.ts";
import { Reader } from "../base/reader.ts";
import { IPV4_BYTES, IPV6_BYTES, ipFromBytes, ipToBytes } from "./ip-address.ts";

export const PORT_CONTROL_PORT = 5351;
export const PCP_NONCE_BYTES = 12;

const PCP_VERSION = 2;
const NAT_PMP_VERSION = 0;
const MAP = 1;
const ADDRESS = 0;
const ANSWER = 0x80;
const PROTOCOL_UDP = 17;
const PCP_REQUEST_BYTES = 60;
const V4_MAPPED_AT = 12;
/** The router supports NAT-PMP only, or a later PCP.  // RFC 6887 §7.4, RFC 6886 §3.5 */
const UNSUPPORTED_VERSION = 1;

/** A requested mapping. */
export interface MappingRequest {
  /** The local address on the route to the router. PCP compares it with the packet's source. */
  readonly address: string;
  readonly internalPort: number;
  /** The preferred external port; 0 for any. */
  readonly externalPort: number;
  /** 0 removes the mapping. */
  readonly lifetimeS: number;
  /** 12 bytes that are the same in all requests for one mapping; NAT-PMP has none. */
  readonly nonce: Uint8Array;
}

export type PortControlAnswer =
  | {
      readonly kind: "mapped";
      readonly internalPort: number;
      readonly externalPort: number;
      /** Undefined in NAT-PMP, where a separate request returns it. */
      readonly externalAddress: string | undefined;
      readonly lifetimeS: number;
      /** Empty in NAT-PMP. */
      readonly nonce: Uint8Array;
    }
  | { readonly kind: "address"; readonly externalAddress: string }
  /** The router does not support this version of the protocol. */
  | { readonly kind: "version" }
  | { readonly kind: "refused"; readonly code: number };

/** @throws RangeError if the local address is not an IP address */
export function pcpMapRequest(request: MappingRequest): Uint8Array {
  const bytes = new Uint8Array(PCP_REQUEST_BYTES);
  bytes[0] = PCP_VERSION;
  bytes[1] = MAP;
  writeU32(bytes, 4, request.lifetimeS);
  bytes.set(mappedAddress(request.address), 8);
  bytes.set(request.nonce, 24);
  bytes[36] = PROTOCOL_UDP;
  writeU16(bytes, 40, request.internalPort);
  writeU16(bytes, 42, request.externalPort);
  // Any address: all zeros, in the form of the local address's family.  // RFC 6887 §11.1
  if (!request.address.includes(":")) bytes.fill(0xff, 44 + V4_MAPPED_AT - 2, 44 + V4_MAPPED_AT);
  return bytes;
}

export function natPmpMapRequest(request: MappingRequest): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes[0] = NAT_PMP_VERSION;
  bytes[1] = MAP;
  writeU16(bytes, 4, request.internalPort);
  // A request that removes a mapping asks for port 0.  // RFC 6886 §3.4
  writeU16(bytes, 6, request.lifetimeS === 0 ? 0 : request.externalPort);
  writeU32(bytes, 8, request.lifetimeS);
  return bytes;
}

/** Requests the public address of a NAT-PMP router. */
export function natPmpAddressRequest(): Uint8Array {
  return Uint8Array.of(NAT_PMP_VERSION, ADDRESS);
}

/** Parses a router's answer; undefined for any other bytes. */
export function parsePortControl(bytes: Uint8Array): PortControlAnswer | undefined {
  const reader = new Reader(bytes);
  const version = reader.u8();
  const opcode = reader.u8();
  if (!reader.ok || (opcode & ANSWER) === 0) return undefined;
  if (version === PCP_VERSION) return parsePcp(reader, opcode & ~ANSWER);
  if (version === NAT_PMP_VERSION) return parseNatPmp(reader, opcode & ~ANSWER);
  return undefined;
}

function parsePcp(reader: Reader, opcode: number): PortControlAnswer | undefined {
  reader.u8();
  const code = reader.u8();
  const lifetimeS = reader.u32();
  reader.take(4 + 12);
  if (!reader.ok) return undefined;
  if (code === UNSUPPORTED_VERSION) return { kind: "version" };
  if (opcode !== MAP) return undefined;
  if (code !== 0) return { kind: "refused", code };
  const nonce = reader.take(PCP_NONCE_BYTES);
  const protocol = reader.u8();
  reader.take(3);
  const internalPort = reader.u16();
  const externalPort = reader.u16();
  const externalAddress = plainAddress(reader.take(IPV6_BYTES));
  if (!reader.ok || protocol !== PROTOCOL_UDP) return undefined;
  return { kind: "mapped", internalPort, externalPort, externalAddress, lifetimeS, nonce };
}

function parseNatPmp(reader: Reader, opcode: number): PortControlAnswer | undefined {
  const code = reader.u16();
  reader.take(4);
  if (!reader.ok) return undefined;
  if (code === UNSUPPORTED_VERSION) return { kind: "version" };
  if (code !== 0) return { kind: "refused", code };
  if (opcode === ADDRESS) {
    const externalAddress = ipFromBytes(reader.take(IPV4_BYTES));
    return reader.ok ? { kind: "address", externalAddress } : undefined;
  }
  if (opcode !== MAP) return undefined;
  const internalPort = reader.u16();
  const externalPort = reader.u16();
  const lifetimeS = reader.u32();
  if (!reader.ok) return undefined;
  const nonce = new Uint8Array(0);
  return { kind: "mapped", internalPort, externalPort, externalAddress: undefined, lifetimeS, nonce };
}

/** 16 bytes: an IPv4 address as an IPv4-mapped IPv6 address.  // RFC 6887 §5 */
function mappedAddress(address: string): Uint8Array {
  const plain = ipToBytes(address);
  if (plain === undefined) throw new RangeError("not an IP address");
  if (plain.length === IPV6_BYTES) return plain;
  const bytes = new Uint8Array(IPV6_BYTES);
  bytes.fill(0xff, V4_MAPPED_AT - 2, V4_MAPPED_AT);
  bytes.set(plain, V4_MAPPED_AT);
  return bytes;
}

function plainAddress(bytes: Uint8Array): string {
  return ipFromBytes(bytes).replace(/^::ffff:(?=\d+\.)/, "");
}

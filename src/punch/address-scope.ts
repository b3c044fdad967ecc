/**
 * The scope of an address, and whether a check may be sent to it.
 *
 * Candidates come from the peer, or from a ticket that an attacker may have made. Only unicast addresses are
 * accepted, and site-local ones only if a local address makes them plausible. This protects third parties from
 * packets, and the network behind the local router from scans.
 */
import { ipToBytes } from "../wire/ip-address.ts";

/**
 * `shared` is the range between a provider's NAT and its customers.  // RFC 6598; IANA
 * special-purpose registries
 */
export type AddressScope = "global" | "private" | "shared" | "linkLocal" | "loopback" | "unusable";

/**
 * The scope in which `address` is valid. `unusable` if it is not an address, or not a valid
 * destination for datagrams.
 */
export function addressScope(address: string): AddressScope {
  const zoneAt = address.indexOf("%");
  const bytes = ipToBytes(zoneAt < 0 ? address : address.slice(0, zoneAt));
  if (bytes === undefined) return "unusable";
  return bytes.length === 4 ? v4Scope(bytes) : v6Scope(bytes);
}

/**
 * How far apart two addresses may be: on the same link, or anywhere that is routed without a NAT in
 * between.
 */
export type TraversalContext = "network" | "site";

/**
 * Whether both addresses can be in one site (or network): they are equal, or share a prefix of a
 * length that sites commonly have. Global IPv4 addresses say nothing about sites.
 */
export function isOnSameSite(a: string, b: string, context: TraversalContext = "site"): boolean {
  const bytesA = ipToBytes(a);
  const bytesB = ipToBytes(b);
  if (bytesA === undefined || bytesB === undefined || bytesA.length !== bytesB.length) return false;
  const scope = addressScope(a);
  if (scope === "unusable" || scope !== addressScope(b)) return false;
  return isSamePrefix(bytesA, bytesB, (bytesA.length === 4 ? V4_BITS : V6_BITS)[context][scope]);
}

/**
 * Whether checks may be sent to a remote candidate, given the addresses of the local interfaces.
 */
export function isPlausible(
  address: string,
  port: number,
  localHosts: readonly { readonly address: string }[],
  context: TraversalContext,
): boolean {
  if (!Number.isInteger(port) || port < 1 || port > 65535) return false;
  switch (addressScope(address)) {
    case "global":
      return true;
    case "unusable":
      return false;
    default:
      return localHosts.some((local) => isOnSameSite(local.address, address, context));
  }
}

/** Minimum number of leading bits that two hosts share. */
const V4_BITS = {
  site: { global: 32, private: 16, shared: 16, linkLocal: 16, loopback: 8 },
  network: { global: 32, private: 24, shared: 32, linkLocal: 16, loopback: 8 },
} as const;
const V6_BITS = {
  site: { global: 64, private: 48, shared: 128, linkLocal: 64, loopback: 128 },
  network: { global: 64, private: 64, shared: 128, linkLocal: 64, loopback: 128 },
} as const;

function isSamePrefix(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  for (let bit = 0; bit < bits; bit += 8) {
    const mask = bits - bit >= 8 ? 0xff : (0xff << (8 - (bits - bit))) & 0xff;
    if (((a[bit >> 3]! ^ b[bit >> 3]!) & mask) !== 0) return false;
  }
  return true;
}

function v4Scope([a, b]: Uint8Array): AddressScope {
  if (a === 10 || (a === 172 && (b! & 0xf0) === 16) || (a === 192 && b === 168)) return "private"; // RFC 1918
  if (a === 100 && (b! & 0xc0) === 64) return "shared";
  if (a === 127) return "loopback";
  if (a === 169 && b === 254) return "linkLocal"; // RFC 3927
  // This network, multicast, and the reserved range up to the broadcast address.
  if (a === 0 || a! >= 224) return "unusable";
  // Blocks for documentation and benchmarks are not filtered here: routers decide about them.
  return "global";
}

function v6Scope(bytes: Uint8Array): AddressScope {
  const first = bytes[0]!;
  const second = bytes[1]!;
  if (first === 0xff) return "unusable"; // multicast
  if (first === 0xfe && (second & 0xc0) === 0x80) return "linkLocal";
  if ((first & 0xfe) === 0xfc) return "private"; // RFC 4193
  if (bytes.subarray(0, 15).every((byte) => byte === 0)) return bytes[15] === 1 ? "loopback" : "unusable";
  // An IPv4-mapped address would bypass the rules for IPv4.
  if (bytes.subarray(0, 10).every((byte) => byte === 0)) return "unusable";
  return "global";
}

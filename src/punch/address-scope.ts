/**
 * The scope of an address, and whether a check may be sent to it.
 *
 * Candidates come from the peer, or from a ticket that an attacker may have made. Only unicast
 * addresses are accepted, and site-local ones only if a local address makes them plausible. This
 * protects third parties from packets, and the network behind the local router from scans.
 */
import { type AddressRange, SPECIAL_IPV4, SPECIAL_IPV6 } from "../base/special-addresses.ts";
import { hasSamePrefix, ipToBytes } from "../wire/ip-address.ts";

/**
 * `shared` is the range between a provider's NAT and its customers.
 * // RFC 6598; IANA special-purpose registries
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
  return RANGES.find(({ prefix, prefixBits }) => hasSamePrefix(bytes, prefix, prefixBits))?.scope ?? "global";
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
  return hasSamePrefix(bytesA, bytesB, (bytesA.length === 4 ? V4_BITS : V6_BITS)[context][scope]);
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

interface ScopedRange {
  readonly scope: AddressScope;
  readonly prefix: Uint8Array;
  readonly prefixBits: number;
}

/** The scope of each range; the first that contains an address counts. */
const RANGES: readonly ScopedRange[] = [
  ...rangesOf("private", SPECIAL_IPV4.private10, SPECIAL_IPV4.private172, SPECIAL_IPV4.private192),
  ...rangesOf("shared", SPECIAL_IPV4.shared),
  ...rangesOf("loopback", SPECIAL_IPV4.loopback),
  ...rangesOf("linkLocal", SPECIAL_IPV4.linkLocal),
  ...rangesOf("unusable", SPECIAL_IPV4.thisNetwork, SPECIAL_IPV4.multicast, SPECIAL_IPV4.reserved),
  ...rangesOf("private", SPECIAL_IPV6.uniqueLocal),
  ...rangesOf("loopback", SPECIAL_IPV6.loopback),
  ...rangesOf("linkLocal", SPECIAL_IPV6.linkLocal),
  // An IPv6 address that embeds an IPv4 address would bypass the rules for IPv4.
  ...rangesOf("unusable", SPECIAL_IPV6.multicast, SPECIAL_IPV6.zeroPrefix),
  // All other addresses are global. Blocks for documentation and benchmarks are not filtered here: routers
  // decide about them.
];

function rangesOf(scope: AddressScope, ...ranges: readonly AddressRange[]): ScopedRange[] {
  return ranges.flatMap(({ address, prefixBits }) => {
    const prefix = ipToBytes(address);
    return prefix === undefined ? [] : [{ scope, prefix, prefixBits }];
  });
}

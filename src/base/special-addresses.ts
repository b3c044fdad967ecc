/**
 * The address ranges that are not ordinary unicast addresses of the Internet, each with its source.
 * The layers above decide what a range means to them: where checks may go
 * (`src/punch/address-scope.ts`), what an exposed pattern may cover
 * (`src/app/forward/permissions/special-ranges.ts`), which local addresses to show
 * (`src/cli/reports/local-addresses.ts`).
 *
 * Most are in the IANA registries of special-purpose addresses.  // RFC 6890, RFC 8190
 */

/** A network: its first address, in canonical text, and the length of its prefix in bits. */
export interface AddressRange {
  readonly address: string;
  readonly prefixBits: number;
}

/** IPv4 ranges; no two overlap. */
export const SPECIAL_IPV4 = {
  /** "This network". Many systems take 0.0.0.0 as a destination for the loopback.  // RFC 1122 §3.2.1.3 */
  thisNetwork: { address: "0.0.0.0", prefixBits: 8 },
  private10: { address: "10.0.0.0", prefixBits: 8 }, // RFC 1918 §3
  /** Between a carrier's NAT and its customers.  // RFC 6598 §7 */
  shared: { address: "100.64.0.0", prefixBits: 10 },
  loopback: { address: "127.0.0.0", prefixBits: 8 }, // RFC 1122 §3.2.1.3
  /** A public address at which Microsoft Azure serves DNS and metadata to its virtual machines. */
  azureMetadata: { address: "168.63.129.16", prefixBits: 32 },
  /** Clouds serve metadata here, at 169.254.169.254.  // RFC 3927 §2.1 */
  linkLocal: { address: "169.254.0.0", prefixBits: 16 },
  private172: { address: "172.16.0.0", prefixBits: 12 }, // RFC 1918 §3
  protocolAssignments: { address: "192.0.0.0", prefixBits: 24 }, // RFC 6890 §2.1
  private192: { address: "192.168.0.0", prefixBits: 16 }, // RFC 1918 §3
  benchmarking: { address: "198.18.0.0", prefixBits: 15 }, // RFC 2544 appendix C
  multicast: { address: "224.0.0.0", prefixBits: 4 }, // RFC 5771
  /** Up to the limited broadcast address.  // RFC 1112 §4, RFC 919 §7 */
  reserved: { address: "240.0.0.0", prefixBits: 4 },
} as const;

/** IPv6 ranges. `loopback` lies within `ipv4Compatible`, which lies within `zeroPrefix`. */
export const SPECIAL_IPV6 = {
  loopback: { address: "::1", prefixBits: 128 }, // RFC 4291 §2.5.3
  /** With the unspecified address `::`.  // RFC 4291 §2.5.5.1, §2.5.2 */
  ipv4Compatible: { address: "::", prefixBits: 96 },
  /** 80 zero bits, then anything: with IPv4-compatible and IPv4-mapped addresses.  // RFC 4291 §2.5.5 */
  zeroPrefix: { address: "::", prefixBits: 80 },
  /** IPv4-translated addresses: each one stands for an IPv4 address.  // RFC 7915, RFC 2765 */
  ipv4Translated: { address: "::ffff:0:0:0", prefixBits: 96 },
  nat64: { address: "64:ff9b::", prefixBits: 96 }, // RFC 6052 §2.1
  localNat64: { address: "64:ff9b:1::", prefixBits: 48 }, // RFC 8215
  teredo: { address: "2001::", prefixBits: 32 }, // RFC 4380 §2.6
  sixToFour: { address: "2002::", prefixBits: 16 }, // RFC 3056 §2
  uniqueLocal: { address: "fc00::", prefixBits: 7 }, // RFC 4193 §3.1
  linkLocal: { address: "fe80::", prefixBits: 10 }, // RFC 4291 §2.5.6
  siteLocal: { address: "fec0::", prefixBits: 10 }, // RFC 3879 §4
  multicast: { address: "ff00::", prefixBits: 8 }, // RFC 4291 §2.7
} as const;

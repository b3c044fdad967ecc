/**
 * The kinds of NAT that the lab builds, as nftables rules for the kernel's own NAT.
 *
 * Linux by itself is endpoint-independent in mapping (it keeps the port where it can) and
 * address-and-port-dependent in filtering; the other kinds come from maps that the rules fill from the
 * packets that leave. Terms: RFC 4787. `wan` is the device towards the Internet.
 */

export type NatTypeName =
  | "none"
  | "full-cone"
  | "address-restricted"
  | "port-restricted"
  | "port-changing"
  | "symmetric"
  | "sequential"
  | "port-block"
  | "double"
  | "udp-blocked"
  | "poison-prone"
  | "hairpin";

/** What a NAT depends on when it maps or filters, in the words that a person reads. */
export type Dependence = "independent" | "address" | "address and port";

export interface NatType {
  readonly title: string;
  readonly mapping: Dependence;
  readonly filtering: Dependence;
  /** Which public ports it gives. */
  readonly ports: "preserved" | "stable" | "sequential" | "random";
  /** Rules of the prerouting and postrouting hooks; the latter for the public address given. */
  readonly prerouting?: (publicAddress: string) => readonly string[];
  readonly postrouting: (publicAddress: string) => readonly string[];
  /** Whether a packet to the NAT's own public address that nobody expects is accepted, and so remembered. */
  readonly acceptsStrays?: true;
  readonly dropsUdp?: true;
  /** A second NAT of the same kind stands between it and the Internet. */
  readonly isDouble?: true;
}

const MASQUERADE = 'oifname "wan" masquerade';
const UDP_OUT = 'oifname "wan" meta l4proto udp';
const TO_MAPPED_HOST = "dnat ip to udp dport map @mapped";

const PORT_RESTRICTED = {
  mapping: "independent",
  filtering: "address and port",
  ports: "preserved",
  postrouting: () => [MASQUERADE],
} as const;

export const NAT_TYPES: Readonly<Record<NatTypeName, NatType>> = {
  none: {
    title: "no NAT",
    mapping: "independent",
    filtering: "independent",
    ports: "preserved",
    postrouting: () => [],
  },
  "full-cone": {
    ...PORT_RESTRICTED,
    title: "full cone",
    filtering: "independent",
    prerouting: () => [`iifname "wan" meta l4proto udp ${TO_MAPPED_HOST}`],
  },
  "address-restricted": {
    ...PORT_RESTRICTED,
    title: "address-restricted",
    filtering: "address",
    prerouting: () => [`iifname "wan" meta l4proto udp udp dport . ip saddr @contacted ${TO_MAPPED_HOST}`],
  },
  "port-restricted": { ...PORT_RESTRICTED, title: "port-restricted" },
  "port-changing": {
    ...PORT_RESTRICTED,
    title: "port not preserved",
    ports: "stable",
    postrouting: (address) => [
      `${UDP_OUT} snat ip to ${address} : jhash ip saddr . udp sport mod 60000 seed 0x1234 offset 2000`,
      MASQUERADE,
    ],
  },
  symmetric: {
    title: "symmetric",
    mapping: "address and port",
    filtering: "address and port",
    ports: "random",
    postrouting: () => [`${MASQUERADE} fully-random`],
  },
  sequential: {
    title: "sequential",
    mapping: "address and port",
    filtering: "address and port",
    ports: "sequential",
    // A port is two bytes in network order: the counter goes into the low one, 0x9c00 = 39936 and on.
    postrouting: (address) => [
      `${UDP_OUT} snat ip to ${address} : numgen inc mod 256 << 8 | 0x9c`,
      MASQUERADE,
    ],
  },
  "port-block": {
    title: "port-block CGN",
    mapping: "address and port",
    filtering: "address and port",
    ports: "random",
    postrouting: () => [`${UDP_OUT} masquerade to :40000-41023 fully-random`, MASQUERADE],
  },
  double: { ...PORT_RESTRICTED, title: "double NAT", isDouble: true },
  "udp-blocked": { ...PORT_RESTRICTED, title: "UDP blocked", dropsUdp: true },
  "poison-prone": { ...PORT_RESTRICTED, title: "poison-prone", acceptsStrays: true },
  hairpin: {
    ...PORT_RESTRICTED,
    title: "port-restricted with hairpin",
    prerouting: (address) => [`iifname != "wan" ip daddr ${address} meta l4proto udp ${TO_MAPPED_HOST}`],
    postrouting: (address) => [MASQUERADE, `oifname != "wan" ct status dnat snat ip to ${address}`],
  },
};

/** The eleven kinds whose pairs make the matrix. */
export const MATRIX_TYPES: readonly NatTypeName[] = [
  "none",
  "full-cone",
  "address-restricted",
  "port-restricted",
  "port-changing",
  "symmetric",
  "sequential",
  "port-block",
  "double",
  "udp-blocked",
  "poison-prone",
];

/** The whole rule set of a NAT with this public address. nft wants a newline before each closing brace. */
export function natRules(type: NatType, publicAddress: string): string {
  return `
table ip nat {
 map mapped {
  type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 120s;
 }
 set contacted {
  type inet_service . ipv4_addr; flags dynamic,timeout; timeout 120s;
 }
 chain learn {
  type filter hook postrouting priority 110;
  oifname "wan" meta l4proto udp ct direction original update @mapped { udp sport : ct original ip saddr . ct original proto-src }
  oifname "wan" meta l4proto udp ct direction original update @contacted { udp sport . ip daddr }
 }
 chain pre {
  type nat hook prerouting priority dstnat;
  ${type.prerouting?.(publicAddress).join("\n  ") ?? ""}
 }
 chain post {
  type nat hook postrouting priority srcnat;
  ${type.postrouting(publicAddress).join("\n  ")}
 }
}
table ip fw {
 chain input {
  type filter hook input priority filter; policy ${type.acceptsStrays ? "accept" : "drop"};
  iifname != "wan" accept
 }
 chain through {
  type filter hook forward priority filter;
  ${type.dropsUdp ? "meta l4proto udp drop" : ""}
 }
}
`;
}

/** A stateful IPv6 firewall: whoever is inside may speak first, nobody outside. */
export const IPV6_FIREWALL_RULES = `
table ip6 fw6 {
 chain through {
  type filter hook forward priority filter; policy drop;
  ct state established,related accept
  iifname != "wan" accept
  icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
 }
}
`;

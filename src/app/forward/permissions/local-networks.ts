/**
 * The current addresses of this machine and of the networks it is directly connected to. A pattern
 * of an exposure must not cover them by accident, because a firewall between this machine and the
 * Internet does not protect them from this machine.
 */
import { networkInterfaces } from "node:os";
import { canonicalAddress, Network } from "./special-ranges.ts";

/** The type of `os.networkInterfaces()`. Tests pass a substitute. */
export type Interfaces = () => ReturnType<typeof networkInterfaces>;

/**
 * Prefix length assumed for IPv6 neighbours. A DHCPv6 address is listed with /128, but its
 * neighbours are in the same /64.  // RFC 4291 §2.5.1
 */
const IPV6_LINK_BITS = 64;

export class LocalNetworks {
  /** Addresses of this machine, and networks that a loopback interface answers for as a whole. */
  readonly #local: readonly Network[];
  readonly #onLink: readonly Network[];

  constructor(interfaces: Interfaces = networkInterfaces) {
    const local: Network[] = [];
    const onLink: Network[] = [];
    for (const entry of Object.values(interfaces()).flatMap((entries) => entries ?? [])) {
      const address = canonicalAddress(entry.address);
      if (address === undefined) continue;
      const fullBits = entry.family === "IPv4" ? 32 : 128;
      const prefixBits = Number(entry.cidr?.split("/")[1] ?? fullBits);
      if (entry.internal) local.push(new Network(address, prefixBits));
      else {
        local.push(new Network(address, fullBits));
        const isSix = entry.family === "IPv6";
        onLink.push(new Network(address, isSix ? Math.min(prefixBits, IPV6_LINK_BITS) : prefixBits));
      }
    }
    this.#local = local;
    this.#onLink = onLink;
  }

  /** Whether a packet to `address` (canonical) stays on this machine. */
  isLocal(address: string): boolean {
    return this.#local.some((network) => network.has(address));
  }

  /** Whether `address` (canonical) is reachable without a router. */
  isOnLink(address: string): boolean {
    return this.#onLink.some((network) => network.has(address));
  }
}

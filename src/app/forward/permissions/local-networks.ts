/**
 * The addresses of this machine and of the networks it is directly connected to, as they are now: patterns of an
 * exposure must not reach either by accident, since a firewall that protects them stands outside.
 */
import { networkInterfaces } from "node:os";
import { canonicalAddress, Network } from "./special-ranges.ts";

/** What `os.networkInterfaces()` returns; tests give their own. */
export type Interfaces = () => ReturnType<typeof networkInterfaces>;

/** A DHCPv6 address comes with /128; the neighbours are in its /64 all the same.  // RFC 4291 §2.5.1 */
const IPV6_LINK_BITS = 64;

export class OwnNetworks {
  /** Single addresses, and networks that a loopback interface answers for as a whole. */
  readonly #own: readonly Network[];
  readonly #onLink: readonly Network[];

  constructor(interfaces: Interfaces = networkInterfaces) {
    const own: Network[] = [];
    const onLink: Network[] = [];
    for (const entry of Object.values(interfaces()).flatMap((entries) => entries ?? [])) {
      const address = canonicalAddress(entry.address);
      if (address === undefined) continue;
      const fullBits = entry.family === "IPv4" ? 32 : 128;
      const prefixBits = Number(entry.cidr?.split("/")[1] ?? fullBits);
      if (entry.internal) own.push(new Network(address, prefixBits));
      else {
        own.push(new Network(address, fullBits));
        const isSix = entry.family === "IPv6";
        onLink.push(new Network(address, isSix ? Math.min(prefixBits, IPV6_LINK_BITS) : prefixBits));
      }
    }
    this.#own = own;
    this.#onLink = onLink;
  }

  /** Whether a packet to `address` (canonical) stays on this machine. */
  isOwn(address: string): boolean {
    return this.#own.some((network) => network.has(address));
  }

  /** Whether `address` (canonical) is reached without a router. */
  isOnLink(address: string): boolean {
    return this.#onLink.some((network) => network.has(address));
  }
}

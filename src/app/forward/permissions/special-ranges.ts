/**
 * Address ranges that a pattern of an exposure must name explicitly: loopback, link-local, private
 * and metadata addresses.
 */
import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";
import { type AddressRange, SPECIAL_IPV4, SPECIAL_IPV6 } from "../../../base/special-addresses.ts";

/** A network: an address and the length of its prefix in bits. */
export class Network {
  readonly address: string;
  readonly prefixBits: number;
  readonly #members: BlockList = new BlockList();

  /** @param address canonical, see `canonicalAddress` */
  constructor(address: string, prefixBits: number) {
    this.address = address;
    this.prefixBits = prefixBits;
    this.#members.addSubnet(address, prefixBits, familyOf(address));
  }

  /** Parses a network in CIDR notation. Returns undefined for any other text. */
  static parse(text: string): Network | undefined {
    const parts = /^([0-9a-f.:]+)\/(\d{1,3})$/i.exec(text);
    const address = canonicalAddress(parts?.[1] ?? "");
    const prefixBits = Number(parts?.[2]);
    if (address === undefined || prefixBits > (isIPv4(address) ? 32 : 128)) return undefined;
    return new Network(address, prefixBits);
  }

  /** A single address: /32 or /128. */
  get isOneHost(): boolean {
    return this.prefixBits === (isIPv4(this.address) ? 32 : 128);
  }

  has(address: string): boolean {
    return familyOf(address) === familyOf(this.address) && this.#members.check(address, familyOf(address));
  }

  isWithin(other: Network): boolean {
    return this.prefixBits >= other.prefixBits && other.has(this.address);
  }
}

/**
 * The canonical spelling of an IP address, or undefined if `text` is not an IP address. An
 * IPv4-mapped IPv6 address becomes an IPv4 address, because the kernel treats it as one.
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}

/**
 * Whether a pattern that covers `address` may reach it. `named` is the network that the pattern
 * names.
 */
export function isOpenTo(address: string, named: Network | undefined): boolean {
  if (STATELESS_TRANSLATION.has(address)) return false;
  return SPECIAL.every(
    (special) => !special.has(address) || (named?.isWithin(special) === true && named.has(address)),
  );
}

/** Whether `address` is a loopback address. */
export function isLoopback(address: string): boolean {
  return LOOPBACK.some((network) => network.has(address));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}

function networkOf({ address, prefixBits }: AddressRange): Network {
  return new Network(address, prefixBits);
}

const LOOPBACK: readonly Network[] = [SPECIAL_IPV4.loopback, SPECIAL_IPV6.loopback].map(networkOf);

/** No pattern covers an IPv4-translated address, because each one stands for an IPv4 address. */
const STATELESS_TRANSLATION: Network = networkOf(SPECIAL_IPV6.ipv4Translated);

// IPv6 ranges that embed IPv4 addresses are closed as a whole. IPv4-mapped addresses need no entry:
// `canonicalAddress` has turned them into IPv4 addresses.
const SPECIAL: readonly Network[] = [
  ...Object.values(SPECIAL_IPV4),
  SPECIAL_IPV6.ipv4Compatible,
  SPECIAL_IPV6.nat64,
  SPECIAL_IPV6.localNat64,
  SPECIAL_IPV6.teredo,
  SPECIAL_IPV6.sixToFour,
  SPECIAL_IPV6.uniqueLocal,
  SPECIAL_IPV6.linkLocal,
  SPECIAL_IPV6.siteLocal,
  SPECIAL_IPV6.multicast,
].map(networkOf);

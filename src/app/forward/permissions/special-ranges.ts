/**
 * Address ranges that a pattern of an exposure must name explicitly: loopback, link-local, private
 * and metadata addresses.
 */
import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";

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

const LOOPBACK: readonly Network[] = [new Network("127.0.0.0", 8), new Network("::1", 128)];

/**
 * IPv4-translated addresses. No pattern reaches them, because each one stands for an IPv4
 * address.  // RFC 7915, RFC 2765
 */
const STATELESS_TRANSLATION: Network = new Network("::ffff:0:0:0", 96);

// The ranges of RFC 6890 and RFC 8190, and the metadata addresses of cloud providers. IPv6 ranges
// that embed IPv4 addresses are closed as a whole.
const SPECIAL: readonly Network[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["168.63.129.16", 32],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  ["::", 96],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["2001::", 32],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["fec0::", 10],
  ["ff00::", 8],
].map(([address, bits]) => new Network(address as string, bits as number));

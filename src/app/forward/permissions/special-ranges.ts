/** Ranges that no pattern of an exposure covers by accident: loopback, link-local, private and metadata addresses. */
import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";

/** A network: an address and the number of its leading bits that count. */
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

  /** The network that `text` spells in CIDR; undefined for anything else. */
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
 * The one spelling of an IP address; undefined for what is none. An IPv4 address in IPv6 clothes is one of IPv4:
 * the kernel treats it so.
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}

/** Whether `address` may be reached by a pattern that covers it, `named` being the network that the pattern names. */
export function isOpenTo(address: string, named: Network | undefined): boolean {
  if (STATELESS_TRANSLATION.has(address)) return false;
  return SPECIAL.every(
    (special) => !special.has(address) || (named?.isWithin(special) === true && named.has(address)),
  );
}

/** Whether `address` is this machine by definition. */
export function isLoopback(address: string): boolean {
  return LOOPBACK.some((network) => network.has(address));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}

const LOOPBACK: readonly Network[] = [new Network("127.0.0.0", 8), new Network("::1", 128)];

/** IPv4-translated addresses: no pattern reaches them, since each stands for an IPv4 address.  // RFC 7915, RFC 2765 */
const STATELESS_TRANSLATION: Network = new Network("::ffff:0:0:0", 96);

// RFC 6890, RFC 8190 and what clouds answer metadata on; IPv6 ranges that carry IPv4 addresses are closed as a whole.
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

/** Addresses in the spelling that sockets report, so that equal addresses have equal text. */
import { isIPv4, isIPv6, SocketAddress } from "node:net";

/** The address of a peer, or a local address. */
export interface RemoteAddress {
  /** IPv4 in dotted form, or IPv6 without brackets and with its zone, if any. */
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
}

/** A host's address, before a port is added. */
export interface HostAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/**
 * Parses `text` to an address in the form that a received datagram reports, or undefined for a
 * name. The unspecified address means this machine, as it does to the kernel. An IPv4-mapped IPv6
 * address becomes an IPv4 address, because the sockets of the two families are separate.
 */
export function parseAddress(text: string): HostAddress | undefined {
  if (isIPv4(text)) return { address: text === "0.0.0.0" ? "127.0.0.1" : text, family: 4 };
  if (!isIPv6(text)) return undefined;
  const zoneAt = text.indexOf("%");
  const plain = zoneAt < 0 ? text : text.slice(0, zoneAt);
  const { address } = new SocketAddress({ address: plain, family: "ipv6" });
  if (address === "::") return { address: "::1", family: 6 };
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  if (mapped?.[1] !== undefined) return { address: mapped[1], family: 4 };
  return { address: zoneAt < 0 ? address : address + text.slice(zoneAt), family: 6 };
}

/** The family of an address without port. */
export function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

/** `192.0.2.7:4242` or `[2001:db8::7]:4242`. */
export function formatAddress(remote: RemoteAddress): string {
  return remote.family === 6 ? `[${remote.address}]:${remote.port}` : `${remote.address}:${remote.port}`;
}

/** Addresses as sockets report them, so that equal addresses have equal text. */
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
 * The address that `text` spells, in the form in which a received datagram carries it; undefined when it is
 * a name. The unspecified address means this machine, as it does to the kernel, and an IPv4 address in IPv6
 * clothes is one of IPv4, because the sockets are separate.
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

/** The family of a plain address. */
export function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

/** `192.0.2.7:4242` or `[2001:db8::7]:4242`. */
export function formatAddress(remote: RemoteAddress): string {
  return remote.family === 6 ? `[${remote.address}]:${remote.port}` : `${remote.address}:${remote.port}`;
}

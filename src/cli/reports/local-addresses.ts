/** This machine's addresses that another machine could use, likeliest first. */
import { networkInterfaces } from "node:os";

/** Wants `node:os`' answer, for tests. */
type Interfaces = ReturnType<typeof networkInterfaces>;

/**
 * Addresses other than loopback and link-local ones, IPv4 before IPv6 (it is shorter to say); loopback
 * where there is nothing else.
 */
export function ownAddresses(
  family: 4 | 6 | undefined,
  interfaces: Interfaces = networkInterfaces(),
): string[] {
  const all = Object.values(interfaces)
    .flatMap((entries) => entries ?? [])
    .filter((entry) => family === undefined || entry.family === `IPv${family}`);
  const outside = all.filter((entry) => !entry.internal && !/^(?:169\.254\.|fe[89ab])/i.test(entry.address));
  const usable = outside.length > 0 ? outside : all.filter((entry) => entry.internal);
  return [...new Set([...ofFamily(usable, "IPv4"), ...ofFamily(usable, "IPv6")])];
}

function ofFamily(entries: readonly { address: string; family: string }[], family: string): string[] {
  return entries.filter((entry) => entry.family === family).map((entry) => entry.address);
}

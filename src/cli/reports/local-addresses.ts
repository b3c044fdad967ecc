/** The addresses of this machine that another machine could use, the most likely first. */
import { networkInterfaces } from "node:os";
import { SPECIAL_IPV4, SPECIAL_IPV6 } from "../../base/special-addresses.ts";
import { isInRange } from "../../wire/ip-address.ts";

/** The result type of `os.networkInterfaces()`; tests pass a substitute. */
type Interfaces = ReturnType<typeof networkInterfaces>;

/**
 * Addresses other than loopback and link-local ones. IPv4 addresses come first, because they are
 * shorter to dictate. Loopback if there are no others.
 */
export function localAddresses(
  family: 4 | 6 | undefined,
  interfaces: Interfaces = networkInterfaces(),
): string[] {
  const all = Object.values(interfaces)
    .flatMap((entries) => entries ?? [])
    .filter((entry) => family === undefined || entry.family === `IPv${family}`);
  const outside = all.filter((entry) => !entry.internal && !isLinkLocal(entry.address));
  const usable = outside.length > 0 ? outside : all.filter((entry) => entry.internal);
  return [...new Set([...ofFamily(usable, "IPv4"), ...ofFamily(usable, "IPv6")])];
}

/** @param address an IPv6 address may have a zone */
function isLinkLocal(address: string): boolean {
  const bare = address.split("%")[0]!;
  return isInRange(bare, SPECIAL_IPV4.linkLocal) || isInRange(bare, SPECIAL_IPV6.linkLocal);
}

function ofFamily(entries: readonly { address: string; family: string }[], family: string): string[] {
  return entries.filter((entry) => entry.family === family).map((entry) => entry.address);
}

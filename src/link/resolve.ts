/**
 * Resolves a host to its addresses, in the order in which to try them. The engine races them; see
 * `ConnectionConfig.paths`.
 */
import { SrudpError } from "../base/errors.ts";
import { descriptorError } from "../platform/descriptors.ts";
import { type LookupOptions, lookUp } from "../platform/name-lookup.ts";
import { type HostAddress, parseAddress } from "../platform/udp/address.ts";
import { isInterface } from "../platform/udp/local-address.ts";

export interface ResolveOptions extends LookupOptions {
  /** False: `host` must already be an address (`-n`). */
  readonly names?: boolean | undefined;
}

/**
 * All addresses of `host`, at least one. The families alternate, starting with the one that the
 * system prefers.
 *
 * @throws SrudpError ERR_HOST_UNKNOWN
 */
export async function resolveHost(host: string, options: ResolveOptions = {}): Promise<HostAddress[]> {
  const { family } = options;
  const literal = parseAddress(host);
  if (literal !== undefined) {
    const trouble = unusableReason(literal.address);
    if (trouble !== undefined) throw new SrudpError("ERR_HOST_UNKNOWN", trouble);
    if (family === undefined || literal.family === family) return [literal];
    throw new SrudpError("ERR_HOST_UNKNOWN", `${host} is no IPv${family} address`);
  }
  if (options.names === false) throw new SrudpError("ERR_HOST_UNKNOWN", `${host} is no address`);
  let found: string[];
  try {
    found = await lookUp(host, options);
  } catch (error) {
    const isSilent = (error as NodeJS.ErrnoException).code === "ETIMEOUT";
    throw (
      descriptorError(error) ??
      new SrudpError("ERR_HOST_UNKNOWN", isSilent ? `${host} (DNS does not answer)` : host, error)
    );
  }
  const addresses = alternateFamilies(found.map((address) => ({ address })));
  const usable = addresses.filter(({ address }) => unusableReason(address) === undefined);
  const [first] = addresses;
  if (usable.length === 0)
    throw new SrudpError("ERR_HOST_UNKNOWN", first === undefined ? host : unusableReason(first.address));
  return usable;
}

/**
 * The reason why `address` cannot be the address of a single peer, or undefined. The kernel would
 * report it only for each datagram.
 */
function unusableReason(address: string): string | undefined {
  const zoneAt = address.indexOf("%");
  if (/^fe[89ab]/.test(address) && zoneAt < 0)
    return `${address} is link-local and names no interface, as ${address}%eth0 does`;
  const zone = zoneAt < 0 ? undefined : address.slice(zoneAt + 1);
  if (zone !== undefined && !/^\d+$/.test(zone) && !isInterface(zone))
    return `${address} names an interface that is not there`;
  if (/^(?:22[4-9]|23\d)\.|^255\.255\.255\.255$|^ff/.test(address))
    return `${address} is the address of a group`;
  return undefined;
}

/** Alternates the families, each in its original order. Duplicates are left out.  // RFC 8305 §4 */
export function alternateFamilies(found: readonly { readonly address: string }[]): HostAddress[] {
  const preferred: HostAddress[] = [];
  const other: HostAddress[] = [];
  const seen = new Set<string>();
  for (const entry of found) {
    const parsed = parseAddress(entry.address);
    if (parsed === undefined || seen.has(parsed.address)) continue;
    seen.add(parsed.address);
    const first = preferred[0] ?? parsed;
    (parsed.family === first.family ? preferred : other).push(parsed);
  }
  const turns: HostAddress[] = [];
  for (let i = 0; i < Math.max(preferred.length, other.length); i++) {
    const [one, two] = [preferred[i], other[i]];
    if (one !== undefined) turns.push(one);
    if (two !== undefined) turns.push(two);
  }
  return turns;
}

/**
 * From what a person names to the addresses worth trying, in the order in which to try them.
 * The engine races them; see `ConnectionConfig.paths`.
 */
import { SrudpError } from "../base/errors.ts";
import { type HostAddress, parseAddress } from "./address.ts";
import { type LookupOptions, lookUp } from "./name-lookup.ts";

export interface ResolveOptions extends LookupOptions {
  /** False: `host` has to be an address already (`-n`). */
  readonly names?: boolean | undefined;
}

/**
 * All addresses of `host`, at least one; the families take turns, and the system's preferred one begins.
 *
 * @throws SrudpError ERR_HOST_UNKNOWN
 */
export async function resolveHost(host: string, options: ResolveOptions = {}): Promise<HostAddress[]> {
  const { family } = options;
  const literal = parseAddress(host);
  if (literal !== undefined) {
    if (family === undefined || literal.family === family) return [literal];
    throw new SrudpError("ERR_HOST_UNKNOWN", `${host} is no IPv${family} address`);
  }
  if (options.names === false) throw new SrudpError("ERR_HOST_UNKNOWN", `${host} is no address`);
  let found: string[];
  try {
    found = await lookUp(host, options);
  } catch (error) {
    const isSilent = (error as NodeJS.ErrnoException).code === "ETIMEOUT";
    throw new SrudpError("ERR_HOST_UNKNOWN", isSilent ? `${host} (DNS does not answer)` : host, error);
  }
  const addresses = inTurns(found.map((address) => ({ address })));
  if (addresses.length === 0) throw new SrudpError("ERR_HOST_UNKNOWN", host);
  return addresses;
}

/** Families alternate, each in the order given; doubles are left out.  // RFC 8305 §4 */
export function inTurns(found: readonly { readonly address: string }[]): HostAddress[] {
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

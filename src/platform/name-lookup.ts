/**
 * Resolves a name to its addresses. A DNS server that answers slowly or not at all delays nothing
 * else.
 *
 * The system's resolver (getaddrinfo) runs in Node's four worker threads and cannot be cancelled,
 * and a process that exits waits for it. Four look-ups of a silent server block everything else
 * that needs a thread, and delay the exit for ten seconds. The system's resolver is therefore the
 * last resort. The hosts file is read first. Then c-ares queries DNS, which needs no thread and can
 * be cancelled. The system may know names that DNS does not (search domains, containers, a
 * directory). In that case DNS has answered, so the system's resolver is fast.
 *
 * Where `resolv.conf` does not configure names (macOS, Windows), DNS alone could return other
 * addresses than the system (for example for the domains of a VPN), so the system's resolver is
 * used at once.
 */
import { Resolver } from "node:dns";
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP, type LookupFunction } from "node:net";
import { networkInterfaces } from "node:os";
import { addressScope } from "../punch/address-scope.ts";

export interface LookupOptions {
  /** Only addresses of this family. */
  readonly family?: 4 | 6 | undefined;
  /** Time limit. Default 5 s. */
  readonly timeoutMs?: number | undefined;
  /** Cancels the look-up. The promise rejects with ECANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 5000;
/** Timeout of one DNS server before the next one is queried. */
const SERVER_TIMEOUT_MS = 1500;
const SERVER_TRIES = 3;
/**
 * Once one family has addresses, the time for the other one; some DNS servers never answer queries
 * for IPv6.  // RFC 8305 §3
 */
const OTHER_FAMILY_MS = 250;
/** Maximum number of concurrent system look-ups. Two of the four worker threads stay free. */
const MAX_SYSTEM_LOOKUPS = 2;
const HOSTS_FILE = "/etc/hosts";
const USES_RESOLV_CONF: boolean = process.platform !== "darwin" && process.platform !== "win32";

/**
 * All addresses of a name, at least one. The family that this machine can use comes first.
 *
 * @throws an error with the `code` of `node:dns`: ENOTFOUND, ENODATA, ETIMEOUT, ECANCELLED, …
 */
export async function lookUp(name: string, options: LookupOptions = {}): Promise<string[]> {
  const { family, signal } = options;
  if (signal?.aborted) throw failure("ECANCELLED", name);
  const fits = (address: string): boolean => family === undefined || isIP(address) === family;
  if (!USES_RESOLV_CONF) return await lookUpBySystem(name, options);
  const known = fromHostsFile(name).filter(fits);
  if (known.length > 0) return known;
  if (isLocalhost(name)) return ["127.0.0.1", "::1"].filter(fits);
  // Multicast DNS is left to the system.
  if (!/\.local\.?$/i.test(name)) {
    try {
      const found = await lookUpByDns(name, options);
      // A name with a single label belongs to a search domain first. For such a name, DNS is only
      // queried to see that it answers.
      if (found.length > 0 && /[^.]\../.test(name)) return found;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ETIMEOUT" || code === "ECANCELLED") throw error;
    }
  }
  return await lookUpBySystem(name, options);
}

/** `lookUp` with the signature of the option `lookup` of `net.connect`. */
export function socketLookup(signal: AbortSignal): LookupFunction {
  return (name, options, callback) => {
    const family = options.family === 4 || options.family === 6 ? options.family : undefined;
    lookUp(name, { family, signal }).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }));
        if (options.all === true) callback(null, found);
        else callback(null, found[0]!.address, found[0]!.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    );
  };
}

/** The addresses of a name in a hosts file, in file order. */
export function addressesInHosts(text: string, name: string): string[] {
  const wanted = name.replace(/\.$/, "").toLowerCase();
  const found: string[] = [];
  for (const line of text.split("\n")) {
    const [address, ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (address === undefined || isIP(address.split("%")[0]!) === 0) continue;
    if (names.some((one) => one.toLowerCase() === wanted) && !found.includes(address)) found.push(address);
  }
  return found;
}

function fromHostsFile(name: string): string[] {
  try {
    // Read synchronously, because all worker threads may be waiting for DNS.
    return addressesInHosts(readFileSync(HOSTS_FILE, "utf8"), name);
  } catch {
    return [];
  }
}

/** RFC 6761 §6.3 */
function isLocalhost(name: string): boolean {
  return /^(?:.+\.)?localhost\.?$/i.test(name);
}

/** Queries DNS for the requested families at once. */
function lookUpByDns(name: string, options: LookupOptions): Promise<string[]> {
  const { family, timeoutMs = TIMEOUT_MS, signal } = options;
  const resolver = new Resolver({ timeout: SERVER_TIMEOUT_MS, tries: SERVER_TRIES });
  return new Promise((resolve, reject) => {
    const found: Record<4 | 6, readonly string[]> = { 4: [], 6: [] };
    const families = family === undefined ? ([6, 4] as const) : [family];
    let open = families.length;
    let error: Error | null = null;
    let otherFamily: NodeJS.Timeout | undefined;
    const finish = (reason?: Error): void => {
      open = 0;
      clearTimeout(deadline);
      clearTimeout(otherFamily);
      signal?.removeEventListener("abort", abort);
      resolver.cancel();
      const order = hasGlobalIpv6() ? ([6, 4] as const) : ([4, 6] as const);
      const addresses = order.flatMap((one) => found[one]);
      if (addresses.length > 0) resolve(addresses);
      else reject(reason ?? error ?? failure("ENODATA", name));
    };
    const abort = (): void => finish(failure("ECANCELLED", name));
    const deadline = setTimeout(() => finish(failure("ETIMEOUT", name)), timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    const take = (one: 4 | 6, failed: Error | null, addresses: readonly string[] | undefined): void => {
      if (open === 0) return;
      open--;
      // A timeout of one family is more informative than a missing address of the other.
      if (failed !== null && (failed as NodeJS.ErrnoException).code !== "ENODATA") error = failed;
      found[one] = addresses ?? [];
      if (open === 0) finish();
      else if (found[one].length > 0) otherFamily = setTimeout(finish, OTHER_FAMILY_MS);
    };
    for (const one of families) {
      if (one === 4) resolver.resolve4(name, (failed, addresses) => take(4, failed, addresses));
      else resolver.resolve6(name, (failed, addresses) => take(6, failed, addresses));
    }
  });
}

let systemLookups = 0;
const waitingForSystem: (() => void)[] = [];

async function lookUpBySystem(name: string, options: LookupOptions): Promise<string[]> {
  const { family, timeoutMs = TIMEOUT_MS, signal } = options;
  let isGivenUp = false;
  const lookingUp = (async () => {
    while (systemLookups >= MAX_SYSTEM_LOOKUPS) {
      await new Promise<void>((resolve) => waitingForSystem.push(resolve));
    }
    // The caller gave up, so its slot goes to the next one.
    if (isGivenUp) {
      waitingForSystem.shift()?.();
      return [];
    }
    systemLookups++;
    try {
      return await lookup(name, { all: true, family: family ?? 0, order: "verbatim" });
    } finally {
      systemLookups--;
      waitingForSystem.shift()?.();
    }
  })();
  return await new Promise((resolve, reject) => {
    const giveUp = (code: string): void => {
      isGivenUp = true;
      end();
      reject(failure(code, name));
    };
    const abort = (): void => giveUp("ECANCELLED");
    const deadline = setTimeout(() => giveUp("ETIMEOUT"), timeoutMs);
    const end = (): void => {
      clearTimeout(deadline);
      signal?.removeEventListener("abort", abort);
    };
    signal?.addEventListener("abort", abort, { once: true });
    lookingUp.then(
      (found) => {
        end();
        resolve(found.map(({ address }) => address));
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}

/**
 * Whether IPv6 addresses are usable. getaddrinfo orders addresses by the same criterion.  // RFC
 * 6724 §6, rule 1
 */
function hasGlobalIpv6(): boolean {
  return Object.values(networkInterfaces()).some((entries) =>
    entries?.some(
      ({ address, family, internal }) =>
        family === "IPv6" && !internal && addressScope(address) !== "linkLocal",
    ),
  );
}

function failure(code: string, name: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code} ${name}`), { code });
}

/**
 * Decides which targets a peer may reach through this machine and which ports a peer may open here.
 * Everything else is refused.
 *
 *     --expose         host:port[/udp]   /path   network/bits:port   '*:port'
 *     --permit-listen  [bind:]port[/udp]   /path
 *
 * A port may also be a range, low-high. An entry with a host matches the text of the request, not
 * the address it resolves to, and the entry itself is dialled. Another spelling of an address, or
 * another name for it, does not match. A pattern (a network or `*`) is matched against the resolved
 * address. The name is resolved once and that same address is dialled, so that a second look-up
 * cannot return a different address.
 *
 * A pattern does not cover special addresses unless it names them (special-ranges.ts). `*` covers
 * no address of this machine and none of its directly connected networks. A network pattern covers
 * the hosts of a directly connected network, but covers an address of this machine only as a single
 * host: /32 or /128 (local-networks.ts).
 */
import { SrudpError } from "../../../base/errors.ts";
import { type Address, formatTarget, type Target } from "../../../link/forward-records.ts";
import { lookUp } from "../../../platform/name-lookup.ts";
import { socketPathError } from "../../../platform/socket-path.ts";
import { type Interfaces, LocalNetworks } from "./local-networks.ts";
import { canonicalAddress, isLoopback, isOpenTo, Network } from "./special-ranges.ts";

type Protocol = "tcp" | "udp";

interface Ports {
  readonly low: number;
  readonly high: number;
}

type Entry =
  | { readonly kind: "path"; readonly path: string }
  | {
      readonly kind: "host";
      readonly protocol: Protocol;
      readonly host: string;
      readonly ports: Ports;
    }
  | Pattern;

interface Pattern {
  readonly kind: "pattern";
  readonly protocol: Protocol;
  /** Undefined if the pattern covers every address. */
  readonly network: Network | undefined;
  readonly ports: Ports;
}

/** The address that a request is allowed to reach, and the entry that allows it. */
export interface Allowed {
  /** The address to dial. */
  readonly address: Address;
  /** The entry that allows the request, as it was configured. */
  readonly entry: string;
}

interface Permit {
  readonly kind: Address["kind"];
  /** A path, or a host in canonical spelling. */
  readonly point: string;
  readonly ports: Ports;
}

const ANY_PORT: Ports = { low: 0, high: 65_535 };

/** The permissions of one peer, or of all peers that have no list of their own. */
export class Permissions {
  /** The entries as they were configured. */
  readonly exposed: readonly string[];
  readonly permitted: readonly string[];
  readonly #entries: readonly Entry[];
  readonly #permits: readonly Permit[];
  readonly #interfaces: Interfaces | undefined;

  /**
   * @param interfaces for tests; default: the interfaces of this machine, read again for each
   * target
   * @throws SrudpError ERR_USAGE for an entry that cannot be parsed
   */
  constructor(
    exposed: readonly string[] = [],
    permitted: readonly string[] = [],
    interfaces?: Interfaces | undefined,
  ) {
    this.#interfaces = interfaces;
    this.exposed = exposed;
    this.permitted = permitted;
    this.#entries = exposed.map(parseEntry);
    this.#permits = permitted.map(parsePermit);
  }

  /**
   * The address to dial for a peer that requests `target`.
   *
   * @param signal cancels the name look-up
   * @throws SrudpError ERR_TARGET_FORBIDDEN, ERR_TARGET_UNKNOWN
   */
  async dialFor(target: Target, signal?: AbortSignal): Promise<Address> {
    return (await this.allow(target, signal)).address;
  }

  /** Like `dialFor`, but also returns the entry that allows the target. */
  async allow(target: Target, signal?: AbortSignal): Promise<Allowed> {
    if (target.kind === "requested") throw forbidden(target);
    for (const [index, entry] of this.#entries.entries()) {
      const address = matchingAddress(entry, target);
      if (address !== undefined) return { address, entry: this.exposed[index]! };
    }
    if (target.kind === "first" || target.kind === "unix") throw forbidden(target);
    const { host, port, kind } = target;
    // Node would dial this machine for an empty host, and port 0 cannot be a destination.
    if (host === "" || port === 0) throw forbidden(target);
    const hasPattern = this.#entries.some((entry) => isPatternFor(entry, target));
    if (!hasPattern) throw forbidden(target);
    const addresses = await addressesOf(host, target, signal);
    // Read after the look-up, because the interfaces may have changed meanwhile.
    const local = new LocalNetworks(this.#interfaces);
    for (const address of addresses) {
      for (const [index, entry] of this.#entries.entries()) {
        if (isPatternFor(entry, target) && reaches(entry, address, local))
          return { address: { kind, host: address, port }, entry: this.exposed[index]! };
      }
    }
    throw forbidden(target);
  }

  /** Whether a peer may open `bind` on this machine. */
  mayListen(bind: Address): boolean {
    return this.#permits.some((permit) => {
      if (permit.kind !== bind.kind) return false;
      if (bind.kind === "unix") return permit.point === bind.path;
      if (!isWithin(bind.port, permit.ports)) return false;
      const point = canonicalHost(bind.host || "localhost");
      return permit.point === point || (permit.point === "localhost" && LOOPBACKS.has(point));
    });
  }
}

function isPatternFor(entry: Entry, target: Exclude<Address, { kind: "unix" }>): entry is Pattern {
  return entry.kind === "pattern" && entry.protocol === target.kind && isWithin(target.port, entry.ports);
}

function reaches({ network }: Pattern, address: string, local: LocalNetworks): boolean {
  if (network?.has(address) === false || !isOpenTo(address, network)) return false;
  // Only a pattern that names loopback covers a loopback address.
  if (isLoopback(address)) return true;
  if (local.isLocal(address)) return network?.isOneHost === true;
  return network !== undefined || !local.isOnLink(address);
}

const LOOPBACKS: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1"]);

function forbidden(target: Target): SrudpError {
  return new SrudpError("ERR_TARGET_FORBIDDEN", formatTarget(target));
}

/**
 * The address that an entry without a pattern allows for `target`, or undefined if the entry does
 * not match. The text is compared exactly, except for case and the different spellings of one IPv6
 * address.
 */
function matchingAddress(entry: Entry, target: Target): Address | undefined {
  if (entry.kind === "path") {
    const isMatch = target.kind === "first" || (target.kind === "unix" && target.path === entry.path);
    return isMatch ? { kind: "unix", path: entry.path } : undefined;
  }
  if (entry.kind === "pattern") return undefined;
  const { protocol, host, ports } = entry;
  if (target.kind === "first")
    return protocol === "tcp" && ports.low === ports.high
      ? { kind: protocol, host, port: ports.low }
      : undefined;
  if (target.kind !== protocol || !isWithin(target.port, ports)) return undefined;
  return literalHost(host) === literalHost(target.host)
    ? { kind: protocol, host, port: target.port }
    : undefined;
}

function literalHost(host: string): string {
  const lower = host.toLowerCase();
  // Another spelling of the same 128 bits matches. An address of the other family does not.
  const canonical = lower.includes(":") ? canonicalAddress(lower) : undefined;
  return canonical?.includes(":") ? canonical : lower;
}

function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  return canonicalAddress(lower) ?? lower;
}

async function addressesOf(host: string, target: Target, signal?: AbortSignal): Promise<string[]> {
  const literal = canonicalAddress(host);
  if (literal !== undefined) return [literal];
  try {
    const found = await lookUp(host, { signal });
    return found.map((address) => canonicalAddress(address)).filter((address) => address !== undefined);
  } catch (error) {
    throw new SrudpError("ERR_TARGET_UNKNOWN", formatTarget(target), error);
  }
}

function parseEntry(text: string): Entry {
  if (text.startsWith("/")) return { kind: "path", path: pathOf("--expose", text) };
  const [whole, protocol] = splitProtocol(text);
  const parts = /^(?:\[([^[\]]+)\]|([^:[\]]+)):([^:]+)$/.exec(whole);
  if (parts === null)
    throw bad("--expose", text, "host:port, network/bits:port, '*:port' or a socket's path");
  const host = parts[1] ?? parts[2]!;
  const ports = parsePorts("--expose", parts[3]!, text);
  if (host === "*") return { kind: "pattern", protocol, network: undefined, ports };
  if (host.includes("/")) {
    const network = Network.parse(host);
    if (network === undefined) throw bad("--expose", text, "an address and its leading bits before the port");
    return { kind: "pattern", protocol, network, ports };
  }
  if (ports.high === 0) throw bad("--expose", text, "a port that can be reached");
  return { kind: "host", protocol, host, ports };
}

function parsePermit(text: string): Permit {
  if (text.startsWith("/")) return { kind: "unix", point: pathOf("--permit-listen", text), ports: ANY_PORT };
  const [whole, protocol] = splitProtocol(text);
  const parts = /^(?:(?:\[([^[\]]+)\]|([^:[\]]*)):)?([^:]+)$/.exec(whole);
  if (parts === null) throw bad("--permit-listen", text, "[bind:]port or a socket's path");
  const host = parts[1] ?? parts[2];
  const point = host === undefined ? "localhost" : canonicalHost(host === "" ? "*" : host);
  return { kind: protocol, point, ports: parsePorts("--permit-listen", parts[3]!, text) };
}

function pathOf(option: string, path: string): string {
  const error = socketPathError(path);
  if (error !== undefined) throw new SrudpError("ERR_USAGE", `${option} ${path}: ${error.message}`);
  return path;
}

function splitProtocol(text: string): [string, Protocol] {
  const suffix = /\/(tcp|udp)$/.exec(text);
  return suffix === null ? [text, "tcp"] : [text.slice(0, suffix.index), suffix[1] as Protocol];
}

function parsePorts(option: string, text: string, entry: string): Ports {
  if (text === "*") return ANY_PORT;
  const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const low = Number(parts?.[1]);
  const high = Number(parts?.[2] ?? low);
  if (parts === null || low > high || high > 65_535)
    throw bad(option, entry, "a port, low-high or * at its end");
  return { low, high };
}

function isWithin(port: number, { low, high }: Ports): boolean {
  return low <= port && port <= high;
}

function bad(option: string, entry: string, wants: string): SrudpError {
  return new SrudpError("ERR_USAGE", `${option} ${entry} is not ${wants}`);
}

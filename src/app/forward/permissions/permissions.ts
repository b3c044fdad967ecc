/**
 * What peers may reach through this side, and which ports they may have opened here. Nothing else is reachable.
 *
 *     --expose         host:port[/udp]   /path   network/bits:port   '*:port'
 *     --permit-listen  [bind:]port[/udp]   /path
 *
 * A port may also be a range, low-high. An entry with a host is matched by the asker's words, not by what they mean,
 * and what is dialled is the entry itself: no other spelling of an address, and no name that leads there, gets past
 * it. A pattern (a network or `*`) looks at the address behind the words, once, and that very address is dialled, so
 * that a name cannot mean two things.
 *
 * Patterns leave out special addresses unless they name them (special-ranges.ts). `*` reaches no address of this
 * machine and of the networks it is directly connected to; a network reaches those of its hosts that are on such a
 * network, but an address of this machine only as a whole: /32 or /128 (own-networks.ts).
 */
import { SrudpError } from "../../../base/errors.ts";
import { type Address, formatTarget, type Target } from "../../../link/forward-records.ts";
import { lookUp } from "../../../platform/name-lookup.ts";
import { socketPathError } from "../../../platform/socket-path.ts";
import { type Interfaces, OwnNetworks } from "./local-networks.ts";
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
  /** Undefined for every address. */
  readonly network: Network | undefined;
  readonly ports: Ports;
}

/** What a peer that asks for a target gets, and by which entry. */
export interface Allowed {
  /** What is dialled. */
  readonly address: Address;
  /** The entry that allows it, as it was given. */
  readonly entry: string;
}

interface Permit {
  readonly kind: Address["kind"];
  /** A path, or a host in canonical spelling. */
  readonly point: string;
  readonly ports: Ports;
}

const ANY_PORT: Ports = { low: 0, high: 65_535 };

/** What one peer, or any that has no list of its own, may do. */
export class Permissions {
  /** The entries as they were given. */
  readonly exposed: readonly string[];
  readonly permitted: readonly string[];
  readonly #entries: readonly Entry[];
  readonly #permits: readonly Permit[];
  readonly #interfaces: Interfaces | undefined;

  /**
   * @param interfaces for tests; by default those of this machine, looked at for each target anew
   * @throws SrudpError ERR_USAGE for an entry that cannot be read
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
   * What is to be dialled for a peer that asks for `target`.
   *
   * @param signal gives the name's look-up up
   * @throws SrudpError ERR_TARGET_FORBIDDEN, ERR_TARGET_UNKNOWN
   */
  async dialFor(target: Target, signal?: AbortSignal): Promise<Address> {
    return (await this.allow(target, signal)).address;
  }

  /** As `dialFor`, with the entry that allows it. */
  async allow(target: Target, signal?: AbortSignal): Promise<Allowed> {
    if (target.kind === "asked") throw forbidden(target);
    for (const [index, entry] of this.#entries.entries()) {
      const address = meantBy(entry, target);
      if (address !== undefined) return { address, entry: this.exposed[index]! };
    }
    if (target.kind === "first" || target.kind === "unix") throw forbidden(target);
    const { host, port, kind } = target;
    // An empty host would be this machine, and nothing can be sent to port 0.
    if (host === "" || port === 0) throw forbidden(target);
    const hasPattern = this.#entries.some((entry) => isPatternFor(entry, target));
    if (!hasPattern) throw forbidden(target);
    const addresses = await addressesOf(host, target, signal);
    // After the look-up: interfaces may have changed meanwhile.
    const own = new OwnNetworks(this.#interfaces);
    for (const address of addresses) {
      for (const [index, entry] of this.#entries.entries()) {
        if (isPatternFor(entry, target) && reaches(entry, address, own))
          return { address: { kind, host: address, port }, entry: this.exposed[index]! };
      }
    }
    throw forbidden(target);
  }

  /** Whether a peer may have `bind` opened here. */
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

function reaches({ network }: Pattern, address: string, own: OwnNetworks): boolean {
  if (network?.has(address) === false || !isOpenTo(address, network)) return false;
  // Loopback has been named, or it is not open.
  if (isLoopback(address)) return true;
  if (own.isOwn(address)) return network?.isOneHost === true;
  return network !== undefined || !own.isOnLink(address);
}

const LOOPBACKS: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "::1"]);

function forbidden(target: Target): SrudpError {
  return new SrudpError("ERR_TARGET_FORBIDDEN", formatTarget(target));
}

/**
 * What an entry without a pattern has dialled for the asker's words, undefined where they mean something else: they
 * are compared letter by letter, but for case and the ways to write one IPv6 address.
 */
function meantBy(entry: Entry, target: Target): Address | undefined {
  if (entry.kind === "path") {
    const isMeant = target.kind === "first" || (target.kind === "unix" && target.path === entry.path);
    return isMeant ? { kind: "unix", path: entry.path } : undefined;
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
  // Only written differently: the same 128 bits. What changes the family is another address.
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

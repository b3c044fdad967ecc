/** Binds the sockets of an endpoint: address families, source address and preferred port. */
import { isIP } from "node:net";
import { SrudpError } from "../base/errors.ts";
import { descriptorError } from "../platform/descriptors.ts";
import { holderOfPort } from "../platform/port-holder.ts";
import { UdpSocket } from "../platform/udp/udp-socket.ts";
import { Endpoint } from "./endpoint.ts";
import type { CommonOptions, ListenOptions } from "./link-options.ts";

/** Number of tries to find a port that is free in both families. */
const PORT_TRIES = 16;
/** Error codes of a system that lacks one of the families. */
const NO_FAMILY: ReadonlySet<string | undefined> = new Set([
  "EAFNOSUPPORT",
  "EPROTONOSUPPORT",
  "EADDRNOTAVAIL",
]);

/**
 * Binds the sockets of a listener: the same port in both families, or in the one family that the
 * options or the system allow.
 *
 * @throws SrudpError ERR_BIND
 */
export async function bindListening(options: ListenOptions): Promise<Endpoint> {
  const port = options.port ?? options.localPort ?? 0;
  const families = familiesOf(options);
  for (let tries = 1; ; tries++) {
    const bound: UdpSocket[] = [];
    try {
      for (const family of families)
        await bindFamily(bound, family, bound[0]?.local.port ?? port, options, families);
      return new Endpoint(bound, options.onFault);
    } catch (error) {
      for (const socket of bound) socket.close();
      if (port !== 0 || bound.length === 0 || tries === PORT_TRIES || codeOf(error) !== "EADDRINUSE") {
        throw await bindError(port, error);
      }
    }
  }
}

/**
 * Binds the sockets of a connector, one for each of `families`. The ports are ephemeral unless
 * `localPort` names one.
 *
 * @throws SrudpError ERR_BIND
 */
export async function bindConnecting(
  options: CommonOptions,
  families: readonly (4 | 6)[],
): Promise<Endpoint> {
  const { localPort: port = 0, localAddress: address } = options;
  const bound: UdpSocket[] = [];
  try {
    for (const family of families) {
      try {
        bound.push(await UdpSocket.bind({ family, address, port }));
      } catch (error) {
        // A host name may have addresses of a family that this machine lacks.
        if (families.length === 1 || !NO_FAMILY.has(codeOf(error))) throw error;
      }
    }
    if (bound.length === 0) throw new SrudpError("ERR_BIND", "No address family works here");
    return new Endpoint(bound, options.onFault);
  } catch (error) {
    for (const socket of bound) socket.close();
    throw await bindError(port, error);
  }
}

/**
 * The families that the options allow, IPv4 first.
 *
 * @throws SrudpError ERR_BIND when the source address is invalid or belongs to the other family
 */
export function familiesOf({ family, localAddress }: CommonOptions): (4 | 6)[] {
  if (localAddress === undefined) return family === undefined ? [4, 6] : [family];
  const own = isIP(localAddress);
  if (own !== 4 && own !== 6) throw new SrudpError("ERR_BIND", `${localAddress} is no address`);
  if (family !== undefined && own !== family) {
    throw new SrudpError("ERR_BIND", `${localAddress} is no IPv${family} address`);
  }
  return [own];
}

async function bindFamily(
  bound: UdpSocket[],
  family: 4 | 6,
  port: number,
  { localAddress: address }: CommonOptions,
  families: readonly (4 | 6)[],
): Promise<void> {
  try {
    bound.push(await UdpSocket.bind({ family, address, port }));
  } catch (error) {
    const isLast = bound.length === 0 && family === families.at(-1);
    if (isLast || families.length === 1 || !NO_FAMILY.has(codeOf(error))) throw error;
  }
}

/**
 * The error that reports why a UDP port cannot be bound, with the process that holds the port if it
 * is known.
 */
async function bindError(port: number, error: unknown): Promise<SrudpError> {
  if (error instanceof SrudpError) return error;
  const descriptors = descriptorError(error);
  if (descriptors !== undefined) return descriptors;
  const what = port === 0 ? "No UDP port" : `UDP port ${port}`;
  const code = codeOf(error);
  const holder = code === "EADDRINUSE" && port !== 0 ? await holderOfPort("udp", port) : undefined;
  const reason = `${code ?? String(error)}${holder === undefined ? "" : `, held by ${holder}`}`;
  return new SrudpError("ERR_BIND", `${what} (${reason})`, error);
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** The default STUN servers, and the form of a server on the command line. */
import { SrudpError } from "../../base/errors.ts";

export interface StunServer {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
}

export const STUN_PORT = 3478;

/**
 * Public servers, on different networks so that one outage does not affect all; the last two also
 * answer from a second address, which reveals how a NAT filters.
 */
export const PUBLIC_STUN_SERVERS: readonly StunServer[] = [
  { host: "stun.cloudflare.com", port: STUN_PORT },
  { host: "stun.l.google.com", port: 19302 },
  { host: "stun.nextcloud.com", port: STUN_PORT },
  { host: "stun.sipgate.net", port: STUN_PORT },
  { host: "stunserver2025.stunprotocol.org", port: STUN_PORT },
];

/**
 * The server that `host`, `host:port`, `[v6]:port` or `stun:host:port` names.  // RFC 7064
 *
 * @throws SrudpError ERR_USAGE
 */
export function parseStunServer(text: string): StunServer {
  const parts = /^(?:stun:)?(?:\[([0-9a-f:.]+)\]|([^\s:/?@[\]]+))(?::(\d{1,5}))?$/i.exec(text);
  const port = parts?.[3] === undefined ? STUN_PORT : Number(parts[3]);
  if (parts === null || port < 1 || port > 65535) {
    throw new SrudpError("ERR_USAGE", "A STUN server is written host:port or [address]:port");
  }
  return { host: parts[1] ?? parts[2]!, port };
}

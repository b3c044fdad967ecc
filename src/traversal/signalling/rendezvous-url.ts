/** URLs of rendezvous servers, and the order of several servers for a rendezvous point. */
import { createHash } from "node:crypto";
import { SrudpError } from "../../base/errors.ts";

/** Default port of `srudp rendezvous`; the STUN port.  // RFC 8489 §18.6 */
export const RENDEZVOUS_PORT = 3478;

const USUAL_PORTS: Readonly<Record<string, number>> = {
  "udp:": RENDEZVOUS_PORT,
  "ws:": 80, // RFC 6455 §3
  "wss:": 443,
};

export interface RendezvousUrl {
  /** `udp` means UDP, and WebSocket on the same port where UDP is blocked. */
  readonly scheme: "udp" | "ws" | "wss";
  /** Name or address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** In normal form: both sides have to sort servers alike. */
  readonly text: string;
  /** URL for a WebSocket. */
  readonly webSocketUrl: string;
}

/**
 * Reads `udp://host`, `udp://host:port`, `ws://host:port/path`, `wss://host`.
 *
 * @throws SrudpError ERR_USAGE
 */
export function parseRendezvousUrl(text: string): RendezvousUrl {
  const match = /^(udp|wss?):\/\/(\[[0-9a-fA-F:.%]+\]|[^/:?#@\s[\]]+)(?::(\d{1,5}))?(\/[^\s#]*)?$/i.exec(
    text.trim(),
  );
  if (match === null) throw malformed(text);
  const scheme = match[1]!.toLowerCase() as RendezvousUrl["scheme"];
  const port = match[3] === undefined ? USUAL_PORTS[`${scheme}:`]! : Number(match[3]);
  const path = match[4] ?? "";
  if (port === 0 || port > 65_535 || (scheme === "udp" && path.length > 1)) throw malformed(text);
  const bracketed = match[2]!.toLowerCase();
  const host = bracketed.startsWith("[") ? bracketed.slice(1, -1) : bracketed;
  const authority = `${bracketed}:${port}`;
  return {
    scheme,
    host,
    port,
    text: `${scheme}://${authority}${scheme === "udp" ? "" : path}`,
    webSocketUrl: `${scheme === "wss" ? "wss" : "ws"}://${authority}${scheme === "udp" ? "/" : path}`,
  };
}

/**
 * The order in which the peers of a rendezvous point try the servers. Each point has its own order,
 * which spreads the load; adding or removing a server moves as few points as possible (rendezvous
 * hashing).
 *
 * @param placeId 32 bytes
 */
export function orderServers(urls: readonly RendezvousUrl[], pointId: Uint8Array): RendezvousUrl[] {
  return urls
    .map((url) => ({ url, weight: createHash("sha256").update(url.text).update(pointId).digest() }))
    .sort((a, b) => Buffer.compare(a.weight, b.weight))
    .map(({ url }) => url);
}

function malformed(text: string): SrudpError {
  return new SrudpError(
    "ERR_USAGE",
    `"${text}" names no rendezvous server, as udp://host:3478 or wss://host does`,
  );
}

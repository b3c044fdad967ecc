/**
 * The largest UDP payload that is worth searching for on a path.  // docs/protocol.md, "Path MTU"; RFC 8899 §5.2
 *
 * Where datagrams never leave in fragments the search may be trusted, and begins with what the own interface
 * carries: 1472 bytes on Ethernet over IPv4, more between jumbo frames and on loopback. Node alone cannot see to
 * that, so over IPv4 a probe may arrive in pieces and prove nothing: then 1452 is what most paths carry in one
 * piece, tunnels of up to 20 bytes included.
 */
import type { DatagramSocket } from "./datagram-socket.ts";
import { payloadTowards } from "./offload.ts";

const CAUTIOUS_BYTES = 1452;
const ETHERNET_BYTES = 1472;
/** Share of its receive buffer that one datagram may take, so that a burst of them fits. */
const BUFFER_SHARE = 1 / 16;
/** Largest UDP payload that this side takes in at all. */
const MAX_BYTES = 65_507;

/** @param socket what the path begins at; undefined when it is gone */
export function mtuCeilingOf(socket: DatagramSocket | undefined, address: string): number {
  if (socket === undefined || socket.isUnfragmented !== true) return CAUTIOUS_BYTES;
  return payloadTowards(socket.family, address) ?? CAUTIOUS_BYTES;
}

/**
 * What a side may announce as the largest UDP payload that it takes in: whoever may not have large buffers (an
 * ordinary user, by the system's usual limit) would lose most of a burst of the largest.
 */
export function largestPayload(sockets: readonly DatagramSocket[]): number {
  const buffers = sockets
    .map(({ receiveBufferBytes }) => receiveBufferBytes ?? 0)
    .filter((bytes) => bytes > 0);
  if (buffers.length === 0) return MAX_BYTES;
  return Math.max(ETHERNET_BYTES, Math.min(MAX_BYTES, Math.floor(Math.min(...buffers) * BUFFER_SHARE)));
}

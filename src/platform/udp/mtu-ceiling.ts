/**
 * The upper bound of the path MTU search, as UDP payload.  // docs/protocol.md, "Path MTU"; RFC
 * 8899 §5.2
 *
 * If datagrams are never fragmented, the search is reliable and starts with the MTU of the local
 * interface: 1472 bytes on Ethernet over IPv4, more with jumbo frames and on loopback. Node alone
 * cannot prevent fragmentation, so over IPv4 a probe may arrive in fragments and prove nothing. The
 * bound is then 1452 bytes, which most paths carry unfragmented, including tunnels with an overhead
 * of up to 20 bytes.
 */
import type { DatagramSocket } from "./datagram-socket.ts";
import { payloadTowards } from "./offload.ts";

const CAUTIOUS_BYTES = 1452;
const ETHERNET_BYTES = 1472;
/** Share of the receive buffer that one datagram may use, so that a burst of datagrams fits. */
const BUFFER_SHARE = 1 / 16;
/** Largest UDP payload that this side accepts. */
const MAX_BYTES = 65_507;

/** @param socket the local socket of the path; undefined when it was closed */
export function mtuCeilingOf(socket: DatagramSocket | undefined, address: string): number {
  if (socket === undefined || socket.isUnfragmented !== true) return CAUTIOUS_BYTES;
  return payloadTowards(socket.family, address) ?? CAUTIOUS_BYTES;
}

/**
 * The largest UDP payload that this side may announce. With small receive buffers (the usual system
 * limit for an ordinary user), most of a burst of the largest datagrams would be lost.
 */
export function largestPayload(sockets: readonly DatagramSocket[]): number {
  const buffers = sockets
    .map(({ receiveBufferBytes }) => receiveBufferBytes ?? 0)
    .filter((bytes) => bytes > 0);
  if (buffers.length === 0) return MAX_BYTES;
  return Math.max(ETHERNET_BYTES, Math.min(MAX_BYTES, Math.floor(Math.min(...buffers) * BUFFER_SHARE)));
}

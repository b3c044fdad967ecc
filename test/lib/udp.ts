/** Plain UDP sockets for tests: strangers, silent peers, taken ports. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";

/** A socket bound to `address`, a free port by default. */
export async function openUdp(address = "127.0.0.1", port = 0): Promise<Socket> {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  const listening = once(socket, "listening");
  socket.bind(port, address);
  await listening;
  return socket;
}

/** A port that nothing was bound to a moment ago. */
export async function unusedPort(): Promise<number> {
  const socket = await openUdp("0.0.0.0");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

/**
 * A program for a lab's host: gets a public port for its UDP port as the product does, prints it, answers what
 * comes in there, and gives it back when its stdin ends.  Arguments: which way ("any", "upnp").
 */
import { createInterface } from "node:readline";
import { UdpSocket } from "../../src/platform/udp/udp-socket.ts";
import { PortMapper } from "../../src/traversal/gather/port-mapping/port-mapper.ts";

const [, , way] = process.argv;
const socket = await UdpSocket.bind({ family: 4, port: 0 });
socket.onDatagram = (_socket, address, port, bytes) => socket.send(bytes, address, port);
// A router without PCP and NAT-PMP: at this port nobody listens.
const mapper = new PortMapper(socket.local.port, way === "upnp" ? { controlPort: 9 } : {});
mapper.onMapped = ({ address, port, lifetimeS }, by) => report({ address, port, lifetimeS, by });
await mapper.start();
report({ done: true, internalPort: socket.local.port });
for await (const _line of createInterface(process.stdin)) {
  // Nothing is ordered: the end is what is waited for.
}
await mapper.close();
socket.close();
report({ closed: true });

function report(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/**
 * Probes what a NAT lets in, from fresh sockets: a link's sockets have sent to these servers
 * already, so the NAT lets the servers' packets in.  // RFC 5780 §4.4, RFC 4787 §5, §6
 *
 * Silence is a filter's usual answer and also the effect of a lost packet. Each request is
 * therefore repeated, and counts only where the same server answered an ordinary request from the
 * same socket.
 */

import type { DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import { UdpSocket } from "../../platform/udp/udp-socket.ts";
import type { Dependence } from "../../wire/nat-behaviour-codec.ts";
import { STUN_ATTRIBUTE, STUN_CHANGE, STUN_CLASS, type StunAddress } from "../../wire/stun.ts";
import type { StunClient, StunReply } from "./stun-client.ts";

/** A server that can answer from another port, and, where it has two addresses, from another address. */
export interface ServerWithOther {
  readonly address: string;
  readonly port: number;
  /** Its OTHER-ADDRESS. */
  readonly other: StunAddress;
}

/** How long a filter's silence must last; four requests are sent in this time. */
const FILTER_WAIT_MS = 1700;
const HAIRPIN_WAIT_MS = 1000;

/** The other addresses of `server`, as it reported them; undefined where it has none. */
export function otherAddressOf(reply: StunReply): StunAddress | undefined {
  const other = reply.message.address(STUN_ATTRIBUTE.otherAddress);
  if (other === undefined || other.port === reply.port || other.port === 0) return undefined;
  return other;
}

/** Which packets the mapping towards `server` lets in; "unknown" where nothing is proved. */
export async function probeFiltering(
  client: StunClient,
  like: DatagramSocket,
  server: ServerWithOther,
): Promise<Dependence> {
  const socket = await openLike(client, like);
  if (socket === undefined) return "unknown";
  try {
    const { address, port, other } = server;
    const hasOtherAddress = other.address !== address;
    const ordinary = client.ask(socket, address, port, { waitMs: FILTER_WAIT_MS });
    const fromOtherPort = client.ask(socket, address, port, {
      change: STUN_CHANGE.port,
      waitMs: FILTER_WAIT_MS,
    });
    const fromElsewhere = hasOtherAddress
      ? client.ask(socket, address, port, {
          change: STUN_CHANGE.port | STUN_CHANGE.address,
          waitMs: FILTER_WAIT_MS,
        })
      : Promise.resolve(undefined);
    // A packet from elsewhere was let in: no further waiting is needed.
    const elsewhere = await fromElsewhere;
    if (elsewhere !== undefined && isRefusal(elsewhere)) return "unknown";
    if (elsewhere !== undefined && elsewhere.address !== address) return "endpointIndependent";
    const [plain, otherPort] = await Promise.all([ordinary, fromOtherPort]);
    if (plain === undefined || isRefusal(plain)) return "unknown";
    if (otherPort === undefined) return "addressAndPortDependent";
    // A server that ignores CHANGE-REQUEST answers from the address that was asked.
    if (isRefusal(otherPort) || otherPort.port === port) return "unknown";
    // A server with one address cannot test more: this is the narrowest filter that fits.
    return "addressDependent";
  } finally {
    socket.close();
  }
}

/** Whether a packet from inside to the public address of `inside` comes back in. */
export async function probeHairpin(
  client: StunClient,
  inside: DatagramSocket,
  mapped: { readonly address: string; readonly port: number },
): Promise<boolean | undefined> {
  const socket = await openLike(client, inside);
  if (socket === undefined) return undefined;
  try {
    return await client.askHairpin(socket, inside, mapped.address, mapped.port, HAIRPIN_WAIT_MS);
  } finally {
    socket.close();
  }
}

/** The public ports of fresh sockets in sequence, to find the range of a NAT that picks ports at random. */
export async function probePorts(
  client: StunClient,
  like: DatagramSocket,
  server: { readonly address: string; readonly port: number },
  count: number,
): Promise<number[]> {
  const ports: number[] = [];
  const sockets = await Promise.all(Array.from({ length: count }, () => openLike(client, like)));
  try {
    const replies = await Promise.all(
      sockets.map((socket) =>
        socket === undefined
          ? undefined
          : client.ask(socket, server.address, server.port, { waitMs: HAIRPIN_WAIT_MS }),
      ),
    );
    for (const reply of replies) {
      const mapped = reply?.message.mappedAddress;
      if (mapped !== undefined) ports.push(mapped.port);
    }
    return ports;
  } finally {
    for (const socket of sockets) socket?.close();
  }
}

/** A fresh socket at the same address; undefined where the system has none left. */
async function openLike(client: StunClient, like: DatagramSocket): Promise<UdpSocket | undefined> {
  const { family, address } = like.local;
  try {
    const socket = await UdpSocket.bind({ family, address, port: 0 });
    socket.onDatagram = (at, from, port, bytes) => void client.take(at, from, port, bytes);
    return socket;
  } catch {
    return undefined;
  }
}

function isRefusal(reply: StunReply): boolean {
  return reply.message.class === STUN_CLASS.error;
}

/**
 * The STUN part of a rendezvous server: reports the source address of a request, and answers from
 * another port or address on request, so that clients can test how their NAT maps and filters.
 *
 * An answer to an unvalidated address has 32 to 100 bytes, at most 2.6 times the smallest request.
 * The RFC has no proof of address here, and omitting attributes would break clients.  // RFC 8489
 * §6.3, RFC 5780 §6.1
 */
import { networkInterfaces } from "node:os";
import type { UdpSocket } from "../platform/udp/udp-socket.ts";
import { addressScope } from "../punch/address-scope.ts";
import { parseStun, STUN_ATTRIBUTE, STUN_CHANGE, STUN_CLASS, STUN_METHOD, StunWriter } from "../wire/stun.ts";

/** The comprehension-required attributes that are understood. */
const KNOWN: ReadonlySet<number> = new Set([
  STUN_ATTRIBUTE.changeRequest,
  STUN_ATTRIBUTE.mappedAddress,
  STUN_ATTRIBUTE.username,
]);
const UNKNOWN_ATTRIBUTE = 420;

export class StunResponder {
  readonly #sockets: readonly UdpSocket[];
  readonly #firstPort: number;
  /** Local address by socket; missing where it cannot be determined. */
  readonly #addresses: Map<UdpSocket, string> = new Map();

  /** @param sockets on `firstPort` and the following port, at one or more addresses */
  constructor(sockets: readonly UdpSocket[], firstPort: number) {
    this.#sockets = sockets;
    this.#firstPort = firstPort;
    for (const socket of sockets) {
      const address = localAddress(socket);
      if (address !== undefined) this.#addresses.set(socket, address);
    }
  }

  /** Answers a request; @returns whether it was one. */
  handle(socket: UdpSocket, address: string, port: number, bytes: Uint8Array): boolean {
    const request = parseStun(bytes);
    if (request?.class !== STUN_CLASS.request || request.method !== STUN_METHOD.binding) return false;
    const change = request.u32(STUN_ATTRIBUTE.changeRequest) ?? 0;
    const unknown = request.unknownRequired(KNOWN);
    const sender = this.#change(socket, change);
    if (sender === undefined) unknown.push(STUN_ATTRIBUTE.changeRequest);
    if (unknown.length > 0 || sender === undefined) {
      const writer = new StunWriter(request.method, STUN_CLASS.error, request.transactionId);
      const types = Uint8Array.from(
        unknown.slice(0, MAX_UNKNOWN_REPORTED).flatMap((type) => [type >>> 8, type & 0xff]),
      );
      writer.error(UNKNOWN_ATTRIBUTE, "").attribute(STUN_ATTRIBUTE.unknownAttributes, types);
      socket.send(writer.finish(), address, port);
      return true;
    }
    const writer = new StunWriter(request.method, STUN_CLASS.success, request.transactionId);
    writer.xorAddress(STUN_ATTRIBUTE.xorMappedAddress, plainAddress(address), port);
    const other =
      this.#change(socket, STUN_CHANGE.address | STUN_CHANGE.port) ?? this.#change(socket, STUN_CHANGE.port);
    const otherAddress = other === undefined ? undefined : this.#addresses.get(other);
    if (other !== undefined && otherAddress !== undefined && isUsefulTo(otherAddress, address)) {
      writer.address(STUN_ATTRIBUTE.otherAddress, otherAddress, other.local.port);
    }
    if (request.attribute(STUN_ATTRIBUTE.fingerprint) !== undefined) writer.fingerprint();
    sender.send(writer.finish(), address, port);
    return true;
  }

  /** The socket that differs from `socket` as CHANGE-REQUEST asks; undefined where there is none. */
  #change(socket: UdpSocket, change: number): UdpSocket | undefined {
    const { local, family } = socket;
    const port = (change & STUN_CHANGE.port) === 0 ? local.port : this.#otherPort(local.port);
    const isElsewhere = (change & STUN_CHANGE.address) !== 0;
    return this.#sockets.find(
      (one) =>
        one.family === family &&
        one.local.port === port &&
        (one.local.address === local.address) !== isElsewhere,
    );
  }

  #otherPort(port: number): number {
    return port === this.#firstPort ? port + 1 : this.#firstPort;
  }
}

/** Limits the unknown attributes in an answer, which must stay smaller than the request. */
const MAX_UNKNOWN_REPORTED = 2;

/** The address that a socket is bound to, or for a wildcard the only external one. */
function localAddress({ local, family }: UdpSocket): string | undefined {
  if (local.address !== "0.0.0.0" && local.address !== "::") return local.address;
  const external: string[] = [];
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, family: kind, internal } of addresses ?? []) {
      const isOurs =
        kind === (family === 4 ? "IPv4" : "IPv6") && !internal && addressScope(address) !== "linkLocal";
      if (isOurs) external.push(address);
    }
  }
  return external.length === 1 ? external[0] : undefined;
}

/** The address of a server behind a NAT is useless to clients outside. */
function isUsefulTo(own: string, requester: string): boolean {
  const scope = addressScope(own);
  return scope === "global" || scope === addressScope(requester);
}

/** Without the zone, which is meaningful only on this machine. */
function plainAddress(address: string): string {
  return address.split("%")[0]!;
}

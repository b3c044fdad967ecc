/**
 * What a peer that has proved nothing is told apart by. At a relay that is the relay's socket too, which stands for
 * one room: all peers behind rendezvous relays have the same address, and a TURN server may name any.
 */
import { sourceOf } from "../engine/acceptor/guess-limits.ts";
import type { DatagramOrigin } from "./endpoint.ts";

/** The peer's address, for cookies and handshakes under way. */
export function peerAddressOf({ socket, address }: DatagramOrigin): string {
  return socket.kind === "relay" ? `relay ${socket.index} ${address}` : address;
}

/** What its guesses are counted by: the peer's IPv4 address, its IPv6 /64, or its relay room. */
export function guessSourceOf({ socket, address }: DatagramOrigin): string {
  const network = sourceOf(address);
  return socket.kind === "relay" ? `relay ${socket.index} ${network}` : network;
}

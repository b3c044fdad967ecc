/** A client of the server: an address behind a UDP socket, or an open WebSocket. */

import { quotaKey } from "../platform/source-rates.ts";
import type { UdpSocket } from "../platform/udp/udp-socket.ts";

export interface Client {
  /** Source address, by which quotas are counted. */
  readonly address: string;
  /** Whether each message arrives or the connection ends. */
  readonly isReliable: boolean;
  /** Sends one message and never throws; it may be lost. */
  send(bytes: Uint8Array): void;
  /** Whether both are the same client: messages to one reach the other. */
  equals(other: Client): boolean;
}

export class UdpClient implements Client {
  readonly address: string;
  readonly port: number;
  readonly isReliable = false;
  readonly #socket: UdpSocket;

  constructor(socket: UdpSocket, address: string, port: number) {
    this.#socket = socket;
    this.address = address;
    this.port = port;
  }

  send(bytes: Uint8Array): void {
    this.#socket.send(bytes, this.address, this.port);
  }

  equals(other: Client): boolean {
    return (
      other instanceof UdpClient &&
      other.port === this.port &&
      other.address === this.address &&
      other.#socket === this.#socket
    );
  }
}

/**
 * The items that each connection owns, so that all are released when it ends. Clients over UDP are
 * not in it: their items expire. An item is here exactly as long as it is owned, so no further
 * bound is needed.
 */
export class OwnedItems<T> {
  readonly #itemsOf: Map<Client, Set<T>> = new Map();

  add(owner: Client, item: T): void {
    if (!owner.isReliable) return;
    const items = this.#itemsOf.get(owner);
    if (items === undefined) this.#itemsOf.set(owner, new Set([item]));
    else items.add(item);
  }

  delete(owner: Client, item: T): void {
    const items = this.#itemsOf.get(owner);
    if (items?.delete(item) && items.size === 0) this.#itemsOf.delete(owner);
  }

  /** A copy: items may be deleted meanwhile. */
  of(owner: Client): T[] {
    return [...(this.#itemsOf.get(owner) ?? [])];
  }
}

/** Bounded counts per address. */
export class Quota {
  readonly #limit: number;
  readonly #counts: Map<string, number> = new Map();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes one; false, and none taken, when the address has reached its limit. */
  take(address: string): boolean {
    const key = quotaKey(address);
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#limit) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  release(address: string): void {
    const key = quotaKey(address);
    const count = this.#counts.get(key) ?? 0;
    if (count <= 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
  }
}

/**
 * A NAT in front of an end: it gives each inner socket a public address and port, filters what comes in, lets
 * mappings die of silence, and can rebind: from then on the same socket shows another port or address.
 */

import type { Datagram } from "./link.ts";

export interface NatOptions {
  /** Whether one mapping serves all remotes, or each remote sees another port. RFC 4787 §4.1 */
  mapping: "endpointIndependent" | "addressAndPortDependent";
  /** Who may send in through a mapping. RFC 4787 §5 */
  filtering: "endpointIndependent" | "addressDependent" | "addressAndPortDependent";
  /** A mapping that nothing went out by for so long is gone. */
  mappingTimeoutMs: number;
  /** How long a mapping that was left by a rebind still lets packets in. */
  keepOldMs: number;
}

const CONE: NatOptions = {
  mapping: "endpointIndependent",
  filtering: "endpointIndependent",
  mappingTimeoutMs: Number.POSITIVE_INFINITY,
  keepOldMs: 0,
};

interface Mapping {
  readonly publicAddress: string;
  readonly publicPort: number;
  readonly innerAddress: string;
  readonly innerPort: number;
  /** `address:port` and plain addresses that were sent to. */
  readonly contacts: Set<string>;
  usedAt: number;
  /** When a rebind closes it for good; Infinity while it is the current one. */
  closesAt: number;
}

export class Nat {
  readonly options: NatOptions;
  /** Rebinds made by hand, and inbound datagrams that no mapping let in. */
  readonly counts = { rebinds: 0, refused: 0 };
  #address: string;
  #nextPort: number;
  readonly #current = new Map<string, Mapping>();
  readonly #byPublic = new Map<string, Mapping>();

  /** @param address public address @param firstPort public port of the first mapping; later ones count up */
  constructor(address: string, firstPort: number, options: Partial<NatOptions> = {}) {
    this.#address = address;
    this.#nextPort = firstPort;
    this.options = { ...CONE, ...options };
  }

  get address(): string {
    return this.#address;
  }

  /** Every mapping is replaced at its next use: another port and, where given, another address. */
  rebind(now: number, address = this.#address): void {
    this.counts.rebinds++;
    this.#address = address;
    for (const mapping of this.#current.values()) mapping.closesAt = now + this.options.keepOldMs;
    this.#current.clear();
  }

  /** Forwards the first public port to an inner socket, for an end that is called before it spoke. */
  forward(now: number, innerAddress: string, innerPort: number): void {
    this.#open(now, `${innerAddress}:${innerPort}`, innerAddress, innerPort);
  }

  /** Makes the source of an outbound datagram public. */
  outbound(now: number, datagram: Datagram): void {
    const remote = `${datagram.toAddress}:${datagram.toPort}`;
    const inner = `${datagram.fromAddress}:${datagram.fromPort}`;
    const innerKey = this.options.mapping === "endpointIndependent" ? inner : `${inner}>${remote}`;
    let mapping = this.#current.get(innerKey);
    if (mapping === undefined || now - mapping.usedAt >= this.options.mappingTimeoutMs) {
      mapping = this.#open(now, innerKey, datagram.fromAddress, datagram.fromPort);
    }
    mapping.usedAt = now;
    mapping.contacts.add(remote).add(datagram.toAddress);
    datagram.fromAddress = mapping.publicAddress;
    datagram.fromPort = mapping.publicPort;
  }

  /** Makes the destination of an inbound datagram inner; false when it is refused. */
  inbound(now: number, datagram: Datagram): boolean {
    const mapping = this.#byPublic.get(`${datagram.toAddress}:${datagram.toPort}`);
    const isOpen =
      mapping !== undefined &&
      now < mapping.closesAt &&
      now - mapping.usedAt < this.options.mappingTimeoutMs &&
      this.#isLetIn(mapping, datagram);
    if (!isOpen) {
      this.counts.refused++;
      return false;
    }
    datagram.toAddress = mapping.innerAddress;
    datagram.toPort = mapping.innerPort;
    return true;
  }

  #open(now: number, innerKey: string, innerAddress: string, innerPort: number): Mapping {
    const mapping: Mapping = {
      publicAddress: this.#address,
      publicPort: this.#nextPort++,
      innerAddress,
      innerPort,
      contacts: new Set(),
      usedAt: now,
      closesAt: Number.POSITIVE_INFINITY,
    };
    this.#current.set(innerKey, mapping);
    this.#byPublic.set(`${mapping.publicAddress}:${mapping.publicPort}`, mapping);
    return mapping;
  }

  #isLetIn(mapping: Mapping, datagram: Datagram): boolean {
    const { filtering } = this.options;
    if (filtering === "endpointIndependent") return true;
    if (filtering === "addressDependent") return mapping.contacts.has(datagram.fromAddress);
    return mapping.contacts.has(`${datagram.fromAddress}:${datagram.fromPort}`);
  }
}

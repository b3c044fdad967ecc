/**
 * Hosts behind chains of NATs around a core of routers. A packet loses one of its TTL at each NAT and router, and
 * dies where it has none left to go on with; delay, loss and duplication happen in the core.
 */
import type { Random } from "../random.ts";
import type { World } from "../world.ts";
import type { Address, NatBox } from "./nat-box.ts";

export interface CoreOptions {
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly lossRate: number;
  readonly duplicateRate: number;
  /** Routers between two outermost NATs. */
  readonly hops: number;
}

export type Arrival = (nowMs: number, from: Address, toPort: number, bytes: Uint8Array) => void;

interface Packet {
  from: Address;
  to: Address;
  ttl: number;
  readonly bytes: Uint8Array;
}

/** Systems send with 64. */
const DEFAULT_TTL = 64;
/** From a host to its outermost NAT. */
const ACCESS_MS = 0.5;

export class Internet {
  readonly world: World;
  private readonly random: Random;
  private readonly core: CoreOptions;
  private readonly sites: Site[] = [];
  /** Packets that came out of the core, by public address: what a victim would see. */
  readonly arrivals = new Map<string, { packets: number; bytes: number }>();

  constructor(world: World, random: Random, core: CoreOptions) {
    this.world = world;
    this.random = random;
    this.core = core;
  }

  add(site: Site): void {
    this.sites.push(site);
  }

  /** A packet leaves a site's outermost NAT. */
  route(packet: Packet): void {
    if (packet.ttl <= this.core.hops) return;
    packet.ttl -= this.core.hops;
    if (this.random.chance(this.core.lossRate)) return;
    const copies = this.random.chance(this.core.duplicateRate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const delayMs = this.core.delayMs + this.random.between(0, this.core.jitterMs);
      this.world.at(this.world.now + delayMs, () => this.arrive({ ...packet }));
    }
  }

  private arrive(packet: Packet): void {
    const { address } = packet.to;
    const seen = this.arrivals.get(address) ?? { packets: 0, bytes: 0 };
    this.arrivals.set(address, { packets: seen.packets + 1, bytes: seen.bytes + packet.bytes.length });
    this.sites.find((site) => site.publicAddress === address)?.enter(packet);
  }

  /** The site of a host that stands behind the same innermost NAT as `near`. */
  neighbour(near: Site, hostAddress: string): Site | undefined {
    return this.sites.find((site) => site.hostAddress === hostAddress && site.nats[0] === near.nats[0]);
  }
}

/** One host with the NATs in front of it, the nearest first; the last one has the public address. */
export class Site {
  readonly hostAddress: string;
  readonly nats: readonly NatBox[];
  arrival: Arrival | undefined;
  private readonly internet: Internet;

  constructor(internet: Internet, hostAddress: string, nats: readonly NatBox[]) {
    this.internet = internet;
    this.hostAddress = hostAddress;
    this.nats = nats;
    internet.add(this);
  }

  get publicAddress(): string {
    return this.nats.at(-1)?.address ?? this.hostAddress;
  }

  /** The public address under which a socket would be seen by `remote`, opened on the way: what STUN tells. */
  reflect(port: number, remote: Address): Address | undefined {
    if (this.nats.some((nat) => nat.kind.isBlocked === true)) return undefined;
    let from: Address = { address: this.hostAddress, port };
    for (const nat of this.nats) from = nat.outbound(this.internet.world.now, from, remote, true);
    return from;
  }

  /** @param ttl 0: the system's own */
  send(fromPort: number, to: Address, ttl: number, bytes: Uint8Array): void {
    const packet: Packet = {
      from: { address: this.hostAddress, port: fromPort },
      to,
      ttl: ttl === 0 ? DEFAULT_TTL : ttl,
      bytes,
    };
    const neighbour = this.internet.neighbour(this, to.address);
    this.internet.world.at(this.internet.world.now + ACCESS_MS, () => {
      if (neighbour !== undefined) {
        neighbour.arrival?.(this.internet.world.now, packet.from, to.port, bytes);
        return;
      }
      for (const nat of this.nats) {
        if (nat.kind.isBlocked === true || packet.ttl <= 1) return;
        packet.ttl--;
        packet.from = nat.outbound(this.internet.world.now, packet.from, to);
      }
      const outermost = this.nats.at(-1);
      if (outermost !== undefined && to.address === outermost.address) {
        if (outermost.kind.hasHairpin === true) this.enter(packet);
      } else this.internet.route(packet);
    });
  }

  enter(packet: Packet): void {
    const nowMs = this.internet.world.now;
    let to: Address = packet.to;
    for (const nat of this.nats.toReversed()) {
      const inner = nat.inbound(nowMs, to.port, packet.from);
      if (inner === undefined || nat.kind.isBlocked === true || packet.ttl <= 1) return;
      packet.ttl--;
      to = inner;
    }
    const { from, bytes } = packet;
    const site = this.internet.neighbour(this, to.address);
    this.internet.world.at(nowMs + ACCESS_MS, () =>
      site?.arrival?.(this.internet.world.now, from, to.port, bytes),
    );
  }
}

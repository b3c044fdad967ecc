/**
 * Two sides joined by one link in each direction. A side has hosts, plainly reachable or behind a NAT; all
 * hosts of a side share its link, so flows compete for it.
 */

import type { Path } from "../../src/base/path.ts";
import { type Datagram, Link, type LinkOptions } from "./link.ts";
import type { Nat } from "./nat.ts";
import { Random } from "./random.ts";
import type { World } from "./world.ts";

/** Where a host's datagrams end up. */
export interface Receiver {
  /** @param bytes belong to the receiver */
  receive(now: number, path: Path, bytes: Uint8Array, datagram: Datagram): void;
}

export class Network {
  readonly world: World;
  readonly left: Side;
  readonly right: Side;

  /** @param toRight options of the link from left to right @param toLeft of the one back */
  constructor(world: World, seed: number, toRight: Partial<LinkOptions>, toLeft: Partial<LinkOptions>) {
    this.world = world;
    this.left = new Side(world);
    this.right = new Side(world);
    this.left.link = new Link(world, new Random(seed, "to right"), toRight, (now, datagram) =>
      this.right.deliver(now, datagram),
    );
    this.right.link = new Link(world, new Random(seed, "to left"), toLeft, (now, datagram) =>
      this.left.deliver(now, datagram),
    );
  }
}

export class Side {
  readonly world: World;
  /** The link that this side sends on. */
  link!: Link;
  /** Datagrams to addresses or ports where nobody is. */
  unreachable = 0;
  readonly #hosts = new Map<string, Host>();
  readonly #nats = new Set<Nat>();

  constructor(world: World) {
    this.world = world;
  }

  add(host: Host): void {
    this.#hosts.set(`${host.address}:${host.port}`, host);
    if (host.nat !== undefined) this.#nats.add(host.nat);
  }

  deliver(now: number, datagram: Datagram): void {
    let host = this.#hosts.get(`${datagram.toAddress}:${datagram.toPort}`);
    if (host?.nat !== undefined) host = undefined; // an inner address means nothing outside
    if (host === undefined) {
      for (const nat of this.#nats) {
        if (nat.inbound(now, datagram)) {
          host = this.#hosts.get(`${datagram.toAddress}:${datagram.toPort}`);
          break;
        }
      }
    }
    if (host === undefined) this.unreachable++;
    else host.deliver(now, datagram);
  }
}

/** One UDP socket. */
export class Host {
  readonly side: Side;
  readonly address: string;
  readonly port: number;
  readonly nat: Nat | undefined;
  receiver: Receiver | undefined;
  /** Datagrams and bytes by direction, for the amplification limit. */
  readonly counts = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0 };
  readonly #paths = new Map<string, Path>();
  #lastPath: Path | undefined;

  constructor(side: Side, address: string, port: number, nat?: Nat) {
    this.side = side;
    this.address = address;
    this.port = port;
    this.nat = nat;
    side.add(this);
  }

  /** The one Path object of a remote address, as an endpoint interns it. */
  path(address: string, port: number): Path {
    const last = this.#lastPath;
    if (last !== undefined && last.port === port && last.address === address) return last;
    const key = `${address}:${port}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      path = { address, port, socket: 0 };
      this.#paths.set(key, path);
    }
    this.#lastPath = path;
    return path;
  }

  /** @param bytes are given away @param lengthBytes what the line sees, for modelled flows */
  send(path: Path, bytes: Uint8Array, lengthBytes = bytes.length): void {
    this.counts.sent++;
    this.counts.sentBytes += lengthBytes;
    const datagram: Datagram = {
      bytes,
      lengthBytes,
      fromAddress: this.address,
      fromPort: this.port,
      toAddress: path.address,
      toPort: path.port,
    };
    this.nat?.outbound(this.side.world.now, datagram);
    this.side.link.send(datagram);
  }

  deliver(now: number, datagram: Datagram): void {
    this.counts.received++;
    this.counts.receivedBytes += datagram.lengthBytes;
    this.receiver?.receive(now, this.path(datagram.fromAddress, datagram.fromPort), datagram.bytes, datagram);
  }
}

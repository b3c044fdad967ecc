/**
 * Somebody on the path who has no keys: sends random bytes, and what went over the links again, whole, cut
 * short or changed, from the right address or from one of its own. None of it may disturb a connection.
 */

import type { Datagram } from "./link.ts";
import type { Network, Side } from "./network.ts";
import type { Random } from "./random.ts";
import type { Waker, World } from "./world.ts";

export interface IntruderPlan {
  startMs: number;
  count: number;
  intervalMs: number;
  /** Whether it also sends genuine datagrams again from its own address, which looks like a move. */
  impersonatesMoves: boolean;
}

/** Datagrams that it remembers of each direction. */
const REMEMBERED = 32;
const ADDRESS = "192.0.2.200";
const PORT = 666;

interface Seen {
  datagram: Datagram;
  to: Side;
}

export class Intruder implements Waker {
  /** Datagrams sent. */
  sent = 0;
  readonly #world: World;
  readonly #random: Random;
  readonly #plan: IntruderPlan;
  readonly #seen: Seen[] = [];

  constructor(network: Network, random: Random, plan: IntruderPlan, startMs: number) {
    this.#world = network.world;
    this.#random = random;
    this.#plan = plan;
    network.left.link.watch = (datagram) => this.#remember(datagram, network.right);
    network.right.link.watch = (datagram) => this.#remember(datagram, network.left);
    this.#world.schedule(startMs + plan.startMs, this);
  }

  wake(now: number): void {
    const seen = this.#seen.length > 0 ? this.#random.pick(this.#seen) : undefined;
    if (seen !== undefined) seen.to.deliver(now, this.#forge(seen.datagram));
    if (++this.sent < this.#plan.count) this.#world.schedule(now + this.#plan.intervalMs, this);
  }

  #remember(datagram: Datagram, to: Side): void {
    const kept = { datagram: { ...datagram, bytes: datagram.bytes.slice() }, to };
    if (this.#seen.length < REMEMBERED) this.#seen.push(kept);
    else this.#seen[this.#random.below(REMEMBERED)] = kept;
  }

  #forge(original: Datagram): Datagram {
    const random = this.#random;
    let { bytes } = original;
    const way = random.below(5);
    if (way === 0) {
      bytes = random.bytes(random.integer(0, 1500));
      if (bytes.length > 0) bytes[0] = random.pick([0xc0, 0xc2, 0xd0, 0xd2, 0xd3, 0xd4, 0xe0, 0xff]);
    } else if (way === 1) bytes = bytes.slice(0, random.below(bytes.length + 1));
    else {
      bytes = bytes.slice();
      if (way !== 2 && bytes.length > 0) {
        for (let changes = random.integer(1, 4); changes > 0; changes--) {
          bytes[random.below(bytes.length)]! ^= random.integer(1, 255);
        }
      }
    }
    const isOwnAddress = way === 2 ? this.#plan.impersonatesMoves && random.chance(0.5) : random.chance(0.5);
    const source = isOwnAddress ? { fromAddress: ADDRESS, fromPort: PORT } : {};
    return { ...original, ...source, bytes, lengthBytes: bytes.length };
  }
}

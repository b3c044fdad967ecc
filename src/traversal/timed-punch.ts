/**
 * How two who connect to each other's address meet through NATs that break when one side comes too early.
 *
 * Both send from the port that they send to, which is enough for most pairs: each side's packets open its own
 * NAT for the other's. But a NAT that accepts strangers' packets keeps an entry for one that came before its
 * own host spoke, and that host's packets then leave from another port; as long as the peer goes on sending,
 * the entry stays (`docs/nat-traversal.md`, poisoning). Packets that die before they reach the peer's NAT
 * open one's own all the same, but nobody knows when the other side has done so.
 *
 * The clock does: every five seconds UTC a slot begins, with a port of its own that both sides derive. In its
 * first 1.5 s only openings leave, that a few routers let through; then the handshake is sent there too. A slot's
 * port has no past, so whoever has come by its beginning finds the other unharmed. It needs clocks that agree
 * to a second, and NATs that preserve ports; where they do not, nothing is lost, since the first port is tried all the time.
 */
import { createHash } from "node:crypto";
import { LABELS, labelOf } from "../crypto/labels.ts";
import type { HostAddress } from "../platform/udp/address.ts";
import { UdpSocket } from "../platform/udp/udp-socket.ts";
import { PACKET_NOTICE } from "../wire/packet.ts";
import { type CrossingOptions, releaseSockets } from "./crossing.ts";

/** Slots begin at multiples of this, UTC. */
const SLOT_MS = 5000;
/** A slot's beginning, in which only openings leave; the clocks of the two may differ by about as much. */
const OPENING_MS = 1500;
const OPENING_PAUSE_MS = 50;
/** Hops of an opening: past the own NAT, and hardly as far as the peer's. */
const OPENING_TTL = 4;
/** A peer that listens, or whose NAT lets us in, has answered before that. */
const TIMEOUT_MS = 1500;
/** Slots whose ports are kept open: one may be answered when the next has begun. */
const KEPT_SLOTS = 2;
/** Addresses of the peer's name that take part. */
const REMOTES_LIMIT = 2;
const MIN_PORT = 1024;
/** An opening says nothing: whoever gets it drops it. */
const OPENING: Uint8Array = Uint8Array.of(PACKET_NOTICE);

export interface TimedPunchOptions extends CrossingOptions {
  /** UTC milliseconds; another clock for tests. */
  readonly utcMs?: () => number;
}

export class TimedPunch {
  readonly #options: TimedPunchOptions;
  readonly #utcMs: () => number;
  #timer: NodeJS.Timeout | undefined;
  #opening: NodeJS.Timeout | undefined;
  /** Sockets of the last slots, oldest first. */
  readonly #slots: UdpSocket[][] = [];
  #isOpen = true;

  private constructor(options: TimedPunchOptions) {
    this.#options = options;
    this.#utcMs = options.utcMs ?? Date.now;
  }

  /** Begins if the peer has not answered for some time; `close` ends it. */
  static start(options: TimedPunchOptions): TimedPunch {
    const punch = new TimedPunch(options);
    punch.#timer = setTimeout(() => punch.#awaitSlot(), TIMEOUT_MS);
    return punch;
  }

  /** No further slots; the socket on which the peer has answered stays. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    clearInterval(this.#opening);
    for (const sockets of this.#slots) releaseSockets(this.#options, sockets);
  }

  #awaitSlot(): void {
    const now = this.#utcMs();
    const slot = Math.floor(now / SLOT_MS) + 1;
    this.#timer = setTimeout(() => void this.#open(slot), slot * SLOT_MS - now);
  }

  async #open(slot: number): Promise<void> {
    const { endpoint, remotes, localAddress: address } = this.#options;
    const port = slotPort(this.#options.port, slot);
    const taking = remotes.slice(0, REMOTES_LIMIT);
    const sockets: UdpSocket[] = [];
    for (const family of new Set(taking.map((remote) => remote.family))) {
      try {
        sockets.push(await UdpSocket.bind({ family, address, port }));
      } catch {
        // Somebody else has this port: the next slot has another.
      }
    }
    if (!this.#isOpen) {
      for (const socket of sockets) socket.close();
      return;
    }
    for (const socket of sockets) endpoint.addSocket(socket);
    this.#slots.push(sockets);
    if (this.#slots.length > KEPT_SLOTS) releaseSockets(this.#options, this.#slots.shift()!);
    const open = (): void => {
      for (const remote of taking) {
        const socket = sockets.find((one) => one.family === remote.family);
        socket?.sendWithTtl(OPENING, remote.address, port, OPENING_TTL);
      }
    };
    open();
    this.#opening = setInterval(open, OPENING_PAUSE_MS);
    const goMs = slot * SLOT_MS + OPENING_MS - this.#utcMs();
    this.#timer = setTimeout(() => {
      clearInterval(this.#opening);
      this.#ask(sockets, taking, port);
      this.#awaitSlot();
    }, goMs);
  }

  /** Sends the handshake's message over the slot's port as well. */
  #ask(sockets: readonly UdpSocket[], remotes: readonly HostAddress[], port: number): void {
    const { connection, connectionHandle } = this.#options;
    for (const { address, family } of remotes) {
      const socket = sockets.find((one) => one.family === family);
      if (socket === undefined) continue;
      connection.addPath(connectionHandle.pathOf(socket.index, address, port));
    }
    connectionHandle.touch();
  }
}

/** The port of a slot: any unprivileged one, the same for all who were given `port`. */
export function slotPort(port: number, slot: number): number {
  const digest = createHash("sha256")
    .update(labelOf(LABELS.slot, port, slot))
    .digest();
  return MIN_PORT + (digest.readUInt32BE(0) % (65536 - MIN_PORT));
}

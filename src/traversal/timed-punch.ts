/**
 * Lets two peers that `connect` to each other's address meet through NATs that fail when one side
 * starts too early.
 *
 * Both send from the port that they send to, which is enough for most pairs: each side's packets
 * open its NAT for the peer's packets. But some NATs accept an unexpected packet and keep an entry
 * for it. If the peer's packet arrives before the host behind the NAT has sent, the host's packets
 * leave from another port for as long as the peer keeps sending (docs/nat-traversal.md, poisoning).
 * Packets with a low TTL open the local NAT without reaching the peer's, but neither side knows
 * when the peer has done so.
 *
 * The clock decides: a slot begins every 5 s UTC, with a port that both sides derive. In its first
 * 1.5 s only openings with a low TTL leave; then the handshake is sent to the slot's port too.
 * Neither NAT has an entry for a new slot's port, so two sides that are both present at its start
 * meet unharmed. This needs clocks that agree to a second, and NATs that preserve ports. Elsewhere
 * nothing is lost: the first port is tried all the time.
 */
import { createHash } from "node:crypto";
import { LABELS, labelOf } from "../crypto/labels.ts";
import type { HostAddress } from "../platform/udp/address.ts";
import type { UdpSocket } from "../platform/udp/udp-socket.ts";
import { PACKET_NOTICE } from "../wire/packet.ts";
import { bindFamiliesOf, type CrossingOptions, releaseSockets } from "./crossing.ts";

/** Slots begin at multiples of this, UTC. */
const SLOT_MS = 5000;
/**
 * First part of a slot, in which only openings leave; the clocks of the two sides may differ by
 * about as much.
 */
const OPENING_MS = 1500;
const OPENING_PAUSE_MS = 50;
/** TTL of an opening: past the local NAT, and unlikely to reach the peer's. */
const OPENING_TTL = 4;
/** A listening peer, or one whose NAT lets packets in, has answered before that. */
const TIMEOUT_MS = 1500;
/** Slots whose ports stay open: an answer may arrive after the next slot has begun. */
const KEPT_SLOTS = 2;
/** Addresses of the peer's name that take part. */
const REMOTES_LIMIT = 2;
const MIN_PORT = 1024;
/** An opening carries nothing: its receiver drops it. */
const OPENING: Uint8Array = Uint8Array.of(PACKET_NOTICE);

export interface TimedPunchOptions extends CrossingOptions {
  /** UTC milliseconds; tests inject another clock. */
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

  /** Starts no further slots; the socket on which the peer has answered stays open. */
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
    // If another process has this port, the next slot has another.
    const sockets = await bindFamiliesOf(taking, address, port);
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

  /** Sends the handshake's message over the slot's port too. */
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

/** The port of a slot: an unprivileged port, the same for both sides, which know `port`. */
export function slotPort(port: number, slot: number): number {
  const digest = createHash("sha256")
    .update(labelOf(LABELS.slot, port, slot))
    .digest();
  return MIN_PORT + (digest.readUInt32BE(0) % (65536 - MIN_PORT));
}

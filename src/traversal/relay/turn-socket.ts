/**
 * A relayed datagram socket: its datagrams leave from an address on a TURN server, and datagrams
 * that arrive there are delivered here.  // RFC 8656
 *
 *     Allocate ─► relayed address;  each peer: ChannelBind, which also permits it ─► ChannelData both ways
 *
 * Allocation, permissions and channels expire; each is renewed at 80 % of its lifetime, those of
 * peers only while data is sent to them. `turn-requests.ts` authenticates requests;
 * `turn-carriage.ts` is the transport.
 */
import { copyBytes } from "../../base/bytes.ts";
import type { RemoteAddress } from "../../platform/udp/address.ts";
import type { DatagramHandler, DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import { ipFamily } from "../../wire/ip-address.ts";
import { parseStun, STUN_ATTRIBUTE, STUN_CLASS, STUN_METHOD, type StunWriter } from "../../wire/stun.ts";
import { CHANNELS, channelData, isChannelByte, parseChannelData } from "../../wire/turn-channel.ts";
import type { TurnCarriage } from "./turn-carriage.ts";
import type { TurnRequests } from "./turn-requests.ts";

/** The server's grant. */
export interface Allocation {
  /** The address that peers send to. */
  readonly relayed: RemoteAddress;
  /** The local address as the server sees it. */
  readonly mapped: RemoteAddress | undefined;
  readonly lifetimeMs: number;
}

/** Requested lifetime of an allocation.  // RFC 8656 §3.2 */
export const ALLOCATION_LIFETIME_S = 600;
/** Fixed lifetime of a permission, half that of a channel (600 s).  // RFC 8656 §9, §12 */
const PERMISSION_LIFETIME_MS = 300_000;
const RENEW_AT = 0.8;
/** A server may grant up to 2^32 − 1 seconds, which no timer can wait. */
const MAX_RENEWAL_MS = 86_400_000;
/** The channel of a peer that was not sent to for so long is not renewed. */
const PEER_IDLE_MS = 300_000;
/** Failed renewals before the relay counts as lost. */
const RENEWALS = 2;
/** Peers that are sent to, each with a channel; an agent has 64 pairs at most. */
const PEERS_LIMIT = 256;
/** Datagrams queued for a peer while its channel is being bound. */
const WAITING_DATAGRAMS = 16;
/** The server has no allocation for this address.  // RFC 8656 §19 */
const ALLOCATION_MISMATCH = 437;
/** How long the release on closing may take. */
const RELEASE_TIMEOUT_MS = 1000;

interface Peer {
  readonly address: string;
  readonly port: number;
  readonly channel: number;
  state: "binding" | "bound" | "refused";
  waiting: Uint8Array[];
  sentAtMs: number;
  renewal: NodeJS.Timeout | undefined;
}

export interface TurnSocketOptions {
  /** The server's lifetime of permissions, ms; for tests. */
  readonly permissionLifetimeMs?: number;
}

export class TurnSocket implements DatagramSocket {
  readonly kind = "relay";
  readonly family: 4 | 6;
  /** The relayed address, under which others see this socket. */
  readonly local: RemoteAddress;
  readonly relayed: RemoteAddress;
  /**
   * The local address as the server sees it: a server-reflexive address, of another socket than the
   * link's.
   */
  readonly mapped: RemoteAddress | undefined;
  index = 0;
  onDatagram: DatagramHandler | undefined;
  onSent: (() => void) | undefined;
  /**
   * Called once when the server has lost the allocation or its stream has ended; the owner closes
   * the socket.
   */
  onLost: (() => void) | undefined;

  readonly #carriage: TurnCarriage;
  readonly #requests: TurnRequests;
  readonly #permissionLifetimeMs: number;
  readonly #peers: Map<string, Peer> = new Map();
  readonly #byChannel: Map<number, Peer> = new Map();
  #latest: Peer | undefined;
  #nextChannel: number = CHANNELS.low;
  #renewal: NodeJS.Timeout | undefined;
  #isHeld = true;
  #open = true;

  /** @param carriage with an allocation; the socket closes it */
  constructor(
    carriage: TurnCarriage,
    requests: TurnRequests,
    allocation: Allocation,
    options: TurnSocketOptions = {},
  ) {
    this.#carriage = carriage;
    this.#requests = requests;
    this.relayed = allocation.relayed;
    this.local = allocation.relayed;
    this.mapped = allocation.mapped;
    this.family = allocation.relayed.family;
    this.#permissionLifetimeMs = options.permissionLifetimeMs ?? PERMISSION_LIFETIME_MS;
    carriage.onMessage = (bytes) => this.#take(bytes);
    carriage.onSent = () => this.onSent?.();
    carriage.onEnd = () => this.#lose();
    this.#renewAllocationIn(allocation.lifetimeMs * RENEW_AT);
  }

  send(bytes: Uint8Array, address: string, port: number): void {
    this.#send(bytes, address, port, false);
  }

  sendLast(bytes: Uint8Array, address: string, port: number): void {
    this.#send(bytes, address, port, true);
  }

  /** Sends nothing: the relay would send it on with a TTL of its own. */
  sendWithTtl(_bytes: Uint8Array, _address: string, _port: number, _ttl: number): void {}

  get queuedDatagrams(): number {
    return this.#carriage.queuedMessages;
  }

  holdProcess(hold: boolean): void {
    this.#isHeld = hold;
    this.#carriage.holdProcess(hold);
    this.#requests.holdProcess(hold);
    for (const timer of [this.#renewal, ...[...this.#peers.values()].map((peer) => peer.renewal)]) {
      if (hold) timer?.ref();
      else timer?.unref();
    }
  }

  /** Releases the allocation at once, instead of letting it expire. */
  close(): void {
    if (!this.#open) return;
    this.#end();
    const over = (): void => {
      clearTimeout(timer);
      this.#requests.close();
      this.#carriage.close();
    };
    const timer = setTimeout(over, RELEASE_TIMEOUT_MS);
    this.#carriage.holdProcess(false);
    this.#requests.holdProcess(false);
    timer.unref();
    void this.#refresh(0).then(over);
  }

  #send(bytes: Uint8Array, address: string, port: number, isLast: boolean): void {
    if (!this.#open) return;
    const latest = this.#latest;
    const peer = latest?.port === port && latest.address === address ? latest : this.#peerAt(address, port);
    if (peer?.state === "bound") {
      peer.sentAtMs = performance.now();
      const message = channelData(peer.channel, bytes, this.#carriage.isStream);
      if (isLast) this.#carriage.sendLast(message);
      else this.#carriage.send(message);
      return;
    }
    if (peer?.state === "binding" && peer.waiting.length < WAITING_DATAGRAMS) {
      peer.waiting.push(copyBytes(bytes));
    }
    if (isLast) setImmediate(() => this.onSent?.());
  }

  /**
   * The peer at an address, whose channel is bound when it is new; undefined for an address that
   * cannot be sent to.
   */
  #peerAt(address: string, port: number): Peer | undefined {
    const key = `${address} ${port}`;
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      if (this.#peers.size >= PEERS_LIMIT || this.#nextChannel > CHANNELS.high) return undefined;
      if (ipFamily(address) !== this.family) return undefined;
      const channel = this.#nextChannel++;
      const sentAtMs = performance.now();
      peer = { address, port, channel, state: "binding", waiting: [], sentAtMs, renewal: undefined };
      this.#peers.set(key, peer);
      this.#byChannel.set(channel, peer);
      void this.#bind(peer);
    }
    this.#latest = peer;
    return peer;
  }

  /** Binds or renews a peer's channel, which also renews its permission. */
  async #bind(peer: Peer): Promise<void> {
    const answer = await this.#requests.request(STUN_METHOD.channelBind, (writer: StunWriter) => {
      writer
        .u32(STUN_ATTRIBUTE.channelNumber, peer.channel * 0x10000)
        .xorAddress(STUN_ATTRIBUTE.xorPeerAddress, peer.address, peer.port);
    });
    if (!this.#open) return;
    if (answer.kind === "success") {
      peer.state = "bound";
      for (const bytes of peer.waiting.splice(0)) this.send(bytes, peer.address, peer.port);
      peer.renewal = setTimeout(() => this.#renewPeer(peer), this.#permissionLifetimeMs * RENEW_AT);
      if (!this.#isHeld) peer.renewal.unref();
      return;
    }
    peer.waiting = [];
    if (answer.kind === "error" && answer.code === ALLOCATION_MISMATCH) this.#lose();
    // The server forbids that address; after a timeout, the next datagram tries again.
    else if (answer.kind === "error") peer.state = "refused";
    else this.#forget(peer);
  }

  #renewPeer(peer: Peer): void {
    if (performance.now() - peer.sentAtMs > PEER_IDLE_MS) this.#forget(peer);
    else void this.#bind(peer);
  }

  #forget(peer: Peer): void {
    clearTimeout(peer.renewal);
    this.#peers.delete(`${peer.address} ${peer.port}`);
    this.#byChannel.delete(peer.channel);
    if (this.#latest === peer) this.#latest = undefined;
  }

  #renewAllocationIn(delayMs: number): void {
    const waitMs = Math.min(delayMs, MAX_RENEWAL_MS);
    this.#renewal = setTimeout(() => void this.#renewAllocation(), waitMs);
    if (!this.#isHeld) this.#renewal.unref();
  }

  async #renewAllocation(): Promise<void> {
    for (let tries = 0; tries < RENEWALS; tries++) {
      const lifetimeMs = await this.#refresh(ALLOCATION_LIFETIME_S);
      if (!this.#open) return;
      if (lifetimeMs === undefined) continue;
      if (lifetimeMs === 0) break;
      this.#renewAllocationIn(lifetimeMs * RENEW_AT);
      return;
    }
    this.#lose();
  }

  /** The lifetime that the server grants, ms; 0 when it has lost the allocation, undefined on a timeout. */
  async #refresh(lifetimeS: number): Promise<number | undefined> {
    const answer = await this.#requests.request(STUN_METHOD.refresh, (writer: StunWriter) => {
      writer.u32(STUN_ATTRIBUTE.lifetime, lifetimeS);
    });
    if (answer.kind === "silence") return undefined;
    if (answer.kind === "error") return 0;
    return (answer.message.u32(STUN_ATTRIBUTE.lifetime) ?? lifetimeS) * 1000;
  }

  #take(bytes: Uint8Array): void {
    if (bytes.length > 0 && isChannelByte(bytes[0]!)) {
      const message = parseChannelData(bytes);
      const peer = message === undefined ? undefined : this.#byChannel.get(message.channel);
      if (peer !== undefined) this.onDatagram?.(this, peer.address, peer.port, message!.payload);
      return;
    }
    const message = parseStun(bytes);
    if (message === undefined || this.#requests.take(message)) return;
    if (message.method !== STUN_METHOD.data || message.class !== STUN_CLASS.indication) return;
    // Only from a peer whose channel is being bound: all others have no permission.
    const from = message.xorAddress(STUN_ATTRIBUTE.xorPeerAddress);
    const payload = message.attribute(STUN_ATTRIBUTE.data);
    if (from === undefined || from.port === 0 || payload === undefined) return;
    this.onDatagram?.(this, from.address, from.port, payload);
  }

  #lose(): void {
    if (!this.#open) return;
    const { onLost } = this;
    this.#end();
    this.#requests.close();
    this.#carriage.close();
    onLost?.();
  }

  #end(): void {
    this.#open = false;
    this.onDatagram = undefined;
    this.onSent = undefined;
    this.onLost = undefined;
    clearTimeout(this.#renewal);
    for (const peer of this.#peers.values()) clearTimeout(peer.renewal);
    this.#peers.clear();
    this.#byChannel.clear();
  }
}

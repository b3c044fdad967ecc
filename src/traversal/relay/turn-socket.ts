/**
 * A relayed datagram socket: what is sent by it leaves from an address at a TURN server, and what arrives there
 * comes in here.  // RFC 8656
 *
 *     Allocate ─► relayed address;  each peer: ChannelBind, which lets it in too ─► ChannelData both ways
 *
 * Allocation, permissions and channels run out by themselves; each is renewed at 80 % of its time, those of
 * peers only while they are sent to. `turn-requests.ts` has the proofs, `turn-carriage.ts` what lies below.
 */
import { copyBytes } from "../../base/bytes.ts";
import type { RemoteAddress } from "../../platform/udp/address.ts";
import type { DatagramHandler, DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import { ipFamily } from "../../wire/ip-address.ts";
import { parseStun, STUN_ATTRIBUTE, STUN_CLASS, STUN_METHOD, type StunWriter } from "../../wire/stun.ts";
import { CHANNELS, channelData, isChannelByte, parseChannelData } from "../../wire/turn-channel.ts";
import type { TurnCarriage } from "./turn-carriage.ts";
import type { TurnRequests } from "./turn-requests.ts";

/** What the server granted. */
export interface Allocation {
  /** Where peers send to. */
  readonly relayed: RemoteAddress;
  /** How the server sees this side. */
  readonly mapped: RemoteAddress | undefined;
  readonly lifetimeMs: number;
}

/** Time of an allocation, as it is asked for.  // RFC 8656 §3.2 */
export const ALLOCATION_LIFETIME_S = 600;
/** A permission's fixed time, which a channel's (600 s) contains twice.  // RFC 8656 §9, §12 */
const PERMISSION_LIFETIME_MS = 300_000;
const RENEW_AT = 0.8;
/** A server may grant up to 2^32 − 1 seconds, which no timer can wait. */
const MAX_RENEWAL_MS = 86_400_000;
/** A peer that was not sent to for so long is left to run out. */
const PEER_IDLE_MS = 300_000;
/** A server that renews nothing is asked so often before the relay counts as lost. */
const RENEWALS = 2;
/** Peers that are sent to, each with its channel; an agent has 64 pairs at most. */
const PEERS_LIMIT = 256;
/** Datagrams kept for a peer while the server is told of it. */
const WAITING_DATAGRAMS = 16;
/** The server knows of no allocation from this address.  // RFC 8656 §19 */
const ALLOCATION_MISMATCH = 437;
/** How long the farewell may take. */
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
  /** For tests: what the server's time for permissions is, ms. */
  readonly permissionLifetimeMs?: number;
}

export class TurnSocket implements DatagramSocket {
  readonly kind = "relay";
  readonly family: 4 | 6;
  /** The relayed address: what this socket is to the world. */
  readonly local: RemoteAddress;
  readonly relayed: RemoteAddress;
  /** How the server sees this side; a server-reflexive address, of another socket than the link's. */
  readonly mapped: RemoteAddress | undefined;
  index = 0;
  onDatagram: DatagramHandler | undefined;
  onSent: (() => void) | undefined;
  /** Told once when the server has forgotten the relay or its stream has ended; the owner closes it. */
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

  /** @param carriage with what was allocated over it; the socket closes it */
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

  /** Sends nothing: whatever TTL it had, the relay would pass it on with one of its own. */
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

  /** Gives the relay back: the server is told, and does not have to wait for its time to run out. */
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

  /** The peer there, whom the server is told of when it is new; undefined for nobody that can be sent to. */
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

  /** Binds a peer's channel, or once more: its permission and its channel have their full time again. */
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
    // The server lets nobody talk to that address; after silence, whoever sends again tries again.
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

  /** The time that the server gives, ms; 0 when it has forgotten the relay, undefined when it says nothing. */
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
    // Comes only from a peer whose channel is being bound: anybody else has no permission.
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

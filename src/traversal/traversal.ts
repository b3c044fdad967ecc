/**
 * What an endpoint needs to find peers and paths to them: knowledge of local addresses, signalling
 * channels and relays. Each endpoint has one; its sessions and links share it.
 */

import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import type { SrudpError } from "../base/errors.ts";
import type { Path, PathKind } from "../base/path.ts";
import type { Endpoint } from "../link/endpoint.ts";
import type { CommonOptions } from "../link/link-options.ts";
import type { TraversalEvent, TraversalOptions } from "../link/traversal-options.ts";
import { familyOf, formatAddress } from "../platform/udp/address.ts";
import type { DatagramSocket } from "../platform/udp/datagram-socket.ts";
import { type Candidate, inPreferenceOrder } from "../punch/candidate.ts";
import type { LocalSocket, WorkingPair } from "../punch/punch-events.ts";
import { type NatBehaviour, UNKNOWN_BEHAVIOUR } from "../wire/nat-behaviour-codec.ts";
import { Gatherer } from "./gather/gatherer.ts";
import { PUBLIC_STUN_SERVERS, parseStunServer, type StunServer } from "./gather/stun-server.ts";
import { openTurn } from "./relay/open-turn.ts";
import { openRelay, RELAY_ADDRESS } from "./relay/relay-socket.ts";
import type { TurnSocket } from "./relay/turn-socket.ts";
import type { RendezvousPoint, SignallingChannel, SignallingRole } from "./signalling/channel.ts";
import { DhtChannel } from "./signalling/dht-channel.ts";
import { LanChannel } from "./signalling/lan-channel.ts";
import { MailboxChannel } from "./signalling/mailbox-channel.ts";
import type { RendezvousClientOptions } from "./signalling/rendezvous-client.ts";
import { orderServers, parseRendezvousUrl, type RendezvousUrl } from "./signalling/rendezvous-url.ts";
import { TicketChannel } from "./signalling/ticket-channel.ts";
import { describeDifference, WallClocks } from "./wall-clocks.ts";

/**
 * A relay's socket, and the address of its remote end where the relay joins two sides without
 * addresses.
 */
export interface OpenedRelay {
  readonly socket: DatagramSocket;
  readonly onlyPeer?: { readonly address: string; readonly port: number };
  /** The candidate to publish, for a relay that has an address (TURN). */
  readonly candidate?: Candidate;
}

/** Pairs whose path kind is remembered. */
const PAIRS_LIMIT = 256;

export class TraversalContext {
  readonly endpoint: Endpoint;
  readonly options: TraversalOptions;
  readonly localAddress: string | undefined;
  /** All signalling channels. */
  readonly channels: readonly SignallingChannel[];
  /** The channels that cost little to stay subscribed to. */
  readonly warmChannels: readonly SignallingChannel[];
  readonly clocks: WallClocks = new WallClocks();
  isGathered = false;
  /** Called when a channel begins to fail. */
  onTrouble: (() => void) | undefined;

  readonly #rendezvous: readonly RendezvousUrl[];
  readonly #clientOptions: RendezvousClientOptions;
  readonly #mailbox: MailboxChannel | undefined;
  readonly #gatherer: Gatherer;
  readonly #isNumeric: boolean;
  readonly #watchers: Set<() => void> = new Set();
  readonly #networkWatchers: Set<() => void> = new Set();
  /** The path kind of each pair that an agent found. */
  readonly #kinds: Map<string, PathKind> = new Map();
  /** Channels that fail now, with the reason, and channels that have ever worked. */
  readonly #troubles: Map<string, SrudpError> = new Map();
  readonly #contacts: Set<string> = new Set();
  /** The sockets whose addresses are published: one of each family. */
  #sockets: DatagramSocket[] = [];
  #isOpen = true;

  /** @throws SrudpError ERR_USAGE for an invalid server */
  constructor(endpoint: Endpoint, options: TraversalOptions, common: CommonOptions) {
    this.endpoint = endpoint;
    this.options = options;
    this.localAddress = common.localAddress;
    const names = common.resolve !== false;
    const { rendezvous = [] } = options;
    this.#rendezvous = rendezvous.map(parseRendezvousUrl);
    this.#clientOptions = { shared: endpoint, names, family: common.family };
    const channels: SignallingChannel[] = [];
    this.#mailbox = rendezvous.length > 0 ? new MailboxChannel(rendezvous, this.#clientOptions) : undefined;
    if (this.#mailbox !== undefined) {
      channels.push(this.#mailbox);
      this.#mailbox.onClock = (server, aheadMs) => {
        if (!this.clocks.learn(aheadMs)) return;
        const text = `this machine's clock is ${describeDifference(aheadMs)} that of ${server}`;
        this.note({ kind: "clock", aheadMs: Math.round(aheadMs), text });
      };
    }
    if (options.lan !== false) channels.push(new LanChannel());
    // Staying subscribed costs a DHT put every hour, so links do it only where they have no
    // rendezvous server.
    this.warmChannels = channels.slice();
    const { dhtBootstrap } = options;
    if (options.dht !== false) {
      const dht = new DhtChannel({ names, ...(dhtBootstrap !== undefined && { bootstrap: dhtBootstrap }) });
      channels.push(dht);
      if (this.#mailbox === undefined) this.warmChannels = channels;
    }
    this.channels = options.ticket === undefined ? channels : [new TicketChannel(options.ticket)];
    this.#isNumeric = !names;
    this.#gatherer = new Gatherer(endpoint, {
      stunServers: stunServersOf(options),
      isNumeric: !names,
      portMapping: options.portMapping !== false,
    });
    this.#gatherer.onCandidate = ({ candidate }) => {
      const { kind, address, port, family } = candidate;
      this.note({ kind: "candidate", text: `${kind} ${formatAddress({ address, port, family })}` });
      this.#report();
    };
    this.#gatherer.onBehaviour = (_family, { mapping, filtering }) => {
      this.note({ kind: "behaviour", mapping, filtering });
      this.#report();
    };
    this.#gatherer.onNetworkChange = () => {
      for (const reported of this.#networkWatchers) reported();
    };
  }

  /** Connects to the rendezvous servers and gathers candidates. */
  start(): void {
    this.#mailbox?.approach();
    // Without a signalling channel there is no peer to send candidates to.
    if (this.channels.length > 0) this.#gather();
  }

  get counts(): Readonly<Record<string, number>> {
    return { watchers: this.#watchers.size, networkWatchers: this.#networkWatchers.size };
  }

  /** Local candidates, best first. */
  get candidates(): Candidate[] {
    if (this.options.only === "relay") return [];
    return inPreferenceOrder(this.#gatherer.candidates.map(({ candidate }) => candidate));
  }

  /** Behaviour of the NATs in front of this side: those of IPv4, where they matter. */
  get behaviour(): NatBehaviour {
    const hasV4 = this.endpoint.sockets.some(({ family, kind }) => family === 4 && kind === "udp");
    return hasV4 ? this.#gatherer.behaviour(4) : UNKNOWN_BEHAVIOUR;
  }

  /** The sockets in use, as a punching agent takes them. */
  get locals(): LocalSocket[] {
    if (this.options.only === "relay") return [];
    const found = this.#gatherer.candidates;
    return this.#sockets.map((socket) => ({
      socket: socket.index,
      family: socket.family,
      kind: "udp",
      candidates: found.filter((one) => one.socket === socket).map(({ candidate }) => candidate),
    }));
  }

  /** Whether the options leave no signalling channel. */
  get hasNoChannel(): boolean {
    if (this.channels.some(({ name }) => name !== "mailbox")) return false;
    return !this.#rendezvous.some(({ host }) => !this.#isNumeric || isIP(host) !== 0);
  }

  /** Why no channel has ever worked; undefined once one has, or while none has failed. */
  get failure(): SrudpError | undefined {
    return this.#contacts.size > 0 ? undefined : this.troubles[0];
  }

  /** Why channels fail now, in the order in which they are tried. */
  get troubles(): SrudpError[] {
    return this.channels.flatMap(({ name }) => this.#troubles.get(name) ?? []);
  }

  /** Whether all channels fail now. */
  get hasNoWorkingChannel(): boolean {
    return this.channels.every(({ name }) => this.#troubles.has(name));
  }

  readonly random = (byteLength: number): Uint8Array => new Uint8Array(randomBytes(byteLength));

  now(): number {
    return this.endpoint.now();
  }

  /** Calls `told` whenever more is known of local addresses. Returns a function that stops it. */
  watch(reported: () => void): () => void {
    this.#watchers.add(reported);
    return () => this.#watchers.delete(reported);
  }

  /** Calls `told` when this machine's addresses have changed. Returns a function that stops it. */
  watchNetwork(reported: () => void): () => void {
    this.#networkWatchers.add(reported);
    return () => this.#networkWatchers.delete(reported);
  }

  /** Gathers local addresses again. */
  refresh(): void {
    if (this.#isOpen) this.#gather();
  }

  /** The kind of the path that a link uses. */
  kindOf(path: Path | undefined): PathKind {
    if (path === undefined) return "direct";
    if (this.endpoint.socketAt(path.socket)?.kind === "relay") return "relay";
    return this.#kinds.get(keyOf(path)) ?? "direct";
  }

  recordPair(pair: WorkingPair): void {
    const key = keyOf(pair);
    this.#kinds.delete(key);
    this.#kinds.set(key, pair.path);
    if (this.#kinds.size > PAIRS_LIMIT) this.#kinds.delete(this.#kinds.keys().next().value!);
    const { path, address, port, rttMs } = pair;
    const remote = formatAddress({ address, port, family: familyOf(address) });
    this.note({ kind: "pair", path, remote, rttMs });
  }

  reportTrouble(channel: string, error: SrudpError): void {
    const isKnown = this.#troubles.has(channel);
    this.#troubles.set(channel, error);
    // Once for each outage: points and servers each report the same one.
    if (!isKnown) this.note({ kind: "meeting", channel, trouble: error.detail || error.message });
    this.onTrouble?.();
  }

  recordContact(channel: string): void {
    this.#contacts.add(channel);
    if (this.#troubles.delete(channel)) this.note({ kind: "meeting", channel });
  }

  note(note: TraversalEvent): void {
    this.options.onNote?.(note);
  }

  /**
   * Replaces the sockets in use, whose NAT mappings may be poisoned. The endpoint owns the new ones
   * already.
   */
  useSockets(sockets: readonly DatagramSocket[]): void {
    const families = new Set(sockets.map(({ family }) => family));
    this.#sockets = [...this.#sockets.filter(({ family }) => !families.has(family)), ...sockets];
    if (this.#isOpen) this.#gather();
  }

  /** Opens relays for a rendezvous point; each is passed on as it opens, undefined for one that failed. */
  openRelays(point: RendezvousPoint, side: SignallingRole): Promise<OpenedRelay | undefined>[] {
    if (this.options.only === "direct") return [];
    // Both sides begin with the same server.
    const [server] = orderServers(this.#rendezvous, point.id);
    const isNumeric = this.#isNumeric;
    return [
      ...(server === undefined ? [] : [this.#relayOr(this.#openRelay(server, point, side))]),
      ...(this.options.turn ?? []).map((uri) =>
        this.#relayOr(
          openTurn(uri, { isNumeric }).then((socket) => ({ socket, candidate: relayedBy(socket) })),
        ),
      ),
    ];
  }

  async #openRelay(
    server: RendezvousUrl,
    point: RendezvousPoint,
    side: SignallingRole,
  ): Promise<OpenedRelay> {
    const isUdpBlocked = this.#mailbox?.transportTo(server) === "webSocket";
    const socket = await openRelay(server.text, point, side, { ...this.#clientOptions, isUdpBlocked });
    return { socket, onlyPeer: RELAY_ADDRESS };
  }

  async #relayOr(opening: Promise<OpenedRelay>): Promise<OpenedRelay | undefined> {
    try {
      return await opening;
    } catch (error) {
      this.note({ kind: "missing", part: `relay: ${(error as Error).message}` });
      return undefined;
    }
  }

  /** Ends all subscriptions; the endpoint closes the sockets. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const gathererClosed = this.#gatherer.close();
    this.#watchers.clear();
    this.#networkWatchers.clear();
    const all = new Set([...this.channels, ...this.warmChannels]);
    await Promise.all([gathererClosed, ...[...all].map((channel) => channel.close())]);
  }

  #gather(): void {
    this.isGathered = false;
    const isThere = (socket: DatagramSocket): boolean => this.endpoint.socketAt(socket.index) === socket;
    // When a failed attempt closes its sockets, the first ones are used again.
    for (const family of [4, 6] as const) {
      if (this.#sockets.some((socket) => socket.family === family && isThere(socket))) continue;
      const first = this.endpoint.sockets.find((socket) => socket.family === family && socket.kind === "udp");
      if (first !== undefined) this.#sockets.push(first);
    }
    this.#sockets = this.#sockets.filter(isThere);
    this.#gatherer.start(this.#sockets);
    void this.#gatherer.ready.then(() => {
      if (!this.#isOpen) return;
      this.isGathered = true;
      this.#report();
    });
  }

  #report(): void {
    for (const reported of this.#watchers) reported();
  }
}

/** The named STUN servers, else the rendezvous servers, else public ones. */
export function stunServersOf({ stun, rendezvous = [] }: TraversalOptions): readonly StunServer[] {
  if (stun !== undefined && stun.length > 0) return stun.map(parseStunServer);
  const named = rendezvous
    .map(parseRendezvousUrl)
    .filter(({ scheme }) => scheme === "udp")
    .flatMap(({ host, port }) => [
      { host, port },
      { host, port: port + 1 },
    ]);
  return named.length > 0 ? named : PUBLIC_STUN_SERVERS;
}

function relayedBy({ relayed }: TurnSocket): Candidate {
  return { kind: "relayed", address: relayed.address, port: relayed.port, family: relayed.family };
}

function keyOf({ socket, address, port }: { socket: number; address: string; port: number }): string {
  return `${socket} ${address} ${port}`;
}

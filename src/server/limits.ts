/**
 * Every bound of a rendezvous server in one place. Whatever exceeds one is refused or dropped. "Address" means one
 * IPv4 address or one IPv6 /64. What each bound costs when it is reached is in `docs/threat-model.md`, measured.
 *
 * Bounds per address do not stop an attacker that has many; the totals (`places`, `webSockets`, `relays`,
 * `relayTotalRateBytes`) bound memory and relayed traffic then, and honest clients are refused while they are used up.
 */
import type { SourceRate } from "../platform/source-rates.ts";

/** What whoever runs a server may change. */
export interface RendezvousLimits {
  /** Places that are kept at the same time; about 4 KiB each where both sides wait with full blobs. */
  readonly points: number;
  /** Entries of one address; a place has two. */
  readonly entriesPerAddress: number;
  /**
   * Messages a second from one address, by UDP and WebSocket together, with a burst of five seconds' worth. Relayed
   * datagrams do not count as long as they are passed on.
   */
  readonly messagesPerAddress: number;
  /**
   * TCP connections, WebSockets or about to become one; about 11 KiB each, and up to WEBSOCKET_BACKLOG_BYTES more when
   * the client does not read.
   */
  readonly webSockets: number;
  /** WebSockets of one address, and as many connections of its that are not one yet. */
  readonly webSocketsPerAddress: number;
  /** Relayed connections at the same time, both ends counted as one; 0 relays nothing. */
  readonly relays: number;
  /** Ends of them that belong to one address. */
  readonly relaysPerAddress: number;
  /** What one relayed connection carries each way, bytes a second. */
  readonly relayRateBytes: number;
  /**
   * What one relayed connection carries in all, bytes. It bounds a connection, not an address: peers that agree on
   * another room have another quota.
   */
  readonly relayQuotaBytes: number;
  /** What all relayed connections carry together, bytes a second. */
  readonly relayTotalRateBytes: number;
}

export const USUAL_LIMITS: RendezvousLimits = {
  points: 100_000,
  entriesPerAddress: 256,
  messagesPerAddress: 128,
  webSockets: 10_000,
  webSocketsPerAddress: 64,
  relays: 1000,
  relaysPerAddress: 16,
  relayRateBytes: 1_000_000,
  relayQuotaBytes: 4_000_000_000,
  relayTotalRateBytes: 50_000_000,
};

/** How long an entry stays when its owner falls silent. */
export const ENTRY_LIFE_MS = 120_000;
/** How long an end of a relayed connection stays when its owner does not ask for it again. */
export const RELAY_END_LIFE_MS = 60_000;
/** How long the traffic of a relayed connection counts after both ends have left. */
export const RELAY_QUOTA_MEMORY_MS = 3_600_000;
/** Connections whose traffic is remembered so; about 150 bytes each. */
export const MAX_REMEMBERED_QUOTAS = 10_000;
/**
 * The mean size from which a relayed connection is limited by its bytes; smaller datagrams are limited by their
 * number, because each costs the same time.
 */
export const RELAY_SMALL_DATAGRAM_BYTES = 400;
/** How many seconds' worth of messages may come at once. */
export const MESSAGE_BURST_S = 5;
/**
 * Answers to an address that has proved nothing (STUN, cookies): a forged source gets no more than 50 answers of at
 * most 100 bytes a second, whoever asks in its name. A client asks about 25 times when it starts.
 */
export const UNVALIDATED_RATE: SourceRate = { perSecond: 50, burst: 250 };
/** What opening a TCP connection counts, in messages. */
export const CONNECTION_TOKENS = 5;
/** How long nothing is read from a WebSocket whose address sends too fast. */
export const OVER_RATE_PAUSE_MS = 250;
/** A proxy on this machine may have this share of `webSockets` in connections that are not a WebSocket yet. */
export const LOCAL_PENDING_SHARE = 0.25;
/** A cookie is good for one to two of these. */
export const COOKIE_SPAN_MS = 120_000;
/** How often what has expired is looked for. */
export const SWEEP_EVERY_MS = 1000;
/** When a change is told to a peer by UDP that has not confirmed it, after the first time. */
export const PUSH_AGAIN_AFTER_MS: readonly number[] = [250, 500, 1000];
/** A WebSocket that takes nothing off so many waiting bytes loses what else is for it, as a router does. */
export const WEBSOCKET_BACKLOG_BYTES = 262_144;
/** Largest message that a WebSocket may send; the largest request has 1101 bytes, a relayed datagram may have 1500. */
export const WEBSOCKET_MESSAGE_BYTES = 2048;
/** A TCP connection has so long to become a WebSocket, however busy it is. */
export const UPGRADE_TIMEOUT_MS = 5000;
/** A WebSocket that sent nothing for so long is closed; clients send every 15 s. */
export const WEBSOCKET_SILENCE_MS = 90_000;
/** Bytes that may go through at once after a pause, as time at the full rate. */
export const BURST_MS = 250;

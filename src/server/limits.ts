/**
 * All limits of a rendezvous server. Excess is refused or dropped. "Address" means one IPv4 address
 * or one IPv6 /64. `docs/threat-model.md` has the measured cost of reaching each limit.
 *
 * Limits per address do not stop an attacker with many addresses. The totals (`points`,
 * `webSockets`, `relays`, `relayTotalRateBytes`) then bound memory and relayed traffic, and honest
 * clients are refused while they are exhausted.
 */
import type { SourceRate } from "../platform/source-rates.ts";

/** Limits that the operator may change. */
export interface RendezvousLimits {
  /** Rendezvous points at a time; about 4 KiB each where both sides wait with full blobs. */
  readonly points: number;
  /** Entries of one address; a point has two. */
  readonly entriesPerAddress: number;
  /**
   * Messages a second from one address, over UDP and WebSocket together, with a burst of five
   * seconds' worth. Relayed datagrams do not count while they are passed on.
   */
  readonly messagesPerAddress: number;
  /**
   * TCP connections, including those that are not WebSockets yet; about 11 KiB each, and up to
   * WEBSOCKET_BACKLOG_BYTES more when the client does not read.
   */
  readonly webSockets: number;
  /** WebSockets of one address, and as many connections that are not WebSockets yet. */
  readonly webSocketsPerAddress: number;
  /** Relayed connections at a time, both ends counted as one; 0 disables relaying. */
  readonly relays: number;
  /** Ends of relayed connections that one address may own. */
  readonly relaysPerAddress: number;
  /** Rate of one relayed connection in each direction, bytes a second. */
  readonly relayRateBytes: number;
  /**
   * Total bytes of one relayed connection. It limits a connection, not an address: peers that agree
   * on another room get another quota.
   */
  readonly relayQuotaBytes: number;
  /** Rate of all relayed connections together, bytes a second. */
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

/** Lifetime of an entry after its owner's last request. */
export const ENTRY_LIFE_MS = 120_000;
/** Lifetime of an end of a relayed connection after its owner's last request. */
export const RELAY_END_LIFE_MS = 60_000;
/** How long the traffic of a relayed connection counts after both ends have left. */
export const RELAY_QUOTA_MEMORY_MS = 3_600_000;
/** Connections whose traffic is remembered after they end; about 150 bytes each. */
export const MAX_REMEMBERED_QUOTAS = 10_000;
/**
 * The mean datagram size from which a relayed connection is limited by bytes; smaller datagrams are
 * limited by number, because each costs the same time.
 */
export const RELAY_SMALL_DATAGRAM_BYTES = 400;
/** Burst of messages, in seconds' worth of the rate. */
export const MESSAGE_BURST_S = 5;
/**
 * Answers to an unvalidated address (STUN, cookies): a forged source receives at most 50 answers of
 * 100 bytes a second, from all attackers together. A client asks about 25 times when it starts.
 */
export const UNVALIDATED_RATE: SourceRate = { perSecond: 50, burst: 250 };
/** The cost of opening a TCP connection, in messages. */
export const CONNECTION_TOKENS = 5;
/** How long reading from a WebSocket is paused when its address sends too fast. */
export const OVER_RATE_PAUSE_MS = 250;
/**
 * The share of `webSockets` that a proxy on this machine may have in connections that are not
 * WebSockets yet.
 */
export const LOCAL_PENDING_SHARE = 0.25;
/** A cookie is valid for one to two of these. */
export const COOKIE_SPAN_MS = 120_000;
/** How often expired items are removed. */
export const SWEEP_EVERY_MS = 1000;
/** When an unconfirmed change is pushed to a peer over UDP again. */
export const PUSH_AGAIN_AFTER_MS: readonly number[] = [250, 500, 1000];
/**
 * Queued bytes beyond which further messages to a WebSocket that does not read are dropped, as a
 * router would.
 */
export const WEBSOCKET_BACKLOG_BYTES = 262_144;
/** Largest message from a WebSocket; the largest request has 1101 bytes, a relayed datagram up to 1500. */
export const WEBSOCKET_MESSAGE_BYTES = 2048;
/** Deadline for a TCP connection to become a WebSocket, even if it keeps sending. */
export const UPGRADE_TIMEOUT_MS = 5000;
/** A WebSocket that sent nothing for so long is closed; clients send every 15 s. */
export const WEBSOCKET_SILENCE_MS = 90_000;
/** Burst of relayed bytes, as time at the full rate. */
export const BURST_MS = 250;

/**
 * Every bound of a rendezvous server in one place. What is out of bounds is refused or dropped; nothing that
 * a stranger does makes a server grow beyond these.
 */

/** What whoever runs a server may change. */
export interface RendezvousLimits {
  /** Places that are kept at the same time; about 3 KiB each where both sides wait with full blobs. */
  readonly places: number;
  /** Of them, entries of one source address (IPv6: of one /64). */
  readonly entriesPerAddress: number;
  /** WebSocket connections; about 15 KiB each. */
  readonly webSockets: number;
  /** Of them, those of one source address (IPv6: of one /64). */
  readonly webSocketsPerAddress: number;
  /** Relayed connections at the same time, both ends counted as one; 0 relays nothing. */
  readonly relays: number;
  /** Of them, those of one source address (IPv6: of one /64). */
  readonly relaysPerAddress: number;
  /** What one relayed connection carries each way, bytes a second. */
  readonly relayRateBytes: number;
  /** What one relayed connection carries in all, bytes. */
  readonly relayQuotaBytes: number;
  /** What all relayed connections carry together, bytes a second. */
  readonly relayTotalRateBytes: number;
}

export const USUAL_LIMITS: RendezvousLimits = {
  places: 100_000,
  entriesPerAddress: 256,
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

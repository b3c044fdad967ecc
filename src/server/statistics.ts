/** What a rendezvous server has seen, in numbers that say nothing about anybody. */
export interface RendezvousStatistics {
  /** Places with at least one entry, and entries, now. */
  points: number;
  waiting: number;
  /** Blobs left, and changes told to a waiting peer. */
  published: number;
  pushed: number;
  cookies: number;
  /** Requests that were refused, by reason. */
  refusedFull: number;
  refusedTooMany: number;
  refusedRelay: number;
  /** Requests and connections that were dropped because their address sends too many. */
  overRate: number;
  /** Datagrams and messages that mean nothing here. */
  malformed: number;
  webSockets: number;
  stunRequests: number;
  /** Relayed connections with at least one end, now. */
  relays: number;
  relayedBytes: number;
  relayedDatagrams: number;
  /** Relayed datagrams that were dropped: no peer, over the rate, over the quota. */
  relayDropped: number;
}

export function emptyStatistics(): RendezvousStatistics {
  return {
    points: 0,
    waiting: 0,
    published: 0,
    pushed: 0,
    cookies: 0,
    refusedFull: 0,
    refusedTooMany: 0,
    refusedRelay: 0,
    overRate: 0,
    malformed: 0,
    webSockets: 0,
    stunRequests: 0,
    relays: 0,
    relayedBytes: 0,
    relayedDatagrams: 0,
    relayDropped: 0,
  };
}

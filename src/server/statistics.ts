/** Counters of a rendezvous server, which identify no client. */
export interface RendezvousStatistics {
  /** Current number of points with at least one entry, and of entries. */
  points: number;
  waiting: number;
  /** Blobs published, and changes pushed to a waiting peer. */
  published: number;
  pushed: number;
  cookies: number;
  /** Refused requests, by reason. */
  refusedFull: number;
  refusedTooMany: number;
  refusedRelay: number;
  /** Requests and connections dropped because their address exceeds its rate. */
  overRate: number;
  /** Datagrams and messages that could not be parsed. */
  malformed: number;
  webSockets: number;
  stunRequests: number;
  /** Current number of relayed connections with at least one end. */
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

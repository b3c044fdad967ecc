/** What a connection tells its user: numeric codes in a ring, filled into one object that the caller owns. */
import type { Path } from "../../base/path.ts";

export const EVENT = {
  /** The handshake is done; streams may be opened. */
  established: 1,
  /** The peer's key waits for answerPeer(). */
  peerOffered: 2,
  /** The peer opened stream `streamId`. */
  streamOpened: 3,
  /** read() on `streamId` gives bytes, or its end has come; raised again only after read() ran dry. */
  readable: 4,
  /** write() on `streamId` is welcome again. */
  writable: 5,
  /** The peer gave its half of `streamId` up, with `errorCode`. */
  streamReset: 6,
  /** The peer wants nothing more of `streamId`; our half was reset with `errorCode`. */
  stopSending: 7,
  /** Everything written to `streamId`, and its end, was acknowledged. */
  streamAcknowledged: 8,
  /** openStream() works again. */
  streamsAvailable: 9,
  /** readDatagram() gives something. */
  datagram: 10,
  /** The connection is over, see `closeCause`. */
  closed: 11,
  /** The peer proved that it holds the keys: the link works both ways. */
  confirmed: 12,
  /** The connection moved to another path, see `path`. */
  pathChanged: 13,
  /** `path` has answered our challenge: usePath() may move to it. */
  pathValidated: 14,
  /** `connectionIds` changed. */
  idsChanged: 15,
  /** `path` was asked in vain, for seconds and several times. */
  pathFailed: 16,
  /** The path in use, `path`, is silent for longer than a living one should be. */
  pathSuspect: 17,
  /** The path in use, `path`, counts as dead. The connection waits for it, or for another, until the idle timeout. */
  pathDead: 18,
  /** What was suspect or dead carries packets again, or another path took its place: `path` is the one in use. */
  pathAlive: 19,
} as const;

export interface ConnectionEvent {
  kind: number;
  streamId: number;
  errorCode: number;
  /** Of the events that concern one. */
  path?: Path | undefined;
}

export class EventQueue {
  private kinds: number[] = [];
  private streamIds: number[] = [];
  private errorCodes: number[] = [];
  private paths: (Path | undefined)[] = [];
  private head = 0;

  push(kind: number, streamId = 0, errorCode = 0, path?: Path): void {
    this.kinds.push(kind);
    this.streamIds.push(streamId);
    this.errorCodes.push(errorCode);
    this.paths.push(path);
  }

  /** Moves the oldest event into `into`; false when there is none. */
  poll(into: ConnectionEvent): boolean {
    if (this.head === this.kinds.length) return false;
    into.kind = this.kinds[this.head]!;
    into.streamId = this.streamIds[this.head]!;
    into.errorCode = this.errorCodes[this.head]!;
    into.path = this.paths[this.head];
    if (++this.head === this.kinds.length) {
      this.kinds.length = 0;
      this.streamIds.length = 0;
      this.errorCodes.length = 0;
      this.paths.length = 0;
      this.head = 0;
    }
    return true;
  }

  get isEmpty(): boolean {
    return this.head === this.kinds.length;
  }
}

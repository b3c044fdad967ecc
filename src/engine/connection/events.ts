/**
 * The events of a connection: numeric codes in a ring, copied into one object that the caller owns.
 */
import type { Path } from "../../base/path.ts";

export const EVENT = {
  /** The handshake is done; streams may be opened. */
  established: 1,
  /** The peer's key is to be accepted or refused with answerPeer(). */
  peerOffered: 2,
  /** The peer opened stream `streamId`. */
  streamOpened: 3,
  /**
   * read() on `streamId` returns bytes, or its end was reached. Raised again only after read()
   * returned no more.
   */
  readable: 4,
  /** write() on `streamId` may continue. */
  writable: 5,
  /** The peer reset its half of `streamId` with `errorCode`. */
  streamReset: 6,
  /** The peer wants no more data on `streamId`; the local half was reset with `errorCode`. */
  stopSending: 7,
  /** Everything written to `streamId`, including its end, was acknowledged. */
  streamAcknowledged: 8,
  /** openStream() works again. */
  streamsAvailable: 9,
  /** readDatagram() returns a datagram. */
  datagram: 10,
  /** The connection has ended, see `closeCause`. */
  closed: 11,
  /** The peer proved that it has the keys: the link works in both directions. */
  confirmed: 12,
  /** The connection moved to another path, see `path`. */
  pathChanged: 13,
  /** `path` has answered the local challenge: usePath() may move to it. */
  pathValidated: 14,
  /** `connectionIds` changed. */
  idsChanged: 15,
  /** `path` did not answer several challenges within some seconds. */
  pathFailed: 16,
  /** The path in use, `path`, has been silent for longer than expected of a working path. */
  pathSuspect: 17,
  /**
   * The path in use, `path`, counts as dead. The connection waits for it, or for another, until the
   * idle timeout.
   */
  pathDead: 18,
  /**
   * The suspect or dead path carries packets again, or another path replaced it. `path` is the path
   * in use.
   */
  pathAlive: 19,
} as const;

export interface ConnectionEvent {
  kind: number;
  streamId: number;
  errorCode: number;
  /** For events that concern a path. */
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

  /** Moves the oldest event into `into`; false if there is none. */
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

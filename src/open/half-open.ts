/**
 * A peer at the door: a responder's handshake between its first message and its end.
 *
 * It looks at every datagram before and after the engine does, because guesses are to be counted one by one, and
 * limits enforced before the next one is looked at. Every datagram, because a handshake packet may stand behind
 * another packet.
 */

import { ERRORS } from "../base/errors.ts";
import type { Path } from "../base/path.ts";
import type { GuessRun } from "../engine/acceptor/guess-limits.ts";
import { type Connection, type ConnectionEvent, EVENT } from "../engine/connection/connection.ts";
import type { Handshake, Mode } from "../engine/handshake/handshake.ts";
import type { ConnectionHandle, ConnectionOwner } from "../link/connection-handle.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";

/** What a half-open tells its listener, each at most once. */
export interface HalfOpenWatcher {
  /** The peer has confirmed the code or passphrase. */
  guessPassed(halfOpen: HalfOpen): void;
  guessed(halfOpen: HalfOpen, now: number): void;
  /** A void half-open has sent something, and is to hear that it is in vain. */
  rejected(halfOpen: HalfOpen, path: Path, bytes: Uint8Array): void;
  /** The peer has proved itself, and is not yet told so; false when there is no place for it. */
  validated(halfOpen: HalfOpen, now: number): boolean;
  /** The link is there, for a peer that had its place. */
  established(halfOpen: HalfOpen): void;
  /** The peer's key was refused. */
  refused(halfOpen: HalfOpen): void;
  /** It ended before the link was there; `hadPlace`: `proved` had given it one. */
  gone(halfOpen: HalfOpen, hadPlace: boolean): void;
}

export class HalfOpen implements ConnectionOwner {
  readonly key: string;
  /** The peer's connection ID, in hexadecimal. */
  readonly peerId: string;
  /** How the peer wants to prove itself; undefined for a way that this version does not know. */
  readonly mode: Mode | undefined;
  readonly remote: RemoteAddress;
  /** Its guess at a code or passphrase, where it has one. */
  readonly run: GuessRun | undefined;
  hasGuessed = false;
  /** What it tries to prove does not count any more. */
  isVoid = false;
  connection!: Connection;
  handshake!: Handshake;
  connectionHandle!: ConnectionHandle;
  readonly #watcher: HalfOpenWatcher;
  #isAdmitted: boolean | undefined;
  #hasPassed = false;

  constructor(
    watcher: HalfOpenWatcher,
    key: string,
    peerId: string,
    mode: Mode | undefined,
    remote: RemoteAddress,
    run: GuessRun | undefined,
  ) {
    this.#watcher = watcher;
    this.key = key;
    this.peerId = peerId;
    this.mode = mode;
    this.remote = remote;
    this.run = run;
  }

  handleDatagram(now: number, path: Path, bytes: Uint8Array): void {
    if (this.isVoid || this.run?.isVoid) {
      this.#watcher.rejected(this, path, bytes);
      return;
    }
    this.connection.handleDatagram(now, path, bytes);
    if (this.handshake.guessFailed && !this.hasGuessed) {
      this.hasGuessed = true;
      this.#watcher.guessed(this, now);
    }
    if (this.handshake.guessPassed && !this.#hasPassed) {
      this.#hasPassed = true;
      this.#watcher.guessPassed(this);
    }
    // Seen here, before anything is sent, so that a peer without a place hears of nothing else.
    if (this.connection.state === "established") this.#admit(now);
  }

  handleEvent(event: ConnectionEvent): void {
    if (event.kind === EVENT.established) {
      if (this.#admit(this.connectionHandle.now())) this.#watcher.established(this);
    } else if (event.kind === EVENT.closed && this.connection.closeCause?.code === "ERR_KEY_REFUSED") {
      this.#watcher.refused(this);
    }
  }

  handleFault(): void {
    this.connection.close(this.connectionHandle.now(), ERRORS.ERR_INTERNAL.wire!, "");
  }

  handleDetached(): void {
    this.#watcher.gone(this, this.#isAdmitted === true);
  }

  #admit(now: number): boolean {
    this.#isAdmitted ??= this.#watcher.validated(this, now);
    return this.#isAdmitted;
  }
}

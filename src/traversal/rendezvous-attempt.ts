/**
 * From a rendezvous point to a link: how a connector reaches a peer whose address it does not know.
 * The first working pair carries the handshake; the connection migrates to a better pair while data
 * flows.
 */
import { type Deferred, deferred } from "../base/deferred.ts";
import { SrudpError } from "../base/errors.ts";
import type { ConnectionHandle } from "../link/connection-handle.ts";
import type { Endpoint } from "../link/endpoint.ts";
import { faultError, guarded } from "../link/fault.ts";
import type { Link } from "../link/link.ts";
import { Attempt, type AttemptOptions } from "../link/link-attempt.ts";
import type { LinkCore } from "../link/link-core.ts";
import { NO_DIRECT_PATH, type TraversalOptions } from "../link/traversal-options.ts";
import type { Trust } from "../link/trust.ts";
import { addShutdownHook } from "../platform/shutdown-hooks.ts";
import type { PunchFailure, WorkingPair } from "../punch/punch-events.ts";
import { PathManager } from "./path-manager.ts";
import type { RendezvousPoint } from "./signalling/channel.ts";
import { type SignallingObserver, SignallingSession } from "./signalling-session.ts";
import { TraversalContext } from "./traversal.ts";
import { describeDifference, type WallClocks } from "./wall-clocks.ts";

/** How long a working relay waits for a direct path, which would save a migration. */
const DIRECT_PATH_WAIT_MS = 250;
/**
 * How long the search for a better path continues after the first; later the link's path manager
 * takes over.
 */
export const FURTHER_SEARCH_MS = 40_000;

export class RendezvousAttempt implements SignallingObserver {
  readonly #endpoint: Endpoint;
  readonly #traversal: TraversalContext;
  readonly #trust: Trust;
  readonly #options: AttemptOptions;
  readonly #link: Deferred<Link> = deferred();
  #session: SignallingSession | undefined;
  #attempt: Attempt | undefined;
  #pathManager: PathManager | undefined;
  #timers: NodeJS.Timeout[] = [];
  #hasContact = false;
  #indirect: PunchFailure | undefined;
  #isOver = false;

  private constructor(endpoint: Endpoint, trust: Trust, meet: TraversalOptions, options: AttemptOptions) {
    this.#endpoint = endpoint;
    this.#trust = trust;
    this.#options = options;
    this.#traversal = new TraversalContext(endpoint, meet, options);
  }

  /** Gathers candidates and connects to the signalling channels; `join` adds rendezvous points. */
  static start(
    endpoint: Endpoint,
    trust: Trust,
    meet: TraversalOptions,
    options: AttemptOptions,
  ): RendezvousAttempt {
    // No connection is attached yet that would keep the sockets open.
    endpoint.setListening(true);
    const attempt = new RendezvousAttempt(endpoint, trust, meet, options);
    const traversal = attempt.#traversal;
    traversal.start();
    endpoint.whenClosed(() => addShutdownHook(traversal.close()));
    // A channel that fails for now is retried until the caller's timeout; without any channel no link is possible.
    if (traversal.hasNoChannel) attempt.#fail(new SrudpError("ERR_NO_MEETING_PLACE"));
    return attempt;
  }

  /** The link; rejects with the reason if there is none. */
  get link(): Promise<Link> {
    return this.#link.promise;
  }

  /** Joins one more rendezvous point, by all channels or on the local network only. */
  join(point: RendezvousPoint, reaches: "everywhere" | "lan" = "everywhere"): void {
    if (this.#isOver) return;
    const traversal = this.#traversal;
    const { channels } = traversal;
    this.#session ??= new SignallingSession({
      traversal,
      side: "initiator",
      channels,
      watcher: this,
      isEager: true,
    });
    this.#session.join(point, reaches === "lan" ? channels.filter(({ name }) => name === "lan") : channels);
  }

  /** The clocks by which the peer may have derived its points. */
  get clocks(): WallClocks {
    return this.#traversal.clocks;
  }

  /** Whether the peer may still be found on the local network. */
  get isLookingOnLan(): boolean {
    return !this.#isOver && !this.#hasContact && this.#traversal.channels.some(({ name }) => name === "lan");
  }

  onPair(pair: WorkingPair): void {
    this.#hasContact = true;
    if (this.#pathManager !== undefined) this.#pathManager.onPair(pair);
    else if (pair.path !== "relay" || this.#traversal.options.only === "relay") this.#use(pair);
    else {
      this.#after(DIRECT_PATH_WAIT_MS, () => {
        if (this.#attempt === undefined) this.#use(pair);
      });
    }
  }

  onBest(pair: WorkingPair): void {
    this.#pathManager?.onBest(pair);
  }

  onIndirect(reason: PunchFailure): void {
    this.#indirect = reason;
  }

  wantsRelay(): boolean {
    return this.#pathManager?.wantsRelay() ?? true;
  }

  isInUse(socket: number): boolean {
    if (this.#pathManager !== undefined) return this.#pathManager.isInUse(socket);
    return this.#attempt?.parts.connection.path?.socket === socket;
  }

  onFault(fault: unknown): void {
    if (this.#attempt !== undefined) {
      this.#attempt.parts.connectionHandle.fail(fault);
      return;
    }
    this.#endpoint.recordFault(fault, undefined);
    this.#fail(faultError(fault));
  }

  /** The error for an attempt that timed out. */
  explain(error: SrudpError): SrudpError {
    if (error.code !== "ERR_TIMEOUT") return error;
    const { failure, troubles } = this.#traversal;
    if (!this.#hasContact && failure !== undefined) return failure;
    if (this.#indirect !== undefined)
      return new SrudpError("ERR_NO_PATH", `No direct path: ${NO_DIRECT_PATH[this.#indirect]}`, error);
    if (this.#hasContact) return error;
    const { differenceMs } = this.#traversal.clocks;
    const clock =
      differenceMs === undefined
        ? "the clocks of the two machines may differ"
        : `this machine's clock is ${describeDifference(differenceMs)} the rendezvous server's`;
    const reasons = [...troubles.map(({ detail }) => detail), clock].join("; ");
    const detail = "The peer did not come to the meeting place";
    return new SrudpError("ERR_TIMEOUT", `${detail} (${reasons})`, error);
  }

  /** Ends the attempt; the caller settles the promise. */
  giveUp(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#endSearch();
    this.#attempt?.giveUp();
    this.#endpoint.close();
  }

  #use(pair: WorkingPair): void {
    if (this.#isOver) return;
    const { socket, address, port } = pair;
    if (this.#attempt !== undefined) {
      const { connection, connectionHandle } = this.#attempt.parts;
      connection.addPath(connectionHandle.pathOf(socket, address, port));
      connectionHandle.touch();
      return;
    }
    const keepPath = (core: LinkCore, connectionHandle: ConnectionHandle): void => {
      this.#pathManager = PathManager.start({
        traversal: this.#traversal,
        engine: core.engine,
        connectionHandle,
        onPath: core.onPathMoved,
      });
      core.keeper = this.#pathManager;
    };
    const paths = [{ socket, address, port }];
    const attempt = Attempt.start(this.#endpoint, this.#trust, paths, this.#options, keepPath);
    this.#attempt = attempt;
    attempt.link.then(
      (link) => {
        this.#isOver = true;
        this.#endpoint.setListening(false);
        this.#after(FURTHER_SEARCH_MS, () => this.#endSearch());
        this.#link.resolve(link);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.giveUp();
    this.#link.reject(error);
  }

  #endSearch(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
    void this.#session?.close();
  }

  #after(delayMs: number, act: () => void): void {
    const timer = setTimeout(
      guarded(act, (fault) => this.onFault(fault)),
      delayMs,
    );
    timer.unref();
    this.#timers.push(timer);
  }
}

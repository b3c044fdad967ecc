/**
 * Keeps a link on the best path available: moves it from a relay to a direct path, and finds a new
 * path when the current one has died because a NAT lost its mapping or an address changed.
 *
 * Path migration alone is not enough: behind a NAT that filters by address and port, packets from a
 * peer whose port has changed are dropped. Both ends therefore share a rendezvous point known only
 * to this link. When packets stop arriving, they gather their local addresses again, exchange them
 * there and punch anew, with the same keys and streams. The initiator migrates; the responder
 * follows its packets.
 */
import type { Path, PathKind, PathMove } from "../base/path.ts";
import { LABELS } from "../crypto/labels.ts";
import { type Connection, EVENT } from "../engine/connection/connection.ts";
import type { ConnectionHandle } from "../link/connection-handle.ts";
import type { PunchFailure, WorkingPair } from "../punch/punch-events.ts";
import { pointOfLink } from "./signalling/rendezvous-point.ts";
import { SignallingSession } from "./signalling-session.ts";
import type { TraversalContext } from "./traversal.ts";

/** How often to check whether answers are overdue. */
const STALL_CHECK_INTERVAL_MS = 250;
/**
 * How overdue answers must be before a new round starts. This is long before the path counts as
 * dead: a needless round costs little.
 */
const STALLED_MS = 700;
/** Delay before the next round after one that found nothing; the delay grows each time. */
const ROUND_MS = 4000;
const ROUND_GROWTH = 1.5;
const MAX_ROUND_MS = 15_000;
/** While the link is relayed, delay before the next search for a direct path; the delay grows each time. */
const RELAYED_MS = 12_000;
const MAX_RELAYED_MS = 120_000;
/** The link moves to a path of the same kind only if its round trip is shorter by this.  // docs/nat-traversal.md, "Schedule" */
const HYSTERESIS_MS = 5;
/** How long a relay is kept after the link has left it. */
const RELAY_LINGER_MS = 10_000;
const RANKS: Readonly<Record<PathKind, number>> = { lan: 0, direct: 1, relay: 2 };

export interface PathManagerOptions {
  readonly traversal: TraversalContext;
  readonly engine: Connection;
  readonly connectionHandle: ConnectionHandle;
  readonly onPath: (change: PathMove) => void;
}

export class PathManager {
  readonly #options: PathManagerOptions;
  #session: SignallingSession | undefined;
  #looking: NodeJS.Timeout | undefined;
  #endWatch: () => void = () => undefined;
  #kind: PathKind;
  /** The pair to move to as soon as it has answered, with its round trip. */
  #wanted: { readonly path: Path; readonly pair: WorkingPair } | undefined;
  #stalledSinceMs: number | undefined;
  #nextRoundAtMs = Number.POSITIVE_INFINITY;
  #roundMs = ROUND_MS;
  #relayedMs = RELAYED_MS;
  /** The relay that the link uses or has just left. */
  #relaySocket: number | undefined;
  #relayTimer: NodeJS.Timeout | undefined;
  #isOpen = true;

  private constructor(options: PathManagerOptions) {
    this.#options = options;
    this.#kind = options.traversal.kindOf(options.engine.path);
  }

  /** Keeps a link on the best path from now on; `close` ends it. */
  static start(options: PathManagerOptions): PathManager {
    const manager = new PathManager(options);
    manager.#start();
    return manager;
  }

  #start(): void {
    const { traversal, engine, connectionHandle } = this.#options;
    const secret = engine.exportSecret(LABELS.exportedForRendezvous);
    if (secret !== undefined && traversal.warmChannels.length > 0) {
      this.#session = new SignallingSession({
        traversal,
        side: engine.role,
        channels: traversal.warmChannels,
        watcher: this,
        isEager: false,
      });
      this.#session.join(pointOfLink(secret));
    }
    this.#looking = setInterval(
      connectionHandle.guard(() => this.#look()),
      STALL_CHECK_INTERVAL_MS,
    );
    this.#looking.unref();
    const handleNetworkChange = connectionHandle.guard(() => {
      engine.handleWake(connectionHandle.now());
      connectionHandle.touch();
      this.#beginRound();
    });
    this.#endWatch = traversal.watchNetwork(handleNetworkChange);
    if (this.#kind === "relay") this.#nextRoundAtMs = connectionHandle.now() + this.#relayedMs;
    this.#releaseRelay(engine.path);
  }

  get kind(): PathKind {
    return this.#kind;
  }

  /** Handles a connection event about paths. */
  handlePathEvent(kind: number, path: Path | undefined): void {
    const { engine, connectionHandle } = this.#options;
    const now = connectionHandle.now();
    switch (kind) {
      case EVENT.pathSuspect:
      case EVENT.pathDead:
        this.#stall(now);
        break;
      case EVENT.pathAlive:
      case EVENT.pathChanged:
        this.#settle(now);
        break;
      case EVENT.pathValidated:
        if (path !== undefined && path === this.#wanted?.path) {
          this.#wanted = undefined;
          engine.usePath(now, path);
          connectionHandle.touch();
        }
        break;
      case EVENT.pathFailed:
        if (path === this.#wanted?.path) this.#wanted = undefined;
        break;
    }
  }

  onPair(pair: WorkingPair): void {
    // Any path is better than a dead one or a relay; among working direct paths the round-trip time
    // decides.
    if (this.#stalledSinceMs !== undefined || RANKS[pair.path] < RANKS[this.#kind]) this.#moveTo(pair);
  }

  onBest(pair: WorkingPair): void {
    const { rttMs } = this.#options.engine.stats;
    const isBetter =
      RANKS[pair.path] < RANKS[this.#kind] ||
      (RANKS[pair.path] === RANKS[this.#kind] && pair.rttMs + HYSTERESIS_MS < rttMs);
    if (isBetter || this.#stalledSinceMs !== undefined) this.#moveTo(pair);
  }

  onIndirect(_reason: PunchFailure): void {
    // The timer starts the next round.
  }

  wantsRelay(): boolean {
    return this.#stalledSinceMs !== undefined;
  }

  isInUse(socket: number): boolean {
    return this.#options.engine.path?.socket === socket || this.#wanted?.path.socket === socket;
  }

  onFault(fault: unknown): void {
    this.#options.connectionHandle.fail(fault);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearInterval(this.#looking);
    clearTimeout(this.#relayTimer);
    this.#endWatch();
    void this.#session?.close();
  }

  #moveTo(pair: WorkingPair): void {
    const { engine, connectionHandle } = this.#options;
    if (engine.role !== "initiator" || engine.state !== "established") return;
    const path = connectionHandle.pathOf(pair.socket, pair.address, pair.port);
    if (path === engine.path) return;
    this.#wanted = { path, pair };
    engine.probePath(connectionHandle.now(), path);
    connectionHandle.touch();
  }

  #look(): void {
    const { engine, connectionHandle } = this.#options;
    if (engine.state !== "established") return;
    const now = connectionHandle.now();
    const overdueMs = engine.overdueMs(now);
    if (overdueMs > STALLED_MS + 2 * engine.stats.rttMs) this.#stall(now);
    else if (overdueMs === 0 && this.#stalledSinceMs !== undefined && engine.isPathAlive) this.#settle(now);
    if (now >= this.#nextRoundAtMs) this.#beginRound();
  }

  #stall(now: number): void {
    if (this.#stalledSinceMs !== undefined) return;
    this.#stalledSinceMs = now;
    this.#roundMs = ROUND_MS;
    this.#beginRound();
  }

  #beginRound(): void {
    const { traversal, connectionHandle } = this.#options;
    const now = connectionHandle.now();
    if (this.#stalledSinceMs !== undefined) {
      this.#nextRoundAtMs = now + this.#roundMs;
      this.#roundMs = Math.min(MAX_ROUND_MS, this.#roundMs * ROUND_GROWTH);
    } else if (this.#kind === "relay") {
      this.#nextRoundAtMs = now + this.#relayedMs;
      this.#relayedMs = Math.min(MAX_RELAYED_MS, this.#relayedMs * 2);
    } else this.#nextRoundAtMs = Number.POSITIVE_INFINITY;
    traversal.refresh();
    this.#session?.restart();
  }

  /** Releases a relay that the link has left, once the new path has lasted. */
  #releaseRelay(path: Path | undefined): void {
    const { traversal, connectionHandle } = this.#options;
    clearTimeout(this.#relayTimer);
    if (this.#kind === "relay") this.#relaySocket = path?.socket;
    const relay = this.#relaySocket;
    if (this.#kind === "relay" || relay === undefined) return;
    const release = connectionHandle.guard(() => {
      this.#relaySocket = undefined;
      traversal.endpoint.removeSocket(relay);
    });
    this.#relayTimer = setTimeout(release, RELAY_LINGER_MS);
    this.#relayTimer.unref();
  }

  /** Reports the working path and how long the link had none. */
  #settle(now: number): void {
    const { traversal, engine, onPath } = this.#options;
    const from = this.#kind;
    this.#kind = traversal.kindOf(engine.path);
    const outageMs = this.#stalledSinceMs === undefined ? 0 : now - this.#stalledSinceMs;
    this.#stalledSinceMs = undefined;
    this.#nextRoundAtMs = Number.POSITIVE_INFINITY;
    if (this.#kind === "relay") this.#nextRoundAtMs = now + this.#relayedMs;
    else this.#relayedMs = RELAYED_MS;
    this.#releaseRelay(engine.path);
    onPath({ from, to: this.#kind, outageMs });
  }
}

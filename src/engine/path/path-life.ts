/**
 * Judges whether the path in use still carries packets, by how long it has been silent.
 * // docs/protocol.md, "Silence"
 *
 * Silence means that no authenticated packet arrived over the path. Keep-alives are sent often
 * enough that a working path is never silent for so long, even if some of them are lost. This class
 * only reports the state; the caller decides what to do about it.
 */

/** How long after data the link counts as recently active. */
const LATELY_MS = 30_000;
/** Pause in sending after which a keep-alive is sent: if recently active, and otherwise. */
const KEEP_ALIVE_ACTIVE_MS = 5000;
const KEEP_ALIVE_IDLE_MS = 15_000;
/** Silence after which a path is suspect: if recently active, and otherwise. */
const SUSPECT_ACTIVE_MS = 6500;
const SUSPECT_IDLE_MS = 20_000;
/** Silence after which a path is dead. */
const DEAD_ACTIVE_MS = 15_000;
const DEAD_IDLE_MS = 30_000;
/**
 * Number of probe timeouts that a slow path has to answer a keep-alive, or a challenge after a
 * wake-up.
 */
const ANSWER_PTOS = 3;
/** Minimum wait for an answer after a wake-up. */
const MIN_WOKEN_MS = 1000;

/** When data last flowed in either direction, and since when without a long pause. */
export class Activity {
  private lastAtMs: number;
  private beganAtMs: number;

  constructor(nowMs: number) {
    this.lastAtMs = nowMs;
    this.beganAtMs = nowMs;
  }

  /** Stream bytes or a datagram were sent or received. */
  record(nowMs: number): void {
    if (nowMs - this.lastAtMs >= LATELY_MS) this.beganAtMs = nowMs;
    this.lastAtMs = nowMs;
  }

  /** Pause in sending after which a keep-alive is due. */
  keepAliveMs(nowMs: number): number {
    return this.isRecentlyActive(nowMs) ? KEEP_ALIVE_ACTIVE_MS : KEEP_ALIVE_IDLE_MS;
  }

  isRecentlyActive(nowMs: number): boolean {
    return nowMs - this.lastAtMs < LATELY_MS;
  }

  /** When the recent activity began. Before, packets were expected less often. */
  get sinceMs(): number {
    return this.beganAtMs;
  }
}

export class PathLife {
  state: "alive" | "suspect" | "dead" = "alive";
  private lastReceivedAtMs: number;
  /**
   * The machine slept since the path was last known to work: a challenge was sent, and its answer
   * is due soon.
   */
  private isWoken = false;
  private readonly activity: Activity;

  constructor(nowMs: number, activity: Activity) {
    this.lastReceivedAtMs = nowMs;
    this.activity = activity;
  }

  /**
   * An authentic packet arrived over the path, or another path replaced it. Returns true if the
   * path was not alive before.
   */
  onReceived(nowMs: number): boolean {
    this.lastReceivedAtMs = nowMs;
    this.isWoken = false;
    if (this.state === "alive") return false;
    this.state = "alive";
    return true;
  }

  /** The machine has slept, so its silence says nothing about the path. */
  onWake(nowMs: number): void {
    this.lastReceivedAtMs = nowMs;
    this.isWoken = true;
  }

  /** When to call handleTimeout() next. */
  timeoutAt(nowMs: number, ptoMs: number): number {
    if (this.state === "alive") return this.suspectAtMs(nowMs, ptoMs);
    return this.state === "suspect" ? this.deadAtMs(nowMs, ptoMs) : Number.POSITIVE_INFINITY;
  }

  /** Judges the silence so far. Returns true if the state has changed, always by one step. */
  handleTimeout(nowMs: number, ptoMs: number): boolean {
    if (nowMs < this.timeoutAt(nowMs, ptoMs)) return false;
    this.state = this.state === "alive" ? "suspect" : "dead";
    return true;
  }

  private suspectAtMs(nowMs: number, ptoMs: number): number {
    const answerMs = ANSWER_PTOS * ptoMs;
    if (this.isWoken) return this.lastReceivedAtMs + Math.max(MIN_WOKEN_MS, answerMs);
    const idleAtMs = this.lastReceivedAtMs + Math.max(SUSPECT_IDLE_MS, KEEP_ALIVE_IDLE_MS + answerMs);
    if (!this.activity.isRecentlyActive(nowMs)) return idleAtMs;
    const activeMs = Math.max(SUSPECT_ACTIVE_MS, KEEP_ALIVE_ACTIVE_MS + answerMs);
    return Math.min(idleAtMs, this.expectedSinceMs + activeMs);
  }

  private deadAtMs(nowMs: number, ptoMs: number): number {
    const idleAtMs = this.lastReceivedAtMs + DEAD_IDLE_MS;
    const isLively = this.isWoken || this.activity.isRecentlyActive(nowMs);
    const deadAtMs = isLively ? Math.min(idleAtMs, this.expectedSinceMs + DEAD_ACTIVE_MS) : idleAtMs;
    return Math.max(deadAtMs, this.suspectAtMs(nowMs, ptoMs));
  }

  private get expectedSinceMs(): number {
    return Math.max(this.lastReceivedAtMs, this.activity.sinceMs);
  }
}

/**
 * The punching agent: finds out which pairs of a local socket and a remote address can exchange
 * datagrams through the NATs in between, and reports the best one. It is sans-IO like the engine's
 * `Connection`: the caller drains the outputs after each input. `docs/nat-traversal.md` describes
 * the whole procedure; `schedule.ts` has the times.
 *
 * Theory of operation. One peer opens its NAT first, and the other then dials. A NAT admits replies
 * to a packet that its inner host has sent. A packet that arrives earlier is dropped. Some NATs
 * (Linux, if its own input chain accepts the packet) even record it as a flow to themselves and
 * then assign another port to the inner host: the pair is poisoned. So no packet may reach a NAT
 * before the host behind it has sent one. The opening peer (the responder; with tickets the
 * initiator, which has both signals first) sends checks whose TTL expires on the way: they open its
 * NAT, and no other NAT sees them. Only then does it publish its answer. The dialling peer has
 * received that answer, so it sends at once with full TTL: its first packet opens its own NAT and
 * finds the other one open. The opening peer keeps sending low-TTL openings until it receives a
 * packet from the dialling peer, or until the answer should have arrived long ago. Neither peer
 * needs a synchronized clock.
 *
 *     waiting ──signal──► opening ──openings sent──► holding ──packet, or time──► checking    opening peer
 *     waiting ──signal──► awaitingPeer ──the peer has opened, or time────────► checking    dialling peer
 *     any     ──first direct pair──► racing ──a second──► settled
 *     checking ──ten seconds──► waiting (next generation, fresh sockets), or failed
 *
 * Pairs on which no NAT can be poisoned (local site, IPv6, relays) are checked at once in any
 * phase. A poisoned socket stays poisoned while packets keep arriving, so each of three attempts
 * uses fresh sockets.
 */
import { type NatBehaviour, UNKNOWN_BEHAVIOUR } from "../wire/nat-behaviour-codec.ts";
import { Birthday } from "./birthday.ts";
import { CheckExchange } from "./check-exchange.ts";
import { CheckList, isBetter, isDirect, isWorking, type Pair, workingPair } from "./check-list.ts";
import { forecast } from "./nat-behaviour.ts";
import type {
  LocalSocket,
  PunchEvent,
  PunchFailure,
  PunchOptions,
  PunchTransmit,
  RemoteSignal,
} from "./punch-events.ts";
import { ATTEMPTS, type Circumstances, openingTtl, type Phase, pauseAfter, ttlOf } from "./schedule.ts";
import { peerReflexiveTarget, targetsOf, usefulCandidates } from "./targets.ts";
import type { Route } from "./transactions.ts";

/**
 * Openings for each pair before the answer is published. The second covers the loss of the first.
 */
const OPENINGS_BEFORE_ANSWER = 2;
/** The answer is published after this time even if there was nothing to open to. */
const OPENING_LIMIT_MS = 500;
const ANSWER_DELAY_MS = 1000;
/** Factor on the answer delay, by attempt: delivery of the answer may take longer than assumed. */
const ANSWER_DELAY_FACTORS: readonly number[] = [1, 3, 6];
/** How long the dialling peer waits for an answer that reports an opened NAT. */
const TIMEOUT_MS = 3000;
const ATTEMPT_MS = 10_000;
/** How long a new generation may take to begin. */
const NEXT_GENERATION_MS = 15_000;
/** How long to wait for fresh sockets. */
const FRESH_SOCKETS_MS = 1000;
/** How long other pairs may still turn out to be better after the first direct pair. */
const RACE_MS = 1000;
/** A path in use is left only for a path that is faster by more than this. */
const HYSTERESIS_MS = 5;

export class PunchAgent {
  private readonly options: PunchOptions;
  private readonly opensFirst: boolean;
  private readonly exchange: CheckExchange;
  private readonly list = new CheckList();
  private readonly birthday: Birthday;
  private readonly sockets = new Map<number, LocalSocket>();
  private readonly events: PunchEvent[] = [];
  private local: NatBehaviour;
  private remote: RemoteSignal | undefined;
  private phase: Phase = { kind: "waiting", untilMs: Number.POSITIVE_INFINITY };
  private nowMs = 0;
  private currentAttempt = 1;
  private currentGeneration = 1;
  /**
   * The latest generation whose attempt is over, that was answered, and whose failure was reported.
   */
  private spentGeneration = 0;
  private openedGeneration = 0;
  private failedGeneration = 0;
  /** Sockets of the last attempt, until the fresh ones are available or the wait for them ends. */
  private stale: readonly number[] = [];
  private freshUntilMs = 0;
  private chosen: Pair | undefined;

  constructor(options: PunchOptions) {
    this.options = options;
    this.opensFirst = (options.role === "responder") !== (options.isTicket === true);
    this.exchange = new CheckExchange(options);
    this.birthday = new Birthday(options.random);
    this.local = options.local;
  }

  /** The generation number for the local signal. */
  get generation(): number {
    return this.currentGeneration;
  }

  /**
   * The attempt number for the local signal. From the second attempt on, both peers replace sockets
   * that may be poisoned.
   */
  get attempt(): number {
    return this.currentAttempt;
  }

  /** Whether the local signal of this generation may say that the openings have been sent. */
  get hasOpened(): boolean {
    return this.openedGeneration === this.currentGeneration;
  }

  /** Whether a direct path was found and the race is over. */
  get isSettled(): boolean {
    return this.phase.kind === "settled";
  }

  /** Number of packets so far, by kind. */
  get counts(): Readonly<CheckExchange["counts"]> {
    return this.exchange.counts;
  }

  /** Adds a socket to check from, or extends the list of its candidates. */
  addLocal(nowMs: number, local: LocalSocket): void {
    const isNew = !this.sockets.has(local.socket);
    this.sockets.set(local.socket, local);
    if (local.purpose === "birthday") {
      if (isNew) this.birthday.addSocket(nowMs, local.socket);
    } else {
      if (isNew && this.stale.length > 0 && isPunched(local)) this.replaceStale();
      this.addPairs(nowMs);
      this.proceed(nowMs);
    }
  }

  /** Removes a closed socket: nothing is sent from it any more. */
  removeLocal(socket: number): void {
    this.sockets.delete(socket);
    this.birthday.removeSocket(socket);
    this.list.remove((pair) => pair.socket === socket);
  }

  /** Sets the detected behaviour of the local NAT. */
  setLocalBehaviour(local: NatBehaviour): void {
    this.local = local;
  }

  /**
   * Handles the peer's signal or a later one. A signal of an earlier generation is ignored; one of
   * a later generation begins that generation locally. A signal with another session nonce is from
   * another peer or run: the caller makes a new agent for it.
   */
  setRemote(nowMs: number, signal: RemoteSignal): void {
    if (signal.generation < this.currentGeneration) return;
    if (signal.generation > this.currentGeneration) this.adopt(nowMs, signal);
    this.remote = this.remote?.hasOpened === true ? { ...signal, hasOpened: true } : signal;
    this.addPairs(nowMs);
    this.proceed(nowMs);
  }

  /**
   * Begins a new generation: a path died, the network changed, or a relayed link has waited long
   * enough to try again. The caller publishes a signal of the new generation.
   *
   * @param wantsFresh whether the present sockets may be poisoned, so that fresh ones are requested
   */
  restart(nowMs: number, wantsFresh: boolean): void {
    this.currentAttempt = 1;
    this.begin(nowMs, this.currentGeneration + 1, wantsFresh);
  }

  /** Handles a datagram that may be a check. Returns false if it does not belong to this agent. */
  handleDatagram(nowMs: number, socket: number, address: string, port: number, bytes: Uint8Array): boolean {
    const route: Route = { socket, address, port };
    const received = this.exchange.receive(nowMs, route, bytes);
    if (received.kind === "foreign") return false;
    const pair = received.kind === "useless" ? undefined : this.pairOf(nowMs, route);
    if (pair !== undefined && received.kind === "request") this.onRequest(nowMs, pair);
    if (pair !== undefined && received.kind === "answer") {
      const isFirst = !isWorking(pair);
      pair.rttMs = Math.min(pair.rttMs, received.rttMs);
      pair.observed = received.observed;
      if (isFirst) this.onWorking(nowMs, pair);
    }
    this.handleTimeout(nowMs);
    return true;
  }

  /** Handles the timers that have expired. */
  handleTimeout(nowMs: number): void {
    this.nowMs = nowMs;
    this.advance(nowMs);
    while (this.exchange.budget.readyAtMs <= nowMs) {
      const pair = this.nextPair(nowMs);
      if (pair !== undefined) this.sendTo(nowMs, pair);
      else if (!this.sendBirthday(nowMs)) break;
    }
    // The opening just sent may be the last one before the answer.
    if (this.phase.kind === "opening") this.advance(nowMs);
  }

  /** When to call `handleTimeout` next; Infinity for never. */
  pollTimeout(): number {
    let sendAtMs = this.phase.kind === "checking" ? this.birthday.nextAtMs : Number.POSITIVE_INFINITY;
    for (const pair of this.list.pairs) {
      if (pair.isTriggered) sendAtMs = Number.NEGATIVE_INFINITY;
      else if (pair.nextAtMs < sendAtMs && this.maySend(pair)) sendAtMs = pair.nextAtMs;
    }
    return Math.min(this.phaseEndsAtMs, Math.max(sendAtMs, this.exchange.budget.readyAtMs));
  }

  /** Fills `into` with the next datagram; false if there is none. */
  pollTransmit(into: PunchTransmit): boolean {
    return this.exchange.take(into);
  }

  /** The next event; undefined if there is none. */
  pollEvent(): PunchEvent | undefined {
    return this.events.shift();
  }

  private onRequest(nowMs: number, pair: Pair): void {
    pair.hasRequest = true;
    if (isWorking(pair)) return;
    // The peer's packet arrived, so a packet in the other direction finds the NATs open, regardless
    // of the schedule.
    pair.isTriggered = true;
    if (pair.isGuarded && (this.phase.kind === "holding" || this.phase.kind === "awaitingPeer"))
      this.startChecking(nowMs);
  }

  private onWorking(nowMs: number, pair: Pair): void {
    this.events.push({ kind: "pair", ...workingPair(pair) });
    if (!isDirect(pair)) return;
    if (this.phase.kind === "settled") this.prefer(this.chosen, pair);
    else if (this.phase.kind !== "racing") {
      this.birthday.succeed();
      this.phase = { kind: "racing", untilMs: nowMs + RACE_MS };
    }
  }

  private prefer(current: Pair | undefined, pair: Pair): void {
    if (current !== undefined && !isBetter(pair, current, HYSTERESIS_MS)) return;
    this.chosen = pair;
    this.events.push({ kind: "best", ...workingPair(pair) });
  }

  /** Continues once the peer's signal and the sockets are available. */
  private proceed(nowMs: number): void {
    const { remote, phase } = this;
    if (remote === undefined || this.currentGeneration === this.spentGeneration) return;
    if (phase.kind === "awaitingPeer" && remote.hasOpened) this.startChecking(nowMs);
    if (phase.kind !== "waiting" && phase.kind !== "failed") return;
    if (this.stale.length > 0 && nowMs < this.freshUntilMs) return;
    this.stale = [];
    if (this.opensFirst) this.phase = { kind: "opening", untilMs: nowMs + OPENING_LIMIT_MS };
    else if (remote.hasOpened) this.startChecking(nowMs);
    else this.phase = { kind: "awaitingPeer", untilMs: nowMs + TIMEOUT_MS };
  }

  private advance(nowMs: number): void {
    const { phase } = this;
    switch (phase.kind) {
      case "waiting":
        this.proceed(nowMs);
        if (this.phase === phase && nowMs >= phase.untilMs) this.fail("noAnswer");
        break;
      case "opening":
        if (nowMs >= phase.untilMs || this.hasOpenedAll()) this.answer(nowMs);
        break;
      case "holding":
      case "awaitingPeer":
        if (nowMs >= phase.untilMs) this.startChecking(nowMs);
        break;
      case "checking":
        this.startBirthday(nowMs);
        if (nowMs >= phase.untilMs) this.endAttempt(nowMs);
        break;
      case "racing":
        if (nowMs >= phase.untilMs) this.settle();
        break;
      case "settled":
      case "failed":
    }
  }

  private hasOpenedAll(): boolean {
    if (openingTtl(this.currentAttempt, 0) === 0 && !this.circumstances.mustSpeakFirst) return true;
    const guarded = this.list.pairs.filter((pair) => pair.isGuarded);
    return (
      guarded.length > 0 && guarded.every((pair) => pair.openings + pair.checks >= OPENINGS_BEFORE_ANSWER)
    );
  }

  private answer(nowMs: number): void {
    const { isTicket, answerDelayMs } = this.options;
    this.openedGeneration = this.currentGeneration;
    this.birthday.plan(nowMs, this.local, this.remote?.nat ?? UNKNOWN_BEHAVIOUR);
    // A person transfers the answer to a ticket, so the NAT mapping is kept open for as long as
    // that takes.
    const factor =
      isTicket === true ? Number.POSITIVE_INFINITY : ANSWER_DELAY_FACTORS[this.currentAttempt - 1]!;
    const delayMs = (answerDelayMs ?? ANSWER_DELAY_MS) * factor;
    this.phase = { kind: "holding", untilMs: nowMs + delayMs };
    this.events.push({ kind: "answerReady", generation: this.currentGeneration });
  }

  /** Starts to send with full TTL. */
  private startChecking(nowMs: number): void {
    this.phase = { kind: "checking", untilMs: nowMs + ATTEMPT_MS };
    this.birthday.plan(nowMs, this.local, this.remote?.nat ?? UNKNOWN_BEHAVIOUR);
    for (const pair of this.list.pairs) if (pair.isGuarded) pair.nextAtMs = Math.min(pair.nextAtMs, nowMs);
    const obstacle = this.obstacle();
    // The only remaining chance is the ordinary checks of this attempt, in case the NATs differ
    // from what was detected.
    const hasOthers = this.list.pairs.some((pair) => isDirect(pair) && !pair.isGuarded);
    if (obstacle !== "noAnswer" && !hasOthers) this.reportFailure(obstacle);
  }

  private settle(): void {
    this.phase = { kind: "settled" };
    this.prefer(undefined, this.list.best()!);
    // The peer may use any pair over which it was received; the initiator chooses.
    const inUse = new Set<number>();
    for (const pair of this.list.pairs) if (pair.hasRequest || isWorking(pair)) inUse.add(pair.socket);
    this.drop(this.birthday.reset().filter((socket) => !inUse.has(socket)));
  }

  private endAttempt(nowMs: number): void {
    this.spentGeneration = this.currentGeneration;
    const isLast = this.currentAttempt >= ATTEMPTS || this.options.isTicket === true;
    const obstacle = this.obstacle();
    if (isLast || obstacle !== "noAnswer") this.fail(obstacle);
    else if (this.options.role === "initiator") {
      this.currentAttempt++;
      this.begin(nowMs, this.currentGeneration + 1, true);
    } else this.phase = { kind: "waiting", untilMs: nowMs + NEXT_GENERATION_MS };
  }

  /** The peer has begun a new generation. */
  private adopt(nowMs: number, { generation, attempt }: RemoteSignal): void {
    const isFirst = this.remote === undefined && this.spentGeneration === 0;
    this.currentAttempt = Math.min(Math.max(attempt, 1), ATTEMPTS);
    this.begin(nowMs, generation, attempt > 1 && !isFirst);
  }

  private begin(nowMs: number, generation: number, wantsFresh: boolean): void {
    this.currentGeneration = generation;
    this.remote = undefined;
    this.chosen = undefined;
    this.drop(this.birthday.reset());
    this.list.remove((pair) => pair.isGuarded);
    this.list.restart(nowMs, true);
    this.phase = { kind: "waiting", untilMs: nowMs + NEXT_GENERATION_MS };
    if (!wantsFresh) return;
    this.stale = [...this.sockets.values()].filter(isPunched).map(({ socket }) => socket);
    if (this.stale.length === 0) return;
    this.freshUntilMs = nowMs + FRESH_SOCKETS_MS;
    const count = this.stale.length;
    this.events.push({ kind: "needSockets", count, family: 4, purpose: "main", generation });
  }

  private replaceStale(): void {
    const { stale } = this;
    this.stale = [];
    this.drop(stale);
  }

  private fail(reason: PunchFailure): void {
    this.phase = { kind: "failed" };
    this.drop(this.birthday.reset());
    this.reportFailure(reason);
  }

  private reportFailure(reason: PunchFailure): void {
    if (this.failedGeneration === this.currentGeneration) return;
    this.failedGeneration = this.currentGeneration;
    this.events.push({ kind: "failed", reason });
  }

  /** The known obstacle to a direct path. */
  private obstacle(): PunchFailure {
    const { local, remote } = this;
    if (!this.list.pairs.some(isDirect)) return "noCandidates";
    if (remote === undefined) return "noAnswer";
    if (forecast(local, remote.nat, this.options.allowSpray).technique !== "relay") return "noAnswer";
    return forecast(local, remote.nat, true).technique === "relay" ? "bothHard" : "sprayOff";
  }

  private addPairs(nowMs: number): void {
    if (this.remote === undefined) return;
    const useful = usefulCandidates(this.remote.candidates, this.remote.nat);
    for (const local of this.sockets.values()) {
      if (this.stale.includes(local.socket)) continue;
      for (const target of targetsOf(local, this.sockets.values(), useful, isMoving(this.local))) {
        if (this.list.find(target) === undefined) this.list.add(target, nowMs);
      }
    }
  }

  /**
   * The pair over which a genuine datagram arrived. Adds a new pair if no candidate has that
   * address.
   */
  private pairOf(nowMs: number, route: Route): Pair | undefined {
    const known = this.list.find(route);
    const local = this.sockets.get(route.socket);
    if (known !== undefined || local === undefined) return known;
    const target = peerReflexiveTarget(local, this.sockets.values(), route.address, route.port);
    return target === undefined ? undefined : this.list.add(target, nowMs);
  }

  private drop(sockets: readonly number[]): void {
    if (sockets.length === 0) return;
    for (const socket of sockets) this.removeLocal(socket);
    this.events.push({ kind: "dropSockets", sockets });
  }

  private startBirthday(nowMs: number): void {
    const { remote, local, currentGeneration: generation } = this;
    if (remote === undefined || !this.options.allowSpray || this.options.isTicket === true) return;
    const count = this.birthday.begin(nowMs, local, remote.nat, remote.candidates);
    if (count > 0)
      this.events.push({ kind: "needSockets", count, family: 4, purpose: "birthday", generation });
  }

  private sendBirthday(nowMs: number): boolean {
    if (this.phase.kind !== "checking") return false;
    const main = [...this.sockets.values()].findLast(isPunched)?.socket;
    const shots = this.birthday.next(nowMs, this.currentAttempt, main);
    for (const shot of shots) this.exchange.request(nowMs, shot, shot.ttl, this.currentGeneration, true);
    return shots.length > 0;
  }

  private get phaseEndsAtMs(): number {
    const { phase } = this;
    switch (phase.kind) {
      case "settled":
      case "failed":
        return Number.POSITIVE_INFINITY;
      case "waiting":
        return this.stale.length > 0 && this.remote !== undefined
          ? Math.min(phase.untilMs, this.freshUntilMs)
          : phase.untilMs;
      case "checking":
        return Math.min(phase.untilMs, this.birthday.beginsAtMs(this.nowMs));
      default:
        return phase.untilMs;
    }
  }

  private get circumstances(): Circumstances {
    const filtering = this.remote?.nat.filtering;
    return {
      phase: this.phase,
      attempt: this.currentAttempt,
      mustSpeakFirst:
        isMoving(this.local) && (filtering === "endpointIndependent" || filtering === "addressDependent"),
      isTicket: this.options.isTicket === true,
    };
  }

  private maySend(pair: Pair): boolean {
    const ttl = ttlOf(pair, this.circumstances);
    return ttl !== undefined && this.exchange.budget.allows(this.nowMs, pair.address, ttl > 0);
  }

  /**
   * The next pair to send to: first pairs with a received request, then the pair that has waited
   * longest.
   */
  private nextPair(nowMs: number): Pair | undefined {
    let next: Pair | undefined;
    for (const pair of this.list.pairs) {
      if (pair.isTriggered && this.exchange.budget.allows(nowMs, pair.address, false)) return pair;
      pair.isTriggered = false;
      if (pair.nextAtMs > nowMs || (next !== undefined && pair.nextAtMs >= next.nextAtMs)) continue;
      if (this.maySend(pair)) next = pair;
    }
    return next;
  }

  private sendTo(nowMs: number, pair: Pair): void {
    const { circumstances } = this;
    const ttl = pair.isTriggered ? 0 : (ttlOf(pair, circumstances) ?? 0);
    pair.isTriggered = false;
    if (ttl > 0) pair.openings++;
    else pair.checks++;
    pair.nextAtMs = nowMs + pauseAfter(pair, ttl > 0, circumstances);
    this.exchange.request(nowMs, pair, ttl, this.currentGeneration);
  }
}

/** Whether a NAT assigns a different port for each remote address. */
function isMoving(nat: NatBehaviour): boolean {
  return nat.mapping === "addressDependent" || nat.mapping === "addressAndPortDependent";
}

/** Whether the packets of a socket pass NATs. */
function isPunched(local: LocalSocket): boolean {
  return local.kind === "udp" && local.family === 4 && local.purpose !== "birthday";
}

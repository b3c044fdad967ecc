/**
 * The punching agent: finds out which pairs of a local socket and a remote address reach each other, through
 * whatever NATs stand between, and says which is best. Sans-IO as the engine's `Connection`: after each input the
 * outputs are drained. `docs/nat-traversal.md` tells the whole; `schedule.ts` has the times.
 *
 * Theory of operation. One side opens, the other goes. A NAT that has let its inner host's packet out lets the
 * answer in. What comes too early is dropped, and some NATs (Linux, where its own input accepts) take it for a flow to
 * themselves and then give the inner host another port: the pair is poisoned. So no packet may reach a NAT before
 * the host behind it has sent. The opener (the responder; with tickets the initiator, who then has both signals first)
 * sends checks whose TTL ends on the way: its NAT is open, nobody has seen anything. Only then its answer leaves.
 * The goer has that answer, so it sends at once and with full TTL: its first packet opens its own NAT and finds the
 * other one open. Until the opener hears from it, or the answer should long be there, it goes on opening. Neither
 * needs a clock for that.
 *
 *     waiting ──signal──► opening ──openings sent──► holding ──heard, or time──► checking     opener
 *     waiting ──signal──► patient ──the other has opened, or time──────────────► checking     goer
 *     any     ──first direct pair──► racing ──a second──► settled
 *     checking ──ten seconds──► waiting (next generation, fresh sockets), or failed
 *
 * Pairs on which no NAT can be poisoned (own site, IPv6, relays) are checked from the first moment in any phase.
 * A poisoned socket stays so while packets keep coming: each of three attempts therefore has fresh ones.
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
import { heardTarget, targetsOf, usefulCandidates } from "./targets.ts";
import type { Route } from "./transactions.ts";

/** What each pair gets of openings before the answer leaves; the second is for one that was lost. */
const OPENINGS_BEFORE_ANSWER = 2;
/** The answer leaves after this even where there was nothing to open to. */
const OPENING_LIMIT_MS = 500;
const ANSWER_DELAY_MS = 1000;
/** By attempt: the answer may have taken longer than was thought. */
const ANSWER_DELAY_FACTORS: readonly number[] = [1, 3, 6];
/** How long the goer waits for an answer that says that the other side has opened. */
const TIMEOUT_MS = 3000;
const ATTEMPT_MS = 10_000;
/** How long a new generation may take to come about. */
const NEXT_GENERATION_MS = 15_000;
/** How long fresh sockets are waited for. */
const FRESH_SOCKETS_MS = 1000;
/** From the first direct pair on, others may still turn out to be better. */
const RACE_MS = 1000;
/** A path that is in use is left only for one that is faster by more than this. */
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
  /** Generations whose attempt is over, that was answered, whose failure was told. */
  private spentGeneration = 0;
  private openedGeneration = 0;
  private failedGeneration = 0;
  /** Sockets of the last attempt, until the fresh ones are there or are no longer waited for. */
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

  /** The number that the own signal has to carry. */
  get generation(): number {
    return this.currentGeneration;
  }

  /** The own signal carries it too: sockets that others may have poisoned are replaced from the second on. */
  get attempt(): number {
    return this.currentAttempt;
  }

  /** Whether the own signal of this generation may say that the openings are on their way. */
  get hasOpened(): boolean {
    return this.openedGeneration === this.currentGeneration;
  }

  /** Whether a direct path was found and the race for it is over. */
  get isSettled(): boolean {
    return this.phase.kind === "settled";
  }

  /** Packets so far, by kind. */
  get counts(): Readonly<CheckExchange["counts"]> {
    return this.exchange.counts;
  }

  /** A socket to check from, or a longer list of its candidates. */
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

  /** The socket is gone: nothing is sent from it any more. */
  removeLocal(socket: number): void {
    this.sockets.delete(socket);
    this.birthday.removeSocket(socket);
    this.list.remove((pair) => pair.socket === socket);
  }

  /** What has been found out of the own NAT by now. */
  setLocalBehaviour(local: NatBehaviour): void {
    this.local = local;
  }

  /**
   * The other side's signal, or a later one. One of a former generation is passed over, one of a later generation
   * begins it here too. A signal with another session nonce is another peer: the owner makes a new agent for it.
   */
  setRemote(nowMs: number, signal: RemoteSignal): void {
    if (signal.generation < this.currentGeneration) return;
    if (signal.generation > this.currentGeneration) this.adopt(nowMs, signal);
    this.remote = this.remote?.hasOpened === true ? { ...signal, hasOpened: true } : signal;
    this.addPairs(nowMs);
    this.proceed(nowMs);
  }

  /**
   * Begins anew: a path died, the network changed, or a relayed link has waited long enough to try again. The owner
   * publishes a signal of the new generation.
   *
   * @param wantsFresh whether the present sockets may be poisoned, so that others are asked for
   */
  restart(nowMs: number, wantsFresh: boolean): void {
    this.currentAttempt = 1;
    this.begin(nowMs, this.currentGeneration + 1, wantsFresh);
  }

  /** A datagram that may be a check; false when it is none of this agent's. */
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

  /** Lets time pass: what is due is put out. */
  handleTimeout(nowMs: number): void {
    this.nowMs = nowMs;
    this.advance(nowMs);
    while (this.exchange.budget.readyAtMs <= nowMs) {
      const pair = this.nextPair(nowMs);
      if (pair !== undefined) this.sendTo(nowMs, pair);
      else if (!this.sendBirthday(nowMs)) break;
    }
    // What was just sent may have been the last opening that the answer waits for.
    if (this.phase.kind === "opening") this.advance(nowMs);
  }

  /** When `handleTimeout` is to be called next, Infinity when nothing waits. */
  pollTimeout(): number {
    let sendAtMs = this.phase.kind === "checking" ? this.birthday.nextAtMs : Number.POSITIVE_INFINITY;
    for (const pair of this.list.pairs) {
      if (pair.isTriggered) sendAtMs = Number.NEGATIVE_INFINITY;
      else if (pair.nextAtMs < sendAtMs && this.maySend(pair)) sendAtMs = pair.nextAtMs;
    }
    return Math.min(this.phaseEndsAtMs, Math.max(sendAtMs, this.exchange.budget.readyAtMs));
  }

  /** Fills `into` with the next datagram; false when there is none. */
  pollTransmit(into: PunchTransmit): boolean {
    return this.exchange.take(into);
  }

  /** The next thing to know; undefined when there is none. */
  pollEvent(): PunchEvent | undefined {
    return this.events.shift();
  }

  private onRequest(nowMs: number, pair: Pair): void {
    pair.isHeard = true;
    if (isWorking(pair)) return;
    // The other side's packet got here, so one back finds the way open, whatever the schedule says.
    pair.isTriggered = true;
    if (pair.isGuarded && (this.phase.kind === "holding" || this.phase.kind === "patient")) this.go(nowMs);
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

  /** What follows once the other side's signal and the sockets are there. */
  private proceed(nowMs: number): void {
    const { remote, phase } = this;
    if (remote === undefined || this.currentGeneration === this.spentGeneration) return;
    if (phase.kind === "patient" && remote.hasOpened) this.go(nowMs);
    if (phase.kind !== "waiting" && phase.kind !== "failed") return;
    if (this.stale.length > 0 && nowMs < this.freshUntilMs) return;
    this.stale = [];
    if (this.opensFirst) this.phase = { kind: "opening", untilMs: nowMs + OPENING_LIMIT_MS };
    else if (remote.hasOpened) this.go(nowMs);
    else this.phase = { kind: "patient", untilMs: nowMs + TIMEOUT_MS };
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
      case "patient":
        if (nowMs >= phase.untilMs) this.go(nowMs);
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
    // A person carries the answer to a ticket: the hole is kept open for as long as that takes.
    const factor =
      isTicket === true ? Number.POSITIVE_INFINITY : ANSWER_DELAY_FACTORS[this.currentAttempt - 1]!;
    const delayMs = (answerDelayMs ?? ANSWER_DELAY_MS) * factor;
    this.phase = { kind: "holding", untilMs: nowMs + delayMs };
    this.events.push({ kind: "answerReady", generation: this.currentGeneration });
  }

  /** Full TTL from here on. */
  private go(nowMs: number): void {
    this.phase = { kind: "checking", untilMs: nowMs + ATTEMPT_MS };
    this.birthday.plan(nowMs, this.local, this.remote?.nat ?? UNKNOWN_BEHAVIOUR);
    for (const pair of this.list.pairs) if (pair.isGuarded) pair.nextAtMs = Math.min(pair.nextAtMs, nowMs);
    const obstacle = this.obstacle();
    // Nothing to hope for but the ordinary checks of this one attempt, should the NATs be other than they seemed.
    const hasOthers = this.list.pairs.some((pair) => isDirect(pair) && !pair.isGuarded);
    if (obstacle !== "noAnswer" && !hasOthers) this.tellFailure(obstacle);
  }

  private settle(): void {
    this.phase = { kind: "settled" };
    this.prefer(undefined, this.list.best()!);
    // The other side may be on any pair that it was heard on, and it is the initiator who chooses.
    const inUse = new Set<number>();
    for (const pair of this.list.pairs) if (pair.isHeard || isWorking(pair)) inUse.add(pair.socket);
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

  /** The other side has begun a new generation. */
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
    this.tellFailure(reason);
  }

  private tellFailure(reason: PunchFailure): void {
    if (this.failedGeneration === this.currentGeneration) return;
    this.failedGeneration = this.currentGeneration;
    this.events.push({ kind: "failed", reason });
  }

  /** What stands in the way of a direct path, as far as it is known. */
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

  /** The pair that a genuine datagram came over; a new one where nobody had named that address. */
  private pairOf(nowMs: number, route: Route): Pair | undefined {
    const known = this.list.find(route);
    const local = this.sockets.get(route.socket);
    if (known !== undefined || local === undefined) return known;
    const target = heardTarget(local, this.sockets.values(), route.address, route.port);
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

  /** The pair that is sent to next: answers to what was heard first, then whoever has waited longest. */
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

/** Whether a NAT gives each remote another port. */
function isMoving(nat: NatBehaviour): boolean {
  return nat.mapping === "addressDependent" || nat.mapping === "addressAndPortDependent";
}

/** Whether a socket is one whose packets pass NATs. */
function isPunched(local: LocalSocket): boolean {
  return local.kind === "udp" && local.family === 4 && local.purpose !== "birthday";
}

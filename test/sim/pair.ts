/**
 * A world of two ends: builds clock, links, NATs, engines and applications from one plan, runs it, and judges
 * how it ended. The same plan always gives the same result, byte for byte.
 */

import type { KeyPair } from "../../src/crypto/primitives.ts";
import { Connection } from "../../src/engine/connection/connection.ts";
import {
  DEFAULT_PARAMETERS,
  encodeParameters,
  type TransportParameters,
} from "../../src/engine/connection/transport-parameters.ts";
import { Handshake } from "../../src/engine/handshake/handshake.ts";
import { isTableIntact } from "./content.ts";
import type { BufferSizes } from "./inspect.ts";
import { Intruder } from "./intruder.ts";
import { Invariants } from "./invariants.ts";
import { Nat } from "./nat.ts";
import { Host, Network, type Side } from "./network.ts";
import { NonceRecord } from "./nonce-record.ts";
import type { EndPlan, PairPlan } from "./pair-plan.ts";
import { Peer } from "./peer.ts";
import { toyPrimitives } from "./primitives.ts";
import { Random } from "./random.ts";
import { Trace } from "./trace.ts";
import { WireTap } from "./wire-tap.ts";
import { Workload } from "./workload.ts";
import { World } from "./world.ts";

/** What a world came to. */
export interface PairResult {
  digest: string;
  /** Undefined when nothing was broken. */
  failure: Error | undefined;
  events: number;
  virtualMs: number;
}

const DEFAULT_LIMIT_MS = 3_600_000;
const IDLE_TIMEOUT_MS = 60_000;
/** An end that is not linked by then gives up, as `-w` makes it. */
const CONNECT_BUDGET_MS = 180_000;
const PORT = 4242;
/** Slack for timers and batches when the time of a lost link is judged. */
const TIMEOUT_SLACK_MS = 0.5;

export class Pair {
  readonly world: World;
  readonly network: Network;
  readonly trace = new Trace();
  readonly nonces = new NonceRecord();
  readonly invariants: Invariants;
  readonly peers: readonly [Peer, Peer];
  readonly taps: readonly [WireTap, WireTap];
  readonly workload: Workload;
  readonly plan: PairPlan;
  readonly nats: readonly [Nat | undefined, Nat | undefined];
  /** Where the clock started. */
  readonly startMs: number;

  /** @param network to share a link with others; made from the plan otherwise */
  constructor(plan: PairPlan, shared?: { network: Network; number: number }) {
    this.plan = plan;
    this.startMs = plan.startMs ?? 0;
    this.world = shared?.network.world ?? new World(this.startMs);
    const { world } = this;
    this.network = shared?.network ?? new Network(world, plan.seed, plan.toRight, plan.toLeft);
    this.invariants = new Invariants(world, this.nonces);
    const fail = this.invariants.fail;
    const number = shared?.number ?? 0;
    this.nats = [0, 1].map((side) => this.#makeNat(side as 0 | 1, number)) as [
      Nat | undefined,
      Nat | undefined,
    ];
    const hosts = [
      this.#makeHost(this.network.left, `10.0.${number}.1`, this.nats[0]),
      this.#makeHost(this.network.right, `10.0.${number}.2`, this.nats[1]),
    ] as const;
    this.taps = [
      new WireTap(this.#parametersOf(0), (what) => fail(`left: ${what}`)),
      new WireTap(this.#parametersOf(1), (what) => fail(`right: ${what}`)),
    ];
    this.taps[0].other = this.taps[1];
    this.taps[1].other = this.taps[0];
    const publicAddresses = hosts.map((host, side) => this.nats[side]?.address ?? host.address);
    this.peers = hosts.map((host, side) => {
      const name = side === 0 ? "left" : "right";
      const responds = side === 1 && plan.bothConnect !== true;
      const random = new Random(plan.seed, `${name} engine`);
      const remote = host.path(
        publicAddresses[1 - side]!,
        this.nats[1 - side] === undefined ? PORT : FIRST_NAT_PORT,
      );
      const dead = Array.from({ length: side === 0 ? (plan.deadCandidates ?? 0) : 0 }, (_, n) =>
        host.path(`192.0.2.${n + 1}`, PORT),
      );
      const make = (now: number): Connection => this.#connect(now, side as 0 | 1, random, [...dead, remote]);
      const knobs = this.#endPlan(side as 0 | 1).knobs ?? {};
      const chance = new Random(plan.seed, `${name} peer`);
      const peer = new Peer(
        name,
        host,
        knobs,
        chance,
        this.trace,
        this.invariants,
        responds ? make : undefined,
      );
      this.invariants.watch(peer, plan.primitives === undefined ? this.taps[side] : undefined);
      if (!responds) {
        const at = this.startMs + (side === 0 ? 0 : chance.between(0, 30));
        world.at(at, () => peer.start(world.now, make(world.now)));
      }
      return peer;
    }) as unknown as [Peer, Peer];
    this.workload = new Workload(plan.workload, this.peers, fail);
    for (const side of [0, 1] as const) {
      this.#scheduleRebinds(side, number);
      for (const { atMs, forMs } of this.#endPlan(side).sleeps ?? []) {
        world.at(this.startMs + atMs, () => this.peers[side].sleep(forMs));
      }
      world.at(this.startMs + CONNECT_BUDGET_MS, () => {
        if (this.peers[side].hasConnection && !this.workload.ends[side].isEstablished) {
          this.workload.ends[side].closeAt(world.now);
        }
      });
    }
    this.#scheduleChanges();
    if (plan.intruder === undefined) {
      this.invariants.leastRttMs = leastDelayMs(plan, "toRight") + leastDelayMs(plan, "toLeft");
    } else {
      // Its copies take no time, so what they measure is shorter than the links.
      new Intruder(this.network, new Random(plan.seed, "intruder"), plan.intruder, this.startMs);
    }
  }

  get isAtRest(): boolean {
    const [left, right] = this.peers;
    return left.hasConnection && left.isAtRest && right.isAtRest;
  }

  /** Runs to the end and judges. */
  run(): PairResult {
    let failure: Error | undefined;
    let restedAt = this.startMs;
    try {
      const limitMs = this.startMs + (this.plan.limitMs ?? DEFAULT_LIMIT_MS);
      this.world.run(limitMs, () => this.isAtRest);
      restedAt = this.world.now;
      this.judge();
    } catch (error) {
      failure = error as Error;
    }
    return {
      digest: this.trace.digest,
      failure,
      events: this.world.steps,
      virtualMs: restedAt - this.startMs,
    };
  }

  /** Throws a Breach when the end is not as it should be. */
  judge(): void {
    const { workload, invariants, peers } = this;
    const { close } = this.plan.workload;
    if (!this.isAtRest) {
      const states = peers.map((peer) => (peer.hasConnection ? peer.connection.state : "nothing")).join(", ");
      invariants.fail(`never came to rest (${states}; workload ${workload.isDone ? "done" : "not done"})`);
    }
    if (close.when === "done" && !workload.isDone) {
      const causes = peers.map((peer) =>
        peer.hasConnection ? peer.connection.closeCause?.reason : "nothing",
      );
      invariants.fail(`closed before everything was done (${causes.join(", ")})`);
    }
    for (const side of [0, 1] as const) if (peers[side].hasConnection) this.#judgeEnd(side);
    // What is still under way may arrive at the closed ends, and nothing may come of it.
    const sent = peers.map((peer) => peer.host.counts.sent);
    this.world.run(Number.POSITIVE_INFINITY);
    for (const side of [0, 1] as const) {
      if (peers[side].host.counts.sent !== sent[side])
        invariants.fail(`${peers[side].name} spoke after its end`);
    }
    if (!isTableIntact()) invariants.fail("what was written to a stream was changed");
  }

  /** Largest sizes of all that can grow, over both ends. */
  get peaks(): readonly [BufferSizes, BufferSizes] {
    return [this.invariants.peaks(this.peers[0]), this.invariants.peaks(this.peers[1])];
  }

  #judgeEnd(side: 0 | 1): void {
    const peer = this.peers[side];
    const end = this.workload.ends[side];
    const { close } = this.plan.workload;
    if (peer.isGone) return;
    const cause = peer.connection.closeCause;
    const fail = (what: string): never =>
      this.invariants.fail(
        `${peer.name}: ${what}: ${cause?.origin} ${cause?.code} ${cause?.errorCode} ${cause?.reason}`,
      );
    if (cause === undefined) throw fail("no close cause");
    if (cause.code === "ERR_LINK_LOST") {
      // The shorter one holds for both sides.
      const idleTimeoutMs = Math.min(this.#idleTimeoutOf(0), this.#idleTimeoutOf(1));
      const silenceMs = end.closedAt - Math.max(peer.lastIntactAt, end.establishedAt);
      if (silenceMs < idleTimeoutMs - TIMEOUT_SLACK_MS) fail(`link lost after ${silenceMs} ms of silence`);
      if (!this.workload.ends[1 - side]!.hasEnded) fail("link lost although the other end was there");
      return;
    }
    if (end.hasEnded) {
      if (cause.origin !== "local" && cause.origin !== "remote") fail("closed by itself");
    } else if (end.isEstablished) {
      if (cause.origin !== "remote" || cause.errorCode !== close.errorCode)
        fail("not the close that was sent");
    } else if (close.when === "done") fail("never established");
    if (cause.errorCode !== close.errorCode && end.isEstablished) fail("not the code that was planned");
  }

  #endPlan(side: 0 | 1): EndPlan {
    return this.plan.ends?.[side] ?? {};
  }

  #parametersOf(side: 0 | 1): TransportParameters {
    const idleTimeoutMs = this.#idleTimeoutOf(side);
    return {
      ...DEFAULT_PARAMETERS,
      idleTimeoutMs: Number.isFinite(idleTimeoutMs) ? Math.ceil(idleTimeoutMs) : 0,
      ...this.#endPlan(side).parameters,
    };
  }

  #idleTimeoutOf(side: 0 | 1): number {
    return this.#endPlan(side).idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  #makeNat(side: 0 | 1, number: number): Nat | undefined {
    const options = this.#endPlan(side).nat;
    return options && new Nat(`203.0.113.${10 * number + side + 1}`, FIRST_NAT_PORT, options);
  }

  #makeHost(side: Side, address: string, nat: Nat | undefined): Host {
    const isCalled = side === this.network.right && this.plan.bothConnect !== true;
    if (isCalled) nat?.forward(this.startMs, address, PORT);
    return new Host(side, address, PORT, nat);
  }

  #scheduleChanges(): void {
    for (const { atMs, link, set } of this.plan.changes ?? []) {
      this.world.at(this.startMs + atMs, () => {
        if (link !== "toLeft") this.network.left.link.set(set);
        if (link !== "toRight") this.network.right.link.set(set);
      });
    }
  }

  #scheduleRebinds(side: 0 | 1, number: number): void {
    const nat = this.nats[side];
    if (nat === undefined) return;
    for (const [index, { atMs, address }] of (this.#endPlan(side).rebinds ?? []).entries()) {
      const rebind = (): void => {
        // An end that moves before the other has heard of it can be found by nobody: wait for the link.
        if (this.workload.ends.every((end) => end.isEstablished)) {
          nat.rebind(
            this.world.now,
            address ? `203.0.${114 + index}.${10 * number + side + 1}` : nat.address,
          );
        } else if (this.world.now < this.startMs + CONNECT_BUDGET_MS)
          this.world.at(this.world.now + atMs, rebind);
      };
      this.world.at(this.startMs + atMs, rebind);
    }
  }

  #connect(now: number, side: 0 | 1, random: Random, paths: ReturnType<Host["path"]>[]): Connection {
    const { plan } = this;
    const endPlan = this.#endPlan(side);
    const mode = plan.mode ?? "secret";
    const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
    const primitives = this.nonces.watch(plan.primitives ?? toyPrimitives, side === 0 ? "left" : "right");
    const role = side === 0 || plan.bothConnect === true ? "initiator" : "responder";
    const secretKey = draw(32);
    const identity: KeyPair = { secretKey, publicKey: primitives.x25519.publicKey(secretKey) };
    const shared = new Random(plan.seed, "shared secret").bytes(32);
    const connectionId = draw(8);
    const parameters = this.#parametersOf(side);
    const handshake = new Handshake({
      role,
      ...(plan.bothConnect === true ? { mayRespond: true } : {}),
      ...(role === "initiator" ? { mode } : {}),
      credentials: mode === "key" ? { key: true } : { [mode]: shared },
      primitives,
      random: draw,
      identity,
      connectionId,
      parameters: encodeParameters(parameters),
      verifyPeer: () => (endPlan.asks === true ? "ask" : "accept"),
    });
    const connection = new Connection(now, {
      handshake,
      paths: role === "initiator" ? paths : [],
      primitives,
      random: draw,
      parameters,
      idleTimeoutMs: this.#idleTimeoutOf(side),
      congestion: plan.congestion ?? "cubic",
      connectionId,
      ...(endPlan.mtuCeilingBytes === undefined ? {} : { mtuCeilingBytes: endPlan.mtuCeilingBytes }),
      ...(endPlan.rekey === undefined ? {} : { rekey: endPlan.rekey }),
      ...(endPlan.firstPacketNumber === undefined ? {} : { firstPacketNumber: endPlan.firstPacketNumber }),
    });
    plan.tamper?.(connection, side);
    return connection;
  }
}

/** The shortest delay that a direction of the plan ever has. */
function leastDelayMs(plan: PairPlan, link: "toRight" | "toLeft"): number {
  let leastMs = plan[link].delayMs ?? 0;
  for (const change of plan.changes ?? []) leastMs = Math.min(leastMs, change.set.delayMs ?? leastMs);
  return leastMs;
}

const FIRST_NAT_PORT = 40_000;
